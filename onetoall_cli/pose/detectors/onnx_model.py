"""One ONNX network on the best device there is, with errors that name its file."""

import contextlib
import ctypes
import io
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput, ModelMissing, OnetoallError, OutOfResources

logger = logging.getLogger(__name__)

_ERRORS_ONLY = 3
_SILENT = 4
"""ONNX Runtime's log levels. Creating a session on a device that turns out unusable logs an error, which is reported
here in our words."""

_REINSTALL = "It belongs to the package: install onetoall-cli again."

_MEMORY_SIGNS = ("allocate memory", "out of memory", "out_of_memory", "bad_alloc")

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxModel:
    """A network with one picture input, (batch, 3, height, width).

    Args:
        path: The ONNX file, or a folder that holds it as `end2end.onnx` beside external weight files.
        size: (height, width) of the input that the caller will give.
        device: "auto" (CUDA where there is an NVIDIA driver), "cpu", "cuda" or "cuda:N". Where ONNX Runtime cannot
            use CUDA it runs on the CPU, with a warning in the log; any other device ("mps") means the CPU.
        get: The entry of `onetoall fetch` that brings the file, for the advice in errors; None if the package ships it.
        threads: Processors that one run uses; None leaves it to ONNX Runtime.

    Attributes:
        path: The ONNX file.
        device: Where it runs: "CUDA" or "CPU".

    Raises:
        ModelMissing: There is no such file, it is broken, or it is another kind of network.
        BadInput: There can be no such device ("cuda:one").
    """

    def __init__(
        self, path: Path, size: tuple[int, int], *, device: str = "auto", get: str | None, threads: int | None = None
    ) -> None:
        self.path = path / "end2end.onnx" if path.is_dir() else path
        self._get, self._threads = get, threads
        self._session, self.device = self._open(device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _FLOATS or not _fits(inputs[0].shape, (None, 3, *size)):
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise self._unusable(f"its input is {found}, not a float tensor (batch, 3, {size[0]}, {size[1]})")
        self._input, self._dtype = inputs[0].name, _FLOATS[inputs[0].type]
        self._fixed_batch = inputs[0].shape[0] if isinstance(inputs[0].shape[0], int) else None

    def run(self, batch: NDArray[np.float32], outputs: Sequence[tuple[int | None, ...]]) -> list[NDArray[np.float32]]:
        """The outputs for a batch of any size, in the network's order.

        A network exported for a fixed number of pictures is run as often as it takes, the last time filled up.

        Args:
            batch: (n, 3, height, width) float32, n > 0.
            outputs: The expected shape of each output without the batch axis; None is any length.

        Raises:
            ModelMissing: The network fails or gives other outputs: it is another kind of network.
            OutOfResources: The device has not enough memory.
        """
        step = self._fixed_batch or len(batch)
        parts = [self._run_once(batch[start : start + step], step) for start in range(0, len(batch), step)]
        results = [np.concatenate(each).astype(np.float32, copy=False) for each in zip(*parts, strict=True)]
        shapes = [result.shape for result in results]
        if len(shapes) < len(outputs) or not all(
            _fits(shape, (len(batch), *wanted)) for shape, wanted in zip(shapes, outputs, strict=False)
        ):
            raise self._unusable(f"its outputs have the shapes {shapes}")
        return results[: len(outputs)]

    def _run_once(self, batch: NDArray[np.float32], step: int) -> list[NDArray]:
        count = len(batch)
        if count < step:
            batch = np.concatenate([batch, np.zeros((step - count, *batch.shape[1:]), batch.dtype)])
        try:
            results = self._session.run(None, {self._input: batch.astype(self._dtype, copy=False)})
        except Exception as error:  # as in _session_on
            raise self._failure(error) from error
        if any(np.ndim(result) == 0 or len(result) != step for result in results):
            raise self._unusable(f"its outputs have the shapes {[np.shape(result) for result in results]}")
        return [result[:count] for result in results]

    def _open(self, device: str) -> tuple[Any, str]:
        """A session and the name of the device it runs on."""
        if not self.path.is_file():
            advice = f"Fetch it with `onetoall fetch {self._get}`." if self._get else _REINSTALL
            raise ModelMissing(f"There is no file {self.path}.", advice)
        by_name = device.startswith("cuda")
        if by_name or (device == "auto" and _has_nvidia_driver()):
            session = self._session_on(("CUDAExecutionProvider", {"device_id": _number(device)}))
            if "CUDAExecutionProvider" in session.get_providers():
                return session, "CUDA"
            # Not an error even if asked for by name: the same option means torch, for which it may work.
            logger.warning("ONNX Runtime cannot use CUDA on this machine; %s runs on the CPU.", self.path.name)
            return session, "CPU"
        return self._session_on(), "CPU"

    def _session_on(self, *providers: Any) -> Any:
        """A session on these providers, then the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        onnxruntime.set_default_logger_severity(_SILENT if providers else _ERRORS_ONLY)
        available = onnxruntime.get_available_providers()
        wanted = [provider for provider in providers if provider[0] in available]
        try:
            with _prints_logged():
                if wanted and hasattr(onnxruntime, "preload_dlls"):  # before 1.21 only CUDA of the system is found
                    onnxruntime.preload_dlls()
                return onnxruntime.InferenceSession(str(self.path), options, [*wanted, "CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> OnetoallError:
        """ONNX Runtime's error as one of ours."""
        message = str(error) or type(error).__name__
        if any(sign in message.lower() for sign in _MEMORY_SIGNS):
            return OutOfResources(
                f"There is not enough memory to run {self.path.name}.", "Free some, or detect with --device cpu."
            )
        return self._unusable(message.splitlines()[0].rpartition(" : ")[2].rstrip("."))  # without its code prefix

    def _unusable(self, why: str) -> ModelMissing:
        advice = "Run `onetoall fetch --verify --repair`; external weight files belong beside it."
        return ModelMissing(f"{self.path} cannot be used: {why}.", advice if self._get else _REINSTALL)


def _number(device: str) -> int:
    """Which GPU is meant by "auto", "cuda" or "cuda:N"."""
    _, colon, number = device.partition(":")
    if colon and not number.isdigit():
        raise BadInput(f"There is no device {device}.", "Use auto, cpu, cuda or cuda:N.")
    return int(number or 0)


def _fits(shape: Sequence[Any], wanted: Sequence[int | None]) -> bool:
    """Whether a shape (names and None are free) can be the wanted one."""
    return len(shape) == len(wanted) and all(
        not isinstance(length, int) or want is None or length == want
        for length, want in zip(shape, wanted, strict=True)
    )


def _has_nvidia_driver() -> bool:
    """Whether this machine has one, found out without importing torch."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _prints_logged() -> Iterator[None]:
    """Log what ONNX Runtime prints about missing CUDA libraries and devices that do not work."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            logger.debug(line)

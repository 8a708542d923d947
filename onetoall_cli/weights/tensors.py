"""The tensors in safetensors files: names and shapes from the headers, and strict reading of each tensor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import ModelMissing
from onetoall_cli.hub.weight_files import REPAIR_ADVICE, weight_files
from onetoall_cli.model.names import plain_name
from onetoall_cli.weights.formats import check_head

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a safetensors header: file, name in it, dtype in safetensors' spelling ("BF16") and shape."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]


def read_tensors(files: Iterable[Path]) -> dict[str, TensorInfo]:
    """Read names (without the `model.` of training checkpoints), dtypes and shapes of all tensors in `files`.

    Raises:
        ModelMissing: A file is truncated or not safetensors, or two files hold the same tensor; the message names it.
    """
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        for name, info in _read_header(file).items():
            if name in tensors:
                raise ModelMissing(
                    f"{file} and {tensors[name].file.name} both hold the tensor '{displayed(name)}'.",
                    "Files of two different models are mixed in this folder: remove the ones that do not belong.",
                )
            tensors[name] = info
    return tensors


def _read_header(file: Path) -> dict[str, TensorInfo]:
    try:
        check_head(file)
        with safe_open(file, framework="np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
            return {
                plain_name(name): TensorInfo(file, name, part.get_dtype(), tuple(part.get_shape()))
                for name, part in slices.items()
            }
    except FileNotFoundError as error:
        raise ModelMissing(f"{file} is missing.", REPAIR_ADVICE) from error
    except (SafetensorError, OSError) as error:
        raise ModelMissing(f"{file} is damaged or not a safetensors file ({error}).", REPAIR_ADVICE) from error


class StoredTensors:
    """The tensors of a folder, each to be taken once; a missing or remaining tensor is an error.

    Tensors are mapped from the files, so they take memory only when they are used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._where = read_tensors(weight_files(folder))
        self._open: dict[Path, Any] = {}

    def take(self, name: str, shape: Sequence[int] | None = None) -> "torch.Tensor":
        """Take a tensor.

        Raises:
            ModelMissing: It is missing, or has another shape.
        """
        info = self._where.pop(name, None)
        if info is None:
            raise ModelMissing(f"{self._folder} lacks the tensor {name}.", REPAIR_ADVICE)
        if shape is not None and info.shape != tuple(shape):
            raise ModelMissing(f"{info.file}: {name} has shape {info.shape}, not {tuple(shape)}.", REPAIR_ADVICE)
        if info.file not in self._open:
            self._open[info.file] = safe_open(info.file, framework="pt")
        return self._open[info.file].get_tensor(info.name)

    def take_under(self, prefix: str) -> "dict[str, torch.Tensor]":
        """Take all tensors whose names start with `prefix`."""
        return {name: self.take(name) for name in [name for name in self._where if name.startswith(prefix)]}

    def check_all_taken(self) -> None:
        """Raise ModelMissing if a tensor remains."""
        for name, info in sorted(self._where.items()):
            raise ModelMissing(f"{info.file} holds the unexpected tensor {displayed(name)}.", REPAIR_ADVICE)

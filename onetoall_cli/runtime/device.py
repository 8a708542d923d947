"""Choice of device and dtype, by name or automatically."""

from typing import TYPE_CHECKING

from onetoall_cli.errors import BadInput

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "bfloat16", "float16", "float32")


def pick_device(name: str = "auto") -> "torch.device":
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps"), or with "auto" the fastest one of this machine.

    Raises:
        BadInput: This machine has no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(
            f"The device {name!r} cannot be used here ({str(error).splitlines()[0]}).",
            "Use --device auto, cpu, cuda, cuda:N or mps.",
        ) from error
    if device.type == "meta":
        raise BadInput("The device 'meta' computes nothing.", "Use --device auto, cpu, cuda, cuda:N or mps.")
    return device


def has_fp8(device: "torch.device") -> bool:
    """Whether a device converts float8 in hardware: NVIDIA from Ada and Hopper on."""
    import torch

    return device.type == "cuda" and torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 9)


def pick_dtype(name: str, device: "torch.device") -> "torch.dtype":
    """The dtype called `name`; with "auto" bfloat16 if `device` supports it natively, else float16 or float32.

    bfloat16 is the released inference setting. A CPU without bfloat16 instructions emulates it slowly.

    Raises:
        BadInput: `name` is not one of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise BadInput(f"{name!r} is not a number format.", f"Use --dtype {', '.join(DTYPES)}.")
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        native = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16

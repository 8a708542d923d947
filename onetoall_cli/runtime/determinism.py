"""Same seed, same result: torch computes so that a second run has the same bits, and where that is not promised.

On a CPU torch does so by itself; on CUDA cuBLAS, cuDNN and the compiler have to be told.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# One of the two settings with which cuBLAS promises equal results, the one without a loss of speed:
# https://docs.nvidia.com/cuda/cublas/#results-reproducibility
CUBLAS_WORKSPACE = ":4096:8"
PROMISING_DEVICES = ("cpu", "cuda")
UNPROMISING_KERNELS = ("sage",)  # its authors say nothing of equal results; flash's forward pass is deterministic


def compute_deterministically() -> None:
    """Have torch take the way that gives the same bits every time wherever it knows two, for the whole process.

    Must come before anything is computed on CUDA, since cuBLAS takes its workspace then, and before the network is
    compiled. Where an operation has no such way, torch warns and goes on.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    torch.backends.cudnn.benchmark = False  # it would take the convolution that happens to be fastest today
    torch.use_deterministic_algorithms(True, warn_only=True)
    # the mode would also fill each new tensor before its real contents come, which is work for nothing
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def why_not_repeatable(device: "torch.device", attention: str = "auto") -> str | None:
    """Why the same seed may give slightly different pictures in another run on this machine.

    Args:
        device: Where it computes.
        attention: The attention kernel, as in `sampling.kernels`.

    Returns:
        One sentence, or None where the result is the same after `compute_deterministically`.
    """
    if device.type not in PROMISING_DEVICES:
        return f"The same seed may give slightly different pictures: torch promises no equal results on {device.type}."
    if attention in UNPROMISING_KERNELS:
        return (
            f"The same seed may give slightly different pictures: the attention kernel '{attention}' promises no "
            "equal results."
        )
    return None

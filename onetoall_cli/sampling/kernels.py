"""Attention kernels and compilation: the same arithmetic, or nearly, on faster code where it is installed."""

import shutil

import torch

from onetoall_cli.errors import BadInput
from onetoall_cli.model import OneToAllTransformer3DModel

# Name -> diffusers' attention backend. "sdpa" is torch's own, which picks a kernel by itself.
BACKENDS = {"sdpa": "native", "flash": "flash", "sage": "sage"}
PACKAGES = {"flash": "flash-attn", "sage": "sageattention"}


def choose_attention(network: OneToAllTransformer3DModel, attention: str) -> None:
    """Compute attention with a kernel of `BACKENDS`, or with "auto" as diffusers would.

    "flash" equals torch's own up to rounding; "sage" rounds queries and keys to 8 bits.

    Raises:
        BadInput: It needs a CUDA device or a package that is not installed.
    """
    if attention == "auto":
        return
    if attention in PACKAGES and network.device.type != "cuda":
        raise BadInput(f"--attention {attention} runs on CUDA only, not on {network.device}.", "Use auto or sdpa.")
    try:
        network.set_attention_backend(BACKENDS[attention])
    except (ImportError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"The attention kernel '{attention}' cannot be used: {str(error).splitlines()[0]}",
            f"Install {PACKAGES.get(attention, 'a newer torch')}, or use --attention sdpa.",
        ) from error


def compile_blocks(network: OneToAllTransformer3DModel) -> None:
    """Compile the repeated blocks (torch.compile); the first step then takes a minute or more.

    Raises:
        BadInput: There is no compiler: Triton on CUDA, a C++ compiler on a CPU.
    """
    device = network.device.type
    if device == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise BadInput("--compile needs a C++ compiler, and none is on the PATH.", "Install one, or leave it out.")
    if device == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise BadInput("--compile needs Triton, which is not usable here.", "Install it, or leave it out.")
    torch._dynamo.config.cache_size_limit = max(
        torch._dynamo.config.cache_size_limit, 32
    )  # one per pass and block kind
    network.compile_repeated_blocks()

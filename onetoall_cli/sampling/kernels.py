"""Attention kernels and compilation: the same arithmetic, or nearly, on faster code where it is installed."""

import shutil
from dataclasses import dataclass

import torch
from diffusers.models.attention import AttentionModuleMixin

from onetoall_cli.errors import BadInput
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.attention import AttentionKernel, BlockedAttention


@dataclass(frozen=True)
class Kernel:
    """An attention kernel.

    Attributes:
        computes: What calls it.
        backend: Its name in diffusers, for CUDA only; None: it is ours, or torch's, and runs everywhere.
        package: What must be installed for it; None: nothing.
    """

    computes: type[AttentionKernel]
    backend: str | None = None
    package: str | None = None


# By the names of `--attention`. "sdpa" is torch's own, which picks a kernel by itself.
KERNELS = {
    "sdpa": Kernel(AttentionKernel),
    "blocked": Kernel(BlockedAttention),
    "cudnn": Kernel(AttentionKernel, "_native_cudnn"),
    "flash": Kernel(AttentionKernel, "flash", "flash-attn"),
    "flash3": Kernel(AttentionKernel, "_flash_3", "flash-attn-3"),  # Hopper
    "sage": Kernel(AttentionKernel, "sage", "sageattention"),
}


def kernel_for(attention: str, device: torch.device, dtype: torch.dtype, *, compiled: bool = False) -> str:
    """The kernel of `KERNELS` that `attention` stands for, which "auto" leaves open.

    A rule and no measurement, so that the same command computes the same in every run: "blocked" on CPUs with
    bfloat16 instructions but without matrix units (AMX), which torch's own kernel needs to be fast.

    Args:
        attention: A name of `KERNELS`, or "auto".
        device, dtype: Of the network.
        compiled: Whether the blocks are compiled, which the loops of "blocked" would make slow.
    """
    if attention != "auto":
        return attention
    narrow = device.type == "cpu" and dtype == torch.bfloat16 and not compiled
    return "blocked" if narrow and has_bfloat16_without_matrix_units() else "sdpa"


def has_bfloat16_without_matrix_units() -> bool:
    """Whether this CPU has AVX512-BF16 but no AMX."""
    return torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()


def choose_attention(network: OneToAllTransformer3DModel, attention: str) -> None:
    """Compute attention with a kernel of `KERNELS`.

    "cudnn", "flash" and "flash3" equal torch's own up to rounding; "blocked" rounds logits to the network's dtype,
    "sage" queries and keys to 8 bits.

    Raises:
        BadInput: It needs a CUDA device or a package that is not installed.
    """
    kernel = KERNELS[attention]
    if kernel.backend and network.device.type != "cuda":
        raise BadInput(f"--attention {attention} runs on CUDA only, not on {network.device}.", "Use auto or sdpa.")
    for module in network.modules():
        if isinstance(module, AttentionModuleMixin):
            module.set_processor(kernel.computes())
    if kernel.backend is None:
        return
    try:
        network.set_attention_backend(kernel.backend)
    except (ImportError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"The attention kernel '{attention}' cannot be used: {str(error).splitlines()[0]}",
            f"Install {kernel.package or 'a newer torch'}, or use --attention sdpa.",
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

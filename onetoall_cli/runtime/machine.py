"""How much memory this machine has for a model, for the choice of one and for `onetoall doctor`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Memory:
    """What a model can be loaded into.

    Attributes:
        device: Its name for a person: "NVIDIA RTX 4090", "Apple GPU", "CPU".
        total: Bytes in all.
        free: Bytes that are free now.
    """

    device: str
    total: int
    free: int


def system_memory() -> Memory:
    """The computer's main memory."""
    import psutil

    memory = psutil.virtual_memory()
    return Memory("CPU", memory.total, memory.available)


def memory_of(device: "torch.device") -> Memory:
    """The memory of one device. A GPU of Apple's shares the main memory, of which it may use a part."""
    import torch

    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Memory(torch.cuda.get_device_name(device), total, free)
    shared = system_memory()
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return Memory("Apple GPU", limit, min(shared.free, limit - torch.mps.driver_allocated_memory()))
    return shared


def gpu_memory() -> Memory | None:
    """The first GPU's memory; None without one."""
    import torch

    if torch.cuda.is_available():
        return memory_of(torch.device("cuda", 0))
    return memory_of(torch.device("mps")) if torch.backends.mps.is_available() else None


def model_memory() -> Memory:
    """Where a model would run: the GPU's memory, or the computer's without one."""
    return gpu_memory() or system_memory()

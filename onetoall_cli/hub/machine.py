"""How much memory this machine has for a model, for the choice of one and for `onetoall doctor`."""

from dataclasses import dataclass


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


def gpu_memory() -> Memory | None:
    """The first GPU's memory; None without one. On Apple machines a GPU shares the main memory."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(0)
        return Memory(torch.cuda.get_device_name(0), total, free)
    if torch.backends.mps.is_available():
        shared = system_memory()
        return Memory("Apple GPU", shared.total, shared.free)
    return None


def model_memory() -> Memory:
    """Where a model would run: the GPU's memory, or the computer's without one."""
    return gpu_memory() or system_memory()

"""The memory that this machine has for a model, for choosing one and for `onetoall doctor`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MODEL_COMMANDS = frozenset({"animate", "transfer", "extend", "demo", "batch", "train", "evaluate", "bench"})


@dataclass(frozen=True)
class Memory:
    """The memory of a device.

    Attributes:
        device: The device's name in messages: "NVIDIA RTX 4090", "Apple GPU", "CPU".
        total: All bytes.
        free: Free bytes.
    """

    device: str
    total: int
    free: int

    def shared_by(self, processes: int) -> "Memory":
        """The share of each of so many processes."""
        return Memory(self.device, self.total // processes, self.free // processes)


def system_memory() -> Memory:
    """The computer's main memory."""
    import psutil

    memory = psutil.virtual_memory()
    return Memory("CPU", memory.total, memory.available)


def memory_of(device: "torch.device") -> Memory:
    """The memory of one device. An Apple GPU shares the main memory, and may use a part of it."""
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
    """The memory of the first GPU; None without a GPU."""
    import torch

    if torch.cuda.is_available():
        return memory_of(torch.device("cuda", 0))
    return memory_of(torch.device("mps")) if torch.backends.mps.is_available() else None


def model_memory() -> Memory:
    """The memory that a model would be loaded into: the GPU's, or main memory without a GPU."""
    return gpu_memory() or system_memory()


def others_at_work() -> int:
    """How many other runs of the commands that load a model are going on here, of users whose processes one sees."""
    import psutil

    own = psutil.Process()
    family = {own.pid, *(each.pid for each in (*own.parents(), *own.children(recursive=True)))}
    return sum(
        process.pid not in family and _loads_a_model(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline"])
    )


def _loads_a_model(command: list[str]) -> bool:
    """Whether a process is `onetoall COMMAND` or `python -m onetoall_cli COMMAND`."""
    words = [Path(word).name for word in command[:4]]
    names = [place for place, word in enumerate(words[:-1]) if word in ("onetoall", "onetoall_cli")]
    return bool(names) and words[names[0] + 1] in MODEL_COMMANDS

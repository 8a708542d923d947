"""Peak memory, as counted by the system or by the device's allocator."""

import sys
from pathlib import Path

import psutil
import torch


def start_peak(device: torch.device) -> int | None:
    """Reset the peak; returns the bytes in use now, or None if the device does not count them."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    reset = Path("/proc/self/clear_refs")
    if reset.exists():  # Linux; other systems only know the peak since the process started
        reset.write_text("5")
    return psutil.Process().memory_info().rss


def read_peak(device: torch.device) -> int | None:
    """The peak in bytes since `start_peak`, or None if the device does not count it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu":
        return None
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS

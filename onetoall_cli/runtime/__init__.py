"""The machine: which device and number format a run uses."""

from onetoall_cli.runtime.device import pick_device, pick_dtype

__all__ = ["pick_device", "pick_dtype"]

"""The machine: the device and number format of a run, and how a model fits its memory."""

from onetoall_cli.runtime.determinism import compute_deterministically, why_not_repeatable
from onetoall_cli.runtime.device import pick_device, pick_dtype
from onetoall_cli.runtime.freed_memory import return_freed_memory
from onetoall_cli.runtime.plan import MemoryPlan, Wishes, choose_plan, fits, possible_plans
from onetoall_cli.runtime.shortage import is_out_of_memory, release_memory

__all__ = [
    "MemoryPlan",
    "Wishes",
    "choose_plan",
    "compute_deterministically",
    "fits",
    "is_out_of_memory",
    "pick_device",
    "pick_dtype",
    "possible_plans",
    "release_memory",
    "return_freed_memory",
    "why_not_repeatable",
]

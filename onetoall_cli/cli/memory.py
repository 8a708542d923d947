"""How a run fits the machine's memory: the plan chosen from the options, and a smaller one where it does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.options import GenerationOptions, MemoryOptions
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import OutOfResources

if TYPE_CHECKING:
    from collections.abc import Callable

    from onetoall_cli.cli.generation import Readiness
    from onetoall_cli.hub import ModelLocation
    from onetoall_cli.runtime import MemoryPlan
    from onetoall_cli.runtime.memory import Workload
    from onetoall_cli.sampling import OneToAllPipeline


def fitting_plan(
    report: Report,
    location: ModelLocation,
    generation: GenerationOptions,
    memory: MemoryOptions,
    job: dict[str, Any],
) -> MemoryPlan:
    """The plan of how the model is placed and computed, for this machine as it is now.

    Args:
        report: Told where the plan does not fit, or gives up exactness.
        location: The model.
        generation: Resolved.
        memory: What the user wants.
        job: From `plan_fields`: sizes, segments, passes.

    Raises:
        OutOfResources: no plan fits.
        BadInput: the options contradict each other, the device or the model.
    """
    import torch

    from onetoall_cli.runtime import Wishes, choose_plan, fits, machine, pick_device, pick_dtype, possible_plans
    from onetoall_cli.weights import stored_precision

    device = pick_device(generation.device)
    dtypes = [pick_dtype(generation.dtype, device)]
    if generation.dtype == "auto" and dtypes == [torch.float32]:
        dtypes.append(torch.bfloat16)  # emulated, but half the size
    wishes = Wishes(memory.quantize, memory.offload, memory.tiling)
    stored = stored_precision(location)
    plans = possible_plans(_workload(location, job), device, dtypes, wishes, stored_as=stored)
    free = machine.memory_of(device)
    plan = choose_plan(plans, memory.memory, free, machine.system_memory())
    if not fits(plan, free):
        report.note(f"This may not fit: {plan.prose()}, and {free.free / 10**9:.1f} GB are free ({free.device}).")
    if plan.quantisation not in ("none", stored, memory.quantize):
        report.note(f"The weights are quantised to {plan.quantisation} to fit the memory, which changes the result.")
    return plan


def settled(memory: MemoryOptions, plan: MemoryPlan) -> MemoryOptions:
    """`memory` with what the plan decided that changes the result, for the record; where weights wait does not."""
    return replace(memory, quantize=plan.quantisation, tiling=plan.tiling)


def _workload(location: ModelLocation, job: dict[str, Any]) -> Workload:
    from diffusers import AutoencoderKLWan

    from onetoall_cli.runtime.memory import Workload, config_json
    from onetoall_cli.weights.architecture import network_config
    from onetoall_cli.weights.network import empty_network

    return Workload(
        network=config_json(empty_network(location.transformer, network_config(location)).config),
        vae=config_json(AutoencoderKLWan.load_config(location.vae)),
        height=job["height"],
        width=job["width"],
        frames=max(job["segments"]),
        references=1 if job["passes"] == 1 else 2,
    )


def room_maker(report: Report, pipeline: OneToAllPipeline, ready: Readiness, plan: MemoryPlan) -> Callable[[int], None]:
    """For `sampling.animate`: has the pipeline follow the next smaller plan when memory runs out, and says so."""
    from onetoall_cli.cli.speed import set_up
    from onetoall_cli.sampling import refit

    current = plan

    def make_room(segment: int) -> None:
        nonlocal current
        if current.smaller is None:
            raise OutOfResources(
                "Memory ran out, and there is no smaller plan.",
                "Try a smaller --short-side or --segment-frames, or close other programs.",
            )
        report.note(f"Memory ran out. Segment {segment + 1} is tried again with {current.smaller.prose()}.")
        if refit(pipeline, ready.location, ready.device, current, current.smaller, ready.loras):
            set_up(pipeline, ready.speed)
        current = current.smaller

    return make_room

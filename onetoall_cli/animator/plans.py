"""What a run will do, before it does it: size, segments, runs of the network, and how the model fits the memory."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from onetoall_cli.alignment import working_size
from onetoall_cli.animator.progress import Listener
from onetoall_cli.animator.resolving import Resolved
from onetoall_cli.animator.settings import ModelSettings, SizeSettings
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import ModelLocation
from onetoall_cli.hub.model_files import CONFIG, VaeConfig, read_model_file
from onetoall_cli.lattice import floored
from onetoall_cli.precisions import UNQUANTISED
from onetoall_cli.runtime import MemoryPlan, Wishes, choose_plan, fits, machine, pick_dtype, possible_plans
from onetoall_cli.runtime.memory import Workload, config_json
from onetoall_cli.runtime.parallel import Parallel
from onetoall_cli.weights import network_config, stored_precision
from onetoall_cli.weights.network import empty_network


@dataclass(frozen=True)
class RunPlan:
    """What a run will do.

    Attributes:
        model: Its name.
        width, height: Of the frames, in pixels.
        frames: Of the motion; an extended clip's carried frames count.
        segments: Frames of each segment.
        steps: Denoising steps a segment.
        passes: Runs of the network in a step with full guidance.
        network_runs: Of all segments together.
        memory: How the model is placed and computed.
        parallel: How processes share a step.
    """

    model: str
    width: int
    height: int
    frames: int
    segments: tuple[int, ...]
    steps: int
    passes: int
    network_runs: int
    memory: MemoryPlan
    parallel: Parallel

    def fields(self) -> dict[str, Any]:
        """The plan as plain values, for JSON and for the record; memory apart."""
        names = ("model", "width", "height", "frames", "segments", "steps", "passes", "network_runs")
        return {name: getattr(self, name) for name in names}

    def prose(self) -> str:
        """The plan for people."""
        lengths = " + ".join(map(str, self.segments))
        return (
            f"{self.frames} frames of {self.width} x {self.height} in {len(self.segments)} segment(s) "
            f"of {lengths} frames, {self.steps} steps of {self.passes} pass(es) each: "
            f"{self.network_runs} runs of the network {self.model}.\nMemory: {self.memory.prose()}"
            + (f", in each of {self.parallel.count} processes ({self.parallel})" if self.parallel.count > 1 else "")
            + "."
        )


def make_plan(
    location: ModelLocation,
    device: torch.device,
    model: ModelSettings,
    resolved: Resolved,
    parallel: Parallel,
    listener: Listener,
    *,
    held: int,
    width: int,
    height: int,
    frames: int,
    has_context: bool = False,
) -> RunPlan:
    """Plan a run on this machine as it is now.

    Args:
        location: The model.
        device: Where it runs.
        model: What the user wants of memory and precision.
        resolved: How it samples.
        parallel: How processes share a step.
        listener: Told where the plan may not fit, or gives up exactness.
        held: Bytes of the model that are loaded already.
        width, height: Of the frames, in pixels.
        frames: Of the motion.
        has_context: Whether the first frames exist already (see `plan_segments`).

    Raises:
        OutOfResources: No plan fits the memory.
        BadInput: The settings contradict each other, the device or the model.
    """
    segments = tuple(segment.length for segment in resolved.sampling.segments(frames, has_context=has_context))
    guidance = resolved.guidance
    workload = Workload(
        network=config_json(empty_network(location.transformer, network_config(location)).config),
        vae=config_json(read_model_file(VaeConfig, location.vae / CONFIG).arguments()),
        height=height,
        width=width,
        frames=max(segments),
        references=len({each.reference for each in guidance.all_passes()}),
        token_shards=parallel.tokens,
        overlap=resolved.sampling.overlap,
    )
    return RunPlan(
        model=location.name,
        width=width,
        height=height,
        frames=frames,
        segments=segments,
        steps=resolved.sampling.num_inference_steps,
        passes=guidance.most_passes,
        network_runs=guidance.network_runs() * len(segments),
        memory=_fit_memory(workload, location, device, model, parallel.count, listener, held),
        parallel=parallel,
    )


def _fit_memory(
    workload: Workload,
    location: ModelLocation,
    device: torch.device,
    model: ModelSettings,
    processes: int,
    listener: Listener,
    held: int,
) -> MemoryPlan:
    """The way to place and compute the model that fits what is free besides what is `held` for it."""
    dtypes = [pick_dtype(model.dtype, device)]
    if model.dtype == "auto" and dtypes == [torch.float32]:
        dtypes.append(torch.bfloat16)  # emulated, but half the size
    wishes = Wishes(model.quantize, model.offload, model.tiling)
    stored = stored_precision(location)
    plans = possible_plans(workload, device, dtypes, wishes, stored_as=stored)
    main = machine.system_memory().shared_by(processes)
    free = machine.memory_of(device)
    if device.type != "cuda":  # each process has a GPU of its own, but they share the main memory
        free = free.shared_by(processes)
    free = replace(free, free=min(free.total, free.free + held))
    plan = choose_plan(plans, model.memory, free, main)
    if not fits(plan, free):
        listener.note(f"This may not fit: {plan.prose()}, and {free.free / 10**9:.1f} GB are free ({free.device}).")
    if plan.quantisation not in (UNQUANTISED, stored, model.quantize):
        listener.note(f"The weights are quantised to {plan.quantisation} to fit the memory, which changes the result.")
    others = machine.others_at_work() if processes == 1 else 0
    if others:
        listener.note(
            f"{others} other run(s) of onetoall are at work here; the plan counts what they hold by now only."
        )
    return plan


def output_size(wanted: SizeSettings, width: int, height: int, default_short_side: int) -> tuple[int, int]:
    """The (width, height) to generate at, for a reference of `width` x `height` pixels.

    One side alone keeps the reference's aspect. A draft is half as large. Every side is floored to a multiple of 16.

    Raises:
        BadInput: Both a side and the short side are given.
    """
    if wanted.width is None and wanted.height is None:
        across, down = working_size(width, height, wanted.short_side or default_short_side)
    else:
        if wanted.short_side is not None:
            raise BadInput("--short-side and --width/--height contradict each other.", "Give one or the other.")
        across = floored(wanted.width or width * (wanted.height or 0) / height)
        down = floored(wanted.height or height * (wanted.width or 0) / width)
    return (floored(across / 2), floored(down / 2)) if wanted.draft else (across, down)

"""The part that every generating command shares: model and settings, the plan, the frames with their progress."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.memory import fitting_plan, room_maker
from onetoall_cli.cli.options import GenerationOptions, MemoryOptions, SizeOptions, SpeedOptions
from onetoall_cli.cli.report import Report, raise_if_stopped
from onetoall_cli.cli.speed import found_loras, guidance_of, interval_of, resolve_speed, set_up, sigmas_of, with_preset
from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import floored

if TYPE_CHECKING:
    import numpy as np
    import torch

    from onetoall_cli.align import Conditioning
    from onetoall_cli.hub import ModelLocation
    from onetoall_cli.runtime import MemoryPlan
    from onetoall_cli.sampling.lora import Lora


def wanted_model(options: GenerationOptions, report: Report) -> ModelLocation:
    """The model that is named, or the best installed one that fits this machine, said in one line.

    Raises:
        ModelMissing: it is not installed and may not be fetched.
    """
    from onetoall_cli.animator.ensure import ensure_model
    from onetoall_cli.cli.installed_models import byte_progress

    if not options.auto_fetch:
        return ensure_model(options.model, note=report.note)
    with byte_progress(report, "Fetching") as progress:
        return ensure_model(options.model, auto_fetch=True, note=report.note, progress=progress)


def resolve(
    options: GenerationOptions, speed: SpeedOptions, location: ModelLocation
) -> tuple[GenerationOptions, SpeedOptions]:
    """Both with everything that was left out taken from the presets, then from the model's generation defaults."""
    defaults = location.defaults
    options = with_preset(options, speed)
    resolved = replace(
        options,
        model=location.name,
        steps=defaults.num_inference_steps if options.steps is None else options.steps,
        ref_guidance=defaults.image_guidance_scale if options.ref_guidance is None else options.ref_guidance,
        pose_guidance=defaults.pose_guidance_scale if options.pose_guidance is None else options.pose_guidance,
        negative_prompt=defaults.negative_prompt if options.negative_prompt is None else options.negative_prompt,
        segment_frames=defaults.max_segment_frames if options.segment_frames is None else options.segment_frames,
    )
    return resolved, resolve_speed(speed, location)


def output_size(options: SizeOptions, width: int, height: int, default_short_side: int) -> tuple[int, int]:
    """The (width, height) to generate at, for a reference of `width` x `height` pixels.

    One side alone keeps the reference's aspect. Every side is floored to a multiple of 16.

    Raises:
        BadInput: both a side and `--short-side` are given.
    """
    from onetoall_cli.align import working_size

    if options.width is None and options.height is None:
        return working_size(width, height, options.short_side or default_short_side)
    if options.short_side is not None:
        raise BadInput("--short-side and --width/--height contradict each other.", "Give one or the other.")
    wanted_width = options.width or width * (options.height or 0) / height
    wanted_height = options.height or height * (options.width or 0) / width
    return floored(wanted_width), floored(wanted_height)


def plan_fields(
    options: GenerationOptions,
    speed: SpeedOptions,
    frames: int,
    width: int,
    height: int,
    *,
    has_context: bool = False,
) -> dict[str, Any]:
    """The plan of a run, for `--dry-run` and for the record. Both options must be resolved."""
    from onetoall_cli.sampling.segments import plan_segments

    assert options.segment_frames
    segments = [segment.length for segment in plan_segments(frames, options.segment_frames, has_context=has_context)]
    guidance = guidance_of(options, speed)
    return {
        "model": options.model,
        "width": width,
        "height": height,
        "frames": frames,
        "segments": segments,
        "steps": options.steps,
        "passes": len(guidance.weights),
        "network_runs": guidance.network_runs() * len(segments),
    }


def plan_prose(plan: dict[str, Any], memory: MemoryPlan) -> str:
    """A plan for people, and how it fits the memory."""
    lengths = " + ".join(str(length) for length in plan["segments"])
    return (
        f"{plan['frames']} frames of {plan['width']} x {plan['height']} in {len(plan['segments'])} segment(s) "
        f"of {lengths} frames, {plan['steps']} steps of {plan['passes']} pass(es) each: "
        f"{plan['network_runs']} runs of the network {plan['model']}.\nMemory: {memory.prose()}."
    )


def report_plan(
    report: Report, location: ModelLocation, options: GenerationOptions, memory: MemoryOptions, plan: dict[str, Any]
) -> None:
    """What `--dry-run` prints: a plan from `plan_fields`, and how it fits the memory.

    Raises:
        OutOfResources: it does not.
    """
    fit = fitting_plan(report, location, options, memory, plan)
    report.result(plan_prose(plan, fit), **plan, memory=fit.fields())


@dataclass(frozen=True)
class Readiness:
    """What a run needs besides its input, made before anything is detected, so that a mistake shows at once."""

    location: ModelLocation
    options: GenerationOptions
    speed: SpeedOptions
    loras: list[Lora]
    device: torch.device
    embeds: list[torch.Tensor]  # prompt, negative prompt: (1, L, C) each


def get_ready(report: Report, location: ModelLocation, options: GenerationOptions, speed: SpeedOptions) -> Readiness:
    """Choose the device, and have the prompts' embeddings and the LoRA files.

    Args:
        report: Told what was chosen.
        location: The model.
        options, speed: Resolved.

    Raises:
        BadInput: the device or a LoRA file is not here.
        ModelMissing: a prompt's embedding is not stored and the text encoder not installed.
    """
    from onetoall_cli.runtime import pick_device
    from onetoall_cli.weights import prompt_embeddings

    assert options.negative_prompt is not None
    device = pick_device(options.device)
    report.note(f"Model {location.name} on {device}.")
    prompts = [options.prompt, options.negative_prompt]
    embeds = prompt_embeddings(location, prompts, device=device, note=report.note)
    return Readiness(location, options, speed, found_loras(speed, report), device, embeds)


def generated_frames(
    report: Report,
    ready: Readiness,
    conditioning: Conditioning,
    plan: MemoryPlan,
    *,
    context_frames: list[np.ndarray] | None = None,
) -> Iterator[np.ndarray]:
    """Load the model and generate, with a progress bar over all steps of all segments.

    Args:
        report: For progress.
        ready: From `get_ready`.
        conditioning: Aligned input.
        plan: How the model fits the memory, from `fitting_plan`.
        context_frames: 5 frames, uint8 (H, W, 3) each, of a clip to continue; see `sampling.animate`.

    Yields:
        uint8 (H, W, 3).
    """
    import torch

    from onetoall_cli.runtime import return_freed_memory
    from onetoall_cli.sampling import SamplingSettings, animate, load_pipeline, plan_segments

    options = ready.options
    assert options.steps and options.segment_frames and options.ref_guidance is not None
    assert options.pose_guidance is not None
    if ready.device.type == "cpu":
        return_freed_memory()
    pipeline = load_pipeline(
        ready.location,
        ready.device,
        getattr(torch, plan.dtype),
        loras=ready.loras,
        quantisation=plan.quantisation,
        offload=plan.offload,
        tiling=plan.tiling,
    )
    set_up(pipeline, ready.speed)
    settings = SamplingSettings(
        num_inference_steps=options.steps,
        image_guidance_scale=options.ref_guidance,
        pose_guidance_scale=options.pose_guidance,
        max_segment_frames=options.segment_frames,
        seed=options.seed,
        sigmas=sigmas_of(options, ready.speed),
        guidance_interval=interval_of(ready.speed),
        guidance_every=ready.speed.guidance_every or 1,
    )
    frames, has_context = len(conditioning.motion), context_frames is not None
    segments = len(plan_segments(frames, options.segment_frames, has_context=has_context))
    existing = 0 if context_frames is None else len(context_frames)
    with report.progress() as progress:
        steps = progress.add_task("Denoising", total=segments * options.steps)
        written = progress.add_task("Writing frames", total=frames - existing)

        def on_step(segment: int, step: int) -> None:
            raise_if_stopped()
            done = segment * settings.num_inference_steps + step
            progress.update(steps, completed=done, description=f"Denoising {segment + 1}/{segments}")

        for frame in animate(
            pipeline,
            conditioning,
            settings,
            *ready.embeds,
            context_frames=context_frames,
            on_step=on_step,
            make_room=room_maker(report, pipeline, ready, plan),
        ):
            yield frame
            progress.advance(written)

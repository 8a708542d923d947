"""`onetoall animate`: the main job, from a reference picture and a driving video to a video."""

import os
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from onetoall_cli.cli.alignment import Job, align_values, decided, load_aligned, read_inputs
from onetoall_cli.cli.generation import (
    generated_frames,
    get_ready,
    output_size,
    plan_fields,
    plan_prose,
    report_plan,
    resolve,
    wanted_model,
)
from onetoall_cli.cli.info import as_arguments, settings_record
from onetoall_cli.cli.inputs import count_frames
from onetoall_cli.cli.memory import fitting_plan, settled
from onetoall_cli.cli.options import (
    AlignOptions,
    GenerationOptions,
    MemoryOptions,
    MotionOptions,
    SideOptions,
    SizeOptions,
    SpeedOptions,
    Target,
    VideoOptions,
    subcommand,
)
from onetoall_cli.cli.outputs import video_targets, write_video
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.outputs import default_name
from onetoall_cli.streams import as_file


@subcommand
def animate(
    report: Report,
    motion: MotionOptions,
    alignment: AlignOptions,
    generation: GenerationOptions,
    speed: SpeedOptions,
    memory: MemoryOptions,
    size: SizeOptions,
    video: VideoOptions,
    sides: SideOptions,
    target: Target,
    reference: Annotated[Path | None, Argument(help="Picture of the character, any framing.")] = None,
    driving: Annotated[Path | None, Argument(help="Driving video, GIF, folder of pictures or pose file.")] = None,
    from_: Annotated[
        Path | None, Option("--from", help="Continue from a folder that `onetoall align` wrote, instead of both.")
    ] = None,
) -> None:
    """Animate the character of a picture with a video's motion.

    The result has the driving video's timing and sound.

    Example: onetoall animate ref.png dance.mp4 -o out.mp4
    """
    inputs = _inputs(reference, driving, from_)
    location = wanted_model(generation, report)
    generation, speed = resolve(generation, speed, location)
    taken = [*inputs, alignment.ref_pose, location.transformer]
    targets = video_targets(default_name(*inputs, ending=".mp4"), target, sides, inputs=taken)
    if target.dry_run:
        plan = _plan(inputs, motion, size, generation, speed, location.defaults.short_side)
        report_plan(report, location, generation, memory, plan)
        return
    ready = get_ready(report, location, generation, speed)
    if len(inputs) == 1:
        job = load_aligned(inputs[0], report)
    else:
        read = read_inputs(inputs[0], inputs[1], motion, alignment, report, generation.device)
        conditioning = align_values(
            read.image, read.reference_pose, read.driving.motion, alignment, size, location.defaults, report
        )
        job = Job(conditioning, read.driving.audio)
        alignment = decided(alignment, conditioning)
    conditioning = job.conditioning
    plan = plan_fields(generation, speed, len(conditioning.motion), conditioning.width, conditioning.height)
    fit = fitting_plan(report, location, generation, memory, plan)
    report.detail(plan_prose(plan, fit))
    options = [generation, speed, settled(memory, fit), video]
    options = options if len(inputs) == 1 else [motion, alignment, size, *options]
    record = settings_record(
        ["animate", *_input_arguments(inputs), *(each for group in options for each in as_arguments(group))],
        model=location,
        result={**plan, "fps": conditioning.motion.fps},
    )
    count = write_video(
        targets,
        zip(
            generated_frames(report, ready, conditioning, fit),
            map(float, conditioning.motion.clock()),
            strict=True,
        ),
        conditioning,
        audio=[job.audio] if video.audio and job.audio else [],
        crf=video.crf,
        metadata=record,
    )
    duration = conditioning.motion.duration
    report.result(
        f"{targets.video}  {duration:.2f} s, {count} frames, {conditioning.width} x {conditioning.height}",
        output=targets.video,
        compare=targets.compare,
        frames_folder=targets.frames,
        frames=count,
        duration=duration,
        **{name: plan[name] for name in ("width", "height", "segments", "steps", "model")},
        seed=generation.seed,
        mode=conditioning.meta["mode"],
    )


def _inputs(reference: Path | None, driving: Path | None, aligned_folder: Path | None) -> tuple[Path, ...]:
    """(reference, driving) or (aligned folder,).

    Raises:
        BadInput: neither or both are given, or a file is missing.
    """
    if aligned_folder is not None:
        if reference is not None:
            raise BadInput("--from takes the place of reference and driving video.", "Give one or the other.")
        return (aligned_folder,)
    if reference is None or driving is None:
        raise BadInput(
            "A reference picture and a driving video are needed.",
            "For example: onetoall animate ref.png dance.mp4 (or --from a folder of `onetoall align`).",
        )
    for path in (reference, driving):
        if not os.path.exists(as_file(path)):
            raise BadInput(f"{path} does not exist.", "Check the name.")
    return (reference, driving)


def _input_arguments(inputs: tuple[Path, ...]) -> list[str]:
    return ["--from", str(inputs[0])] if len(inputs) == 1 else [str(path) for path in inputs]


def _plan(
    inputs: tuple[Path, ...],
    motion: MotionOptions,
    size: SizeOptions,
    generation: GenerationOptions,
    speed: SpeedOptions,
    short_side: int,
) -> dict[str, Any]:
    """The plan of a run from its inputs alone: nothing is detected, so `--fit motion` may still change the size."""
    from onetoall_cli.align import Conditioning
    from onetoall_cli.media import read_picture

    if len(inputs) == 1:
        conditioning = Conditioning.load(inputs[0])
        return plan_fields(generation, speed, len(conditioning.motion), conditioning.width, conditioning.height)
    reference, driving = inputs
    height, width = read_picture(reference).shape[:2]
    return plan_fields(generation, speed, count_frames(driving, motion), *output_size(size, width, height, short_side))

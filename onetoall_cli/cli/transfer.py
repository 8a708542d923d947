"""`onetoall transfer`: one pose, one picture out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from onetoall_cli.cli.alignment import align_values, decided
from onetoall_cli.cli.generation import (
    generated_frames,
    get_ready,
    output_size,
    plan_fields,
    report_plan,
    resolve,
    wanted_model,
)
from onetoall_cli.cli.info import as_arguments, settings_record
from onetoall_cli.cli.inputs import Eyes, is_pose_file, read_reference
from onetoall_cli.cli.memory import fitting_plan, settled
from onetoall_cli.cli.options import (
    AlignOptions,
    GenerationOptions,
    MemoryOptions,
    SizeOptions,
    SpeedOptions,
    Target,
    subcommand,
)
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import check_output

if TYPE_CHECKING:
    from onetoall_cli.pose import PoseSequence

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@subcommand
def transfer(
    reference: Annotated[Path, Argument(help="Picture of the character, any framing.")],
    pose: Annotated[Path, Option(help="A picture of a person in the wanted pose, or a pose file.")],
    alignment: AlignOptions,
    generation: GenerationOptions,
    speed: SpeedOptions,
    memory: MemoryOptions,
    size: SizeOptions,
    target: Target,
    report: Report,
    pose_frame: Annotated[int, Option(min=0, help="Which frame of the pose file.")] = 0,
    detector: Annotated[
        Literal["auto", "vitpose", "dwpose", "builtin"], Option(help="Pose detector; auto: the best installed.")
    ] = "auto",
) -> None:
    """Show the character of a picture in another pose.

    Example: onetoall transfer ref.jpg --pose pose.json -o out.png
    """
    from onetoall_cli.media import read_picture, write_picture

    output = target.output or Path(f"{reference.stem}-{pose.stem}.png")
    if output.suffix.lower() not in PICTURE_SUFFIXES:
        raise BadInput(f"{output} is not the name of a picture.", f"Use one of {', '.join(PICTURE_SUFFIXES)}.")
    check_output(output, overwrite=target.overwrite)
    location = wanted_model(generation, report)
    generation, speed = resolve(generation, speed, location)
    if target.dry_run:
        height, width = read_picture(reference).shape[:2]
        plan = plan_fields(generation, speed, 1, *output_size(size, width, height, location.defaults.short_side))
        report_plan(report, location, generation, memory, plan)
        return
    ready = get_ready(report, location, generation, speed)
    with Eyes(detector, generation.device, report) as eyes:
        image, reference_pose = read_reference(reference, alignment.ref_pose, eyes)
        wanted = _wanted_pose(pose, pose_frame, eyes)
    conditioning = align_values(image, reference_pose, wanted, alignment, size, location.defaults, report)
    alignment = decided(alignment, conditioning)
    plan = plan_fields(generation, speed, 1, conditioning.width, conditioning.height)
    fit = fitting_plan(report, location, generation, memory, plan)
    settings = (alignment, generation, speed, settled(memory, fit), size)
    options = (each for group in settings for each in as_arguments(group))
    arguments = ["transfer", str(reference), "--pose", str(pose), "--pose-frame", str(pose_frame), *options]
    record = settings_record(
        [*arguments, "--detector", detector],
        model=location,
        result=plan,
    )
    (picture,) = generated_frames(report, ready, conditioning, fit)
    write_picture(output, picture, metadata=record)
    report.result(
        f"{output}  {conditioning.width} x {conditioning.height}",
        output=output,
        **{name: plan[name] for name in ("width", "height", "steps", "model")},
        seed=generation.seed,
        mode=conditioning.meta["mode"],
    )


def _wanted_pose(path: Path, frame: int, eyes: Eyes) -> PoseSequence:
    """One person's pose, from a pose file or a picture."""
    from onetoall_cli.pose import PoseSequence, select_person

    if not is_pose_file(path):
        return read_reference(path, None, eyes)[1]
    sequence = PoseSequence.load(path)
    if frame >= len(sequence):
        raise BadInput(f"{path} has {len(sequence)} frames, none numbered {frame}.", "Lower --pose-frame.")
    return select_person(sequence, "auto").frame(frame)

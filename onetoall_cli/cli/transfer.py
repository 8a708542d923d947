"""`onetoall transfer`: one pose, one picture out."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onetoall_cli.animator.jobs import Job
from onetoall_cli.animator.settings import (
    AlignSettings,
    GenerationSettings,
    ModelSettings,
    MotionSettings,
    Settings,
    SizeSettings,
)
from onetoall_cli.cli.generation import followed, make
from onetoall_cli.cli.options import (
    DetectorName,
    OutputOptions,
    ParallelOptions,
    PoseCache,
    RunOptions,
    Seeds,
    SkipExisting,
    WithPreview,
    subcommand,
)
from onetoall_cli.cli.report import Report


@subcommand
def transfer(
    reference: Annotated[Path, Argument(help="Picture of the character, any framing.")],
    pose: Annotated[Path, Option(metavar="FILE", help="A picture of a person in the wanted pose, or a pose file.")],
    alignment: AlignSettings,
    model: ModelSettings,
    parallel: ParallelOptions,
    seeds: Seeds,
    generation: GenerationSettings,
    size: SizeSettings,
    target: OutputOptions,
    report: Report,
    pose_frame: Annotated[int, Option(min=0, metavar="N", help="Which frame of the pose file.")] = 0,
    detector: DetectorName = "auto",
    pose_cache: PoseCache = True,
    skip_existing: SkipExisting = False,
    preview: WithPreview = False,
) -> None:
    """Show the character of a picture in another pose.

    Example: onetoall transfer ref.jpg --pose pose.json -o out.png
    """
    if followed(model, generation):
        return
    made = job(alignment, generation, size, reference, pose, pose_frame, detector, pose_cache)
    make(report, made, model, parallel, seeds, target, RunOptions(skip_existing, preview))


def job(
    alignment: AlignSettings,
    generation: GenerationSettings,
    size: SizeSettings,
    reference: Path,
    pose: Path,
    pose_frame: int,
    detector: str,
    pose_cache: bool,
) -> Job:
    """What the command is to make."""
    settings = Settings(MotionSettings(detector=detector, pose_cache=pose_cache), alignment, size, generation)
    return Job("transfer", {"reference": reference, "pose": pose}, settings, pose_frame)

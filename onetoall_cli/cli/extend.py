"""`onetoall extend`: continue an existing clip with more motion, from its last frames."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onetoall_cli.animator.jobs import Job
from onetoall_cli.animator.settings import (
    AlignSettings,
    Face,
    GenerationSettings,
    Head,
    ModelSettings,
    MotionSettings,
    Settings,
    VideoSettings,
)
from onetoall_cli.cli.generation import followed, make
from onetoall_cli.cli.options import OutputOptions, ParallelOptions, RunOptions, Seeds, subcommand
from onetoall_cli.cli.report import Report


@subcommand
def extend(
    clip: Annotated[Path, Argument(help="The video to continue.")],
    driving: Annotated[Path, Argument(help="More motion: video, GIF, folder of pictures or pose file.")],
    reference: Annotated[Path, Option(metavar="FILE", help="Picture of the character, as for `animate`.")],
    motion: MotionSettings,
    model: ModelSettings,
    parallel: ParallelOptions,
    seeds: Seeds,
    generation: GenerationSettings,
    video: VideoSettings,
    target: OutputOptions,
    run: RunOptions,
    report: Report,
    ref_pose: Annotated[Path | None, Option(metavar="FILE", help="Pose file of the reference.")] = None,
    clip_pose: Annotated[
        Path | None,
        Option(metavar="FILE", help="Pose file of the clip (its last frames count), where no person is found."),
    ] = None,
    face: Annotated[Face, Option(help="How strongly the face steers.")] = "auto",
    head: Annotated[Head, Option(help="How strongly the head steers.")] = "auto",
) -> None:
    """Continue a clip with more motion, in one file.

    The person goes on from where the clip ends: the new motion is scaled and moved there as a whole.

    Example: onetoall extend out.mp4 dance2.mp4 --reference ref.png -o longer.mp4
    """
    if followed(model, generation):
        return
    made = job(motion, generation, clip, driving, reference, ref_pose, clip_pose, face, head)
    make(report, made, model, parallel, seeds, target, run, video)


def job(
    motion: MotionSettings,
    generation: GenerationSettings,
    clip: Path,
    driving: Path,
    reference: Path,
    ref_pose: Path | None,
    clip_pose: Path | None,
    face: Face,
    head: Head,
) -> Job:
    """What the command is to make."""
    settings = Settings(motion, AlignSettings(face=face, head=head, ref_pose=ref_pose), generation=generation)
    inputs = {"clip": clip, "driving": driving, "reference": reference}
    return Job("extend", inputs if clip_pose is None else {**inputs, "clip_pose": clip_pose}, settings)

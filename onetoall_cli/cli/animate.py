"""`onetoall animate`: the main job, from a reference picture and a driving video to a video."""

import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onetoall_cli.animator.jobs import Job
from onetoall_cli.animator.settings import (
    AlignSettings,
    GenerationSettings,
    ModelSettings,
    MotionSettings,
    SceneSettings,
    Settings,
    SizeSettings,
    VideoSettings,
)
from onetoall_cli.cli.generation import followed, make
from onetoall_cli.cli.options import OutputOptions, ParallelOptions, RunOptions, Seeds, SideOptions, subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files.streams import as_file


@subcommand
def animate(
    report: Report,
    motion: MotionSettings,
    alignment: AlignSettings,
    model: ModelSettings,
    parallel: ParallelOptions,
    seeds: Seeds,
    generation: GenerationSettings,
    size: SizeSettings,
    scene: SceneSettings,
    video: VideoSettings,
    sides: SideOptions,
    target: OutputOptions,
    run: RunOptions,
    reference: Annotated[Path | None, Argument(help="Picture of the character, any framing.")] = None,
    driving: Annotated[Path | None, Argument(help="Driving video, GIF, folder of pictures or pose file.")] = None,
    from_: Annotated[
        Path | None,
        Option("--from", metavar="DIR", help="Continue from a folder that `onetoall align` wrote, instead of both."),
    ] = None,
) -> None:
    """Animate the character of a picture with a video's motion.

    The result has the driving video's timing and sound. After an interruption the same command goes on at the segment
    it was in.

    Example: onetoall animate ref.png dance.mp4 -o out.mp4
    """
    if followed(model, generation):
        return
    made = job(motion, alignment, generation, size, scene, reference, driving, from_)
    make(report, made, model, parallel, seeds, target, run, video, sides)


def job(
    motion: MotionSettings,
    alignment: AlignSettings,
    generation: GenerationSettings,
    size: SizeSettings,
    scene: SceneSettings,
    reference: Path | None,
    driving: Path | None,
    from_: Path | None,
) -> Job:
    """What the command is to make.

    Raises:
        BadInput: Neither or both of inputs and aligned folder are given, or a file is missing.
    """
    settings = Settings(motion, alignment, size, generation, scene)
    return Job("animate", _inputs(reference, driving, from_), settings)


def _inputs(reference: Path | None, driving: Path | None, aligned: Path | None) -> dict[str, Path]:
    """Reference and motion, or the aligned folder alone, as `Animator.animate` takes them.

    Raises:
        BadInput: Neither or both are given, or a file is missing.
    """
    if aligned is not None:
        if reference is not None:
            raise BadInput("--from takes the place of reference and driving video.", "Give one or the other.")
        return {"reference": aligned}
    if reference is None or driving is None:
        raise BadInput(
            "A reference picture and a driving video are needed.",
            "For example: onetoall animate ref.png dance.mp4 (or --from a folder of `onetoall align`).",
        )
    for path in (reference, driving):
        if not os.path.exists(as_file(path)):
            raise BadInput(f"{path} does not exist.", "Check the name.")
    return {"reference": reference, "driving": driving}

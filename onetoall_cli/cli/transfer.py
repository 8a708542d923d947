"""`onetoall transfer`: one pose, one picture out."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onetoall_cli.animator.settings import (
    AlignSettings,
    GenerationSettings,
    ModelSettings,
    MotionSettings,
    Settings,
    SizeSettings,
    VideoSettings,
)
from onetoall_cli.cli.generation import files_of, planned_outputs, report_plan, save_all, with_preset
from onetoall_cli.cli.options import DetectorName, OutputOptions, PoseCache, Seeds, subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.files import default_name


@subcommand
def transfer(
    reference: Annotated[Path, Argument(help="Picture of the character, any framing.")],
    pose: Annotated[Path, Option(help="A picture of a person in the wanted pose, or a pose file.")],
    alignment: AlignSettings,
    model: ModelSettings,
    seeds: Seeds,
    generation: GenerationSettings,
    size: SizeSettings,
    target: OutputOptions,
    report: Report,
    pose_frame: Annotated[int, Option(min=0, help="Which frame of the pose file.")] = 0,
    detector: DetectorName = "auto",
    pose_cache: PoseCache = True,
) -> None:
    """Show the character of a picture in another pose.

    Example: onetoall transfer ref.jpg --pose pose.json -o out.png
    """
    from onetoall_cli.animator import load
    from onetoall_cli.media import PICTURE_ENDINGS

    default, taken = default_name(reference, pose, ending=".png"), [reference, pose, alignment.ref_pose]
    outputs = planned_outputs(default, target, seeds, PICTURE_ENDINGS, inputs=[*taken, *files_of(model)])
    animator = load(settings=with_preset(model, generation), listener=report.listener)
    settings = Settings(MotionSettings(detector=detector, pose_cache=pose_cache), alignment, size, generation)
    if target.dry_run:
        report_plan(report, animator.plan_transfer(reference, settings=settings))
        return
    result = animator.transfer(reference, pose, pose_frame=pose_frame, settings=settings)
    save_all(report, result, outputs, VideoSettings())

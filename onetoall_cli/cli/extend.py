"""`onetoall extend`: continue an existing clip with more motion, from its last frames."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

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
from onetoall_cli.cli.generation import files_of, planned_outputs, report_plan, save_all, with_preset
from onetoall_cli.cli.options import OutputOptions, Restart, Seeds, subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.files import default_name


@subcommand
def extend(
    clip: Annotated[Path, Argument(help="The video to continue.")],
    driving: Annotated[Path, Argument(help="More motion: video, GIF, folder of pictures or pose file.")],
    reference: Annotated[Path, Option(help="Picture of the character, as for `animate`.")],
    motion: MotionSettings,
    model: ModelSettings,
    seeds: Seeds,
    generation: GenerationSettings,
    video: VideoSettings,
    target: OutputOptions,
    report: Report,
    ref_pose: Annotated[Path | None, Option(help="Pose file of the reference.")] = None,
    clip_pose: Annotated[
        Path | None, Option(help="Pose file of the clip (its last frames count), where no person is found.")
    ] = None,
    face: Annotated[Face, Option(help="How strongly the face steers.")] = "auto",
    head: Annotated[Head, Option(help="How strongly the head steers.")] = "auto",
    restart: Restart = False,
) -> None:
    """Continue a clip with more motion, in one file.

    The person goes on from where the clip ends: the new motion is scaled and moved there as a whole.

    Example: onetoall extend out.mp4 dance2.mp4 --reference ref.png -o longer.mp4
    """
    from onetoall_cli.animator import load
    from onetoall_cli.media import VIDEO_ENDINGS

    default, taken = default_name(clip, ending="-extended.mp4"), [clip, driving, reference, ref_pose, clip_pose]
    outputs = planned_outputs(default, target, seeds, VIDEO_ENDINGS, inputs=[*taken, *files_of(model)])
    animator = load(settings=with_preset(model, generation), listener=report.listener)
    alignment = AlignSettings(face=face, head=head, ref_pose=ref_pose)
    settings = Settings(motion, alignment, generation=generation)
    if target.dry_run:
        report_plan(report, animator.plan_extension(clip, driving, settings=settings))
        return
    result = animator.extend(clip, driving, reference, clip_pose=clip_pose, settings=settings)
    save_all(report, result, outputs, video, restart=restart or target.overwrite)

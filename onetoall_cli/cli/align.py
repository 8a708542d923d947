"""`onetoall align`: bring reference and motion together and stop there, to look at or to change before `animate`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from onetoall_cli.animator.progress import DRAWING
from onetoall_cli.animator.settings import AlignSettings, MotionSettings, Settings, SizeSettings
from onetoall_cli.cli.options import OutputOptions, subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.files import Output, default_name, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from onetoall_cli.animator import Aligned


@subcommand
def align(
    reference: Annotated[Path, Argument(help="Picture of the character, any framing.")],
    driving: Annotated[Path, Argument(help="Driving video, GIF, folder of pictures or pose file.")],
    motion: MotionSettings,
    alignment: AlignSettings,
    size: SizeSettings,
    target: OutputOptions,
    report: Report,
    model: Annotated[
        str | None,
        Option(metavar="NAME|DIR", help="Whose default size to use; default: the model `animate` would take."),
    ] = None,
    preview: Annotated[
        Path | None, Option(metavar="PNG", help="Also write one picture that shows what was brought together how.")
    ] = None,
    preview_video: Annotated[
        Path | None, Option(metavar="FILE", help="Also write a video of driver, reference and pose, frame by frame.")
    ] = None,
) -> None:
    """Write what `animate` would feed the network, into a folder.

    The folder holds reference.png, mask.png (white: unknown), reference_pose.png, pose.json (the motion; edit it in
    an OpenPose editor), pose.mp4 (the same, drawn) and meta.json (what was chosen and why).

    Example: onetoall align ref.png dance.mp4 -o aligned/
    Then: onetoall animate --from aligned/ -o out.mp4
    """
    from onetoall_cli.animator import align_inputs, defaults_of
    from onetoall_cli.media import PICTURE_ENDINGS, VIDEO_ENDINGS

    folder = target.output or default_name(reference, driving, ending="-aligned")
    check_targets(
        [
            Output(folder, kind="aligned input"),
            Output(preview, PICTURE_ENDINGS, option="--preview") if preview else None,
            Output(preview_video, VIDEO_ENDINGS, option="--preview-video") if preview_video else None,
        ],
        inputs=[reference, driving, alignment.ref_pose],
        overwrite=target.overwrite,
    )
    defaults = defaults_of(model)
    settings = Settings(motion, alignment, size)
    if target.dry_run:
        _report_plan(reference, driving, settings, defaults.short_side, folder, report)
        return
    aligned = align_inputs(reference, driving, settings, defaults, report.listener)
    made = aligned.conditioning
    with together():
        if preview is not None:
            _write_preview(preview, aligned, _driving_pictures(driving, motion))
        if preview_video is not None:
            _write_preview_video(preview_video, aligned, _driving_pictures(driving, motion))
        made.save(folder, progress=report.listener.counter(DRAWING))
    report.result(
        f"{folder}  {len(made.motion)} frames, {made.width} x {made.height}",
        output=folder,
        preview=preview,
        preview_video=preview_video,
        frames=len(made.motion),
        width=made.width,
        height=made.height,
        alignment=made.meta,
    )


def _report_plan(
    reference: Path, driving: Path, settings: Settings, short_side: int, folder: Path, report: Report
) -> None:
    from onetoall_cli.alignment import unusual_size
    from onetoall_cli.animator.inputs import count_frames
    from onetoall_cli.animator.plans import output_size
    from onetoall_cli.media import read_picture

    frames = count_frames(driving, settings.motion)
    height, width = read_picture(reference).shape[:2]
    width, height = output_size(settings.size, width, height, short_side)
    if warning := unusual_size(width, height, short_side):
        report.listener.note(warning)
    report.result(
        f"{frames} frames of {width} x {height} to {folder}.", output=folder, frames=frames, width=width, height=height
    )


def _driving_pictures(driving: Path, motion: MotionSettings) -> Iterator[np.ndarray]:
    """The driving video's pictures, one for each frame of the motion; none for a pose file or a resampled motion."""
    from onetoall_cli.animator.inputs import holds_poses, open_driving

    if not holds_poses(driving) and (motion.fps is None or driving.is_dir()):
        yield from (frame.image for frame in open_driving(driving, motion))


def _write_preview(path: Path, aligned: Aligned, pictures: Iterator[np.ndarray]) -> None:
    from onetoall_cli.alignment.preview import anchor_frame, preview_picture
    from onetoall_cli.media import write_picture

    made = aligned.conditioning
    shown = next(islice(pictures, anchor_frame(made), None), None)
    write_picture(path, preview_picture(aligned.image, aligned.reference_pose, aligned.driving.motion, made, shown))


def _write_preview_video(path: Path, aligned: Aligned, pictures: Iterator[np.ndarray]) -> None:
    from onetoall_cli.alignment.preview import preview_frames
    from onetoall_cli.animator import write_clip

    motion = aligned.driving.motion
    write_clip(path, preview_frames(aligned.conditioning, motion, pictures), motion)

"""`onetoall align`: bring reference and motion together and stop there, to look at or to change before `animate`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from onetoall_cli.cli.alignment import (
    Inputs,
    align_values,
    decided,
    driving_pictures,
    read_inputs,
    with_source,
)
from onetoall_cli.cli.generation import output_size
from onetoall_cli.cli.info import as_arguments, settings_record
from onetoall_cli.cli.inputs import count_frames
from onetoall_cli.cli.options import AlignOptions, MotionOptions, SizeOptions, Target, subcommand
from onetoall_cli.cli.outputs import PICTURE_ENDINGS, VIDEO_ENDINGS, check_targets, write_clip
from onetoall_cli.cli.report import Report
from onetoall_cli.files import together
from onetoall_cli.outputs import Output, default_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from onetoall_cli.align import Conditioning
    from onetoall_cli.hub import GenerationDefaults


@subcommand
def align(
    reference: Annotated[Path, Argument(help="Picture of the character, any framing.")],
    driving: Annotated[Path, Argument(help="Driving video, GIF, folder of pictures or pose file.")],
    motion: MotionOptions,
    alignment: AlignOptions,
    size: SizeOptions,
    target: Target,
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
    folder = target.output or default_name(reference, driving, ending="-aligned")
    check_targets(
        [
            Output(folder, is_folder=True),
            Output(preview, PICTURE_ENDINGS, option="--preview") if preview else None,
            Output(preview_video, VIDEO_ENDINGS, option="--preview-video") if preview_video else None,
        ],
        inputs=[reference, driving, alignment.ref_pose],
        overwrite=target.overwrite,
    )
    defaults = _defaults(model)
    if target.dry_run:
        _report_plan(reference, driving, motion, size, defaults.short_side, folder, report)
        return
    inputs = read_inputs(reference, driving, motion, alignment, report)
    conditioning = align_values(
        inputs.image, inputs.reference_pose, inputs.driving.motion, alignment, size, defaults, report
    )
    options = (part for group in (motion, decided(alignment, conditioning), size) for part in as_arguments(group))
    record = settings_record(["align", str(reference), str(driving), *options], model=None, result={})
    with together(), report.progress() as progress:
        if preview is not None:
            _write_preview(preview, inputs, conditioning, driving_pictures(driving, motion))
        if preview_video is not None:
            _write_preview_video(preview_video, inputs, conditioning, driving_pictures(driving, motion))
        task = progress.add_task("Drawing poses", total=len(conditioning.motion))
        with_source(conditioning, record, inputs.driving.audio).save(
            folder, progress=lambda done, total: progress.update(task, completed=done)
        )
    report.result(
        f"{folder}  {len(conditioning.motion)} frames, {conditioning.width} x {conditioning.height}",
        output=folder,
        preview=preview,
        preview_video=preview_video,
        frames=len(conditioning.motion),
        width=conditioning.width,
        height=conditioning.height,
        alignment=conditioning.meta,
    )


def _report_plan(
    reference: Path,
    driving: Path,
    motion: MotionOptions,
    size: SizeOptions,
    short_side: int,
    folder: Path,
    report: Report,
) -> None:
    from onetoall_cli.media import read_picture

    frames = count_frames(driving, motion)
    height, width = read_picture(reference).shape[:2]
    width, height = output_size(size, width, height, short_side)
    report.result(
        f"{frames} frames of {width} x {height} to {folder}.", output=folder, frames=frames, width=width, height=height
    )


def _write_preview(path: Path, inputs: Inputs, conditioning: Conditioning, pictures: Iterator[np.ndarray]) -> None:
    from onetoall_cli.align.preview import anchor_frame, preview_picture
    from onetoall_cli.media import write_picture

    shown = next(islice(pictures, anchor_frame(conditioning), None), None)
    motion = inputs.driving.motion
    write_picture(path, preview_picture(inputs.image, inputs.reference_pose, motion, conditioning, shown))


def _write_preview_video(
    path: Path, inputs: Inputs, conditioning: Conditioning, pictures: Iterator[np.ndarray]
) -> None:
    from onetoall_cli.align.preview import preview_frames

    motion = inputs.driving.motion
    write_clip(path, preview_frames(conditioning, motion, pictures), motion)


def _defaults(model: str | None) -> GenerationDefaults:
    """The defaults of `model`, of the model `animate` would take, or the released ones if none is installed."""
    from onetoall_cli.errors import ModelMissing
    from onetoall_cli.hub import GenerationDefaults, locate_model

    try:
        return locate_model(model).defaults
    except ModelMissing:
        if model is not None:
            raise
        return GenerationDefaults()

"""`onetoall pose`: the people of a video or picture as keypoints in a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from onetoall_cli.animator.progress import DRAWING
from onetoall_cli.animator.settings import MotionSettings
from onetoall_cli.cli.options import OutputOptions, SkipExisting, subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import Kind, Output, default_name, together

if TYPE_CHECKING:
    from onetoall_cli.pose import PoseSequence


@subcommand
def pose(
    source: Annotated[Path, Argument(help="Video, GIF, folder of pictures, picture, or another pose file.")],
    motion: MotionSettings,
    target: OutputOptions,
    report: Report,
    preview: Annotated[
        Path | None,
        Option(metavar="FILE", help="Also write the video or picture with numbered skeletons over it."),
    ] = None,
    openpose: Annotated[
        Path | None,
        Option(metavar="FILE|DIR", help="Also write for editors: a ComfyUI list (X.json) or an OpenPose folder."),
    ] = None,
    device: Annotated[str, Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    skip_existing: SkipExisting = False,
) -> None:
    """Detect and track people; write their keypoints.

    Everyone is written unless --person chooses; `animate` and `align` take the file in place of the video.

    Example: onetoall pose dance.mp4 -o dance.json --preview dance-pose.mp4
    """
    from onetoall_cli.animator import detect_poses
    from onetoall_cli.animator.inputs import count_frames
    from onetoall_cli.pose import export_openpose, quality_of, select_person

    output = target.output or default_name(source, ending=".pose.json")
    if skip_existing and output.exists():
        report.result(f"{output} is there already.", skipped=[output])
        return
    check_targets(_outputs(output, preview, openpose), inputs=[source], overwrite=target.overwrite)
    if preview is not None:
        _check_preview(preview, source, motion)
    if target.dry_run:
        frames = count_frames(source, motion)
        report.result(f"{frames} frames of {source} to {output}.", frames=frames, output=output)
        return
    people = detect_poses(source, settings=motion, device=device, listener=report.listener)
    with together():
        if preview is not None:
            _write_preview(preview, source, people, motion, report)
        if motion.fps:
            people = people.resampled(motion.fps)
        if openpose is not None:
            export_openpose(people, openpose)
        people.save(output)
    quality = quality_of(select_person(people))  # of whom `animate` would follow
    report.result(
        f"{output}  {len(people)} frames, {people.people} person(s), {people.width} x {people.height}\n"
        f"{quality.sentence()}",
        output=output,
        preview=preview,
        openpose=openpose,
        frames=len(people),
        people=people.people,
        width=people.width,
        height=people.height,
        fps=people.fps,
        quality=asdict(quality),
    )


def _outputs(output: Path, preview: Path | None, openpose: Path | None) -> list[Output | None]:
    from onetoall_cli.media import PICTURE_ENDINGS, VIDEO_ENDINGS

    kind: Kind | None = "OpenPose files" if openpose and openpose.suffix.lower() != ".json" else None
    return [
        Output(output, (".json",)),
        Output(preview, (*VIDEO_ENDINGS, *PICTURE_ENDINGS), option="--preview") if preview else None,
        Output(openpose, kind=kind, option="--openpose") if openpose else None,
    ]


def _check_preview(path: Path, source: Path, motion: MotionSettings) -> None:
    from onetoall_cli.animator.inputs import count_frames, holds_poses

    if holds_poses(source):
        raise BadInput(f"{source} holds poses and no pictures to draw them on.", "Leave --preview out.")
    if not _is_video(path) and count_frames(source, motion) > 1:
        raise BadInput(f"{path} is the name of a picture, and {source} has several frames.", "Name a video.")


def _is_video(path: Path) -> bool:
    from onetoall_cli.files.streams import ending_of
    from onetoall_cli.media import VIDEO_ENDINGS
    from onetoall_cli.media.containers import VIDEO_STREAMED_AS

    return ending_of(path, VIDEO_STREAMED_AS) in VIDEO_ENDINGS


def _write_preview(path: Path, source: Path, people: PoseSequence, motion: MotionSettings, report: Report) -> None:
    """The source's frames with their skeletons; of a picture a picture, if the name is one's."""
    from onetoall_cli.animator.inputs import open_driving
    from onetoall_cli.media import VideoWriter, write_picture
    from onetoall_cli.pose import overlay_pose

    video = open_driving(source, motion)
    if not _is_video(path):
        (frame,) = video
        write_picture(path, overlay_pose(frame.image, people.keypoints[0]))
        return
    sounds = [video.audio] if video.audio else []
    with VideoWriter(path, video.width, video.height, fps=video.fps, audio=sounds) as writer:
        for number, (frame, keypoints) in enumerate(zip(video, people.by_frame(), strict=True), start=1):
            writer.write(overlay_pose(frame.image, keypoints), time=frame.time)
            report.progress(DRAWING, number, len(people))

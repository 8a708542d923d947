"""What a generating command puts out: the video, the frames as PNGs, the comparison; all whole or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.options import SideOptions, Target
from onetoall_cli.cli.report import leave_stdout
from onetoall_cli.errors import BadInput
from onetoall_cli.files import together
from onetoall_cli.outputs import Output, check_outputs
from onetoall_cli.streams import descriptor, is_output_stream

if TYPE_CHECKING:
    import numpy as np

    from onetoall_cli.align import Conditioning
    from onetoall_cli.media import Audio
    from onetoall_cli.pose import PoseSequence

VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".gif")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class VideoTargets:
    """The files one run writes."""

    video: Path
    compare: Path | None
    frames: Path | None


def check_targets(outputs: Iterable[Output | None], *, inputs: Iterable[Path | None] = (), overwrite: bool) -> None:
    """`check_outputs` of those that are wanted; one that is standard output gets it for itself."""
    wanted = [output for output in outputs if output is not None]
    if any(descriptor(output.path, dash=1) == 1 for output in wanted):
        leave_stdout()
    check_outputs(wanted, inputs=inputs, overwrite=overwrite)


def video_targets(
    default: Path, target: Target, sides: SideOptions | None = None, *, inputs: Iterable[Path | None]
) -> VideoTargets:
    """Name the outputs and check, before any work, that each can be written.

    Raises:
        BadInput: an unknown container, and all else of `check_outputs`.
        OutOfResources: the disk is full.
    """
    sides = sides or SideOptions()
    video = target.output or default
    if sides.compare and is_output_stream(video):
        raise BadInput("--compare names its file after the output, and a stream has no name.", "Write to a file.")
    compare = video.with_name(f"{video.stem}-compare{video.suffix}") if sides.compare else None
    check_targets(
        [
            Output(video, VIDEO_ENDINGS),
            Output(compare, VIDEO_ENDINGS) if compare else None,
            Output(sides.frames, is_folder=True, option="--frames") if sides.frames else None,
        ],
        inputs=inputs,
        overwrite=target.overwrite,
    )
    return VideoTargets(video, compare, sides.frames)


def write_video(
    targets: VideoTargets,
    frames: Iterable[tuple[np.ndarray, float]],
    conditioning: Conditioning,
    *,
    audio: Sequence[Audio],
    crf: int,
    metadata: dict[str, Any],
) -> int:
    """Stream `frames` into every target.

    Args:
        targets: Where to.
        frames: uint8 (H, W, 3) and the time in seconds at which it is shown.
        conditioning: Size and frame rate; the comparison shows its reference and its poses, frame by frame.
        audio: Sounds to carry, one after the other.
        crf: H.264 quality.
        metadata: Settings to store in the files.

    Returns:
        How many frames were written.
    """
    from onetoall_cli.media import FrameFolderWriter, VideoWriter, side_by_side

    width, height = conditioning.width, conditioning.height
    common: dict[str, Any] = {"crf": crf, "audio": list(audio), "metadata": metadata}
    common["fps"] = frame_rate(conditioning.motion.fps)
    count = 0
    with ExitStack() as stack:
        stack.enter_context(together())
        video = stack.enter_context(VideoWriter(targets.video, width, height, **common))
        folder = stack.enter_context(FrameFolderWriter(targets.frames, metadata=metadata)) if targets.frames else None
        compare = (
            stack.enter_context(VideoWriter(targets.compare, 3 * width, height, **common)) if targets.compare else None
        )
        for frame, time in frames:
            video.write(frame, time=time)
            if folder:
                folder.write(frame)
            if compare:
                (pose,) = conditioning.pose_frames(count, count + 1)
                compare.write(side_by_side([conditioning.reference, pose, frame], height), time=time)
            count += 1
    return count


def write_clip(
    path: Path, frames: Iterable[np.ndarray], motion: PoseSequence, metadata: dict[str, Any] | None = None
) -> None:
    """Write frames of one size, uint8 (H, W, 3), each shown when the motion's frame of its number is."""
    from onetoall_cli.media import VideoWriter

    waiting = iter(frames)
    first = next(waiting)
    rate = frame_rate(motion.fps)
    with VideoWriter(path, first.shape[1], first.shape[0], fps=rate, metadata=metadata) as video:
        for frame, time in zip(chain([first], waiting), motion.clock(), strict=True):
            video.write(frame, time=float(time))


def frame_rate(fps: float) -> Fraction:
    """The rate as the fraction a container stores: 29.97 is 30000/1001."""
    return Fraction(fps).limit_denominator(1001)

"""Reads driving videos of any format: upright RGB frames with the times at which they are shown."""

from fractions import Fraction
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.files.names import PICTURE_SUFFIXES
from onetoall_cli.files.streams import input_ending
from onetoall_cli.media.movie import open_movie
from onetoall_cli.media.stills import open_animation, open_folder
from onetoall_cli.media.video import Video


def open_video(
    path: Path | str, *, start: float = 0.0, duration: float | None = None, fps: Fraction | float | None = None
) -> Video:
    """Open a video, an animated or still picture, or a folder of pictures for reading.

    Frames come upright (rotation metadata is applied), with square pixels, in sRGB (any YUV matrix and range; HDR is
    tone-mapped; transparency becomes white), each with its true time. A still picture is a video of one frame.

    Args:
        path: A file, a pipe (`-`: standard input), or a folder whose pictures are taken in natural order (frame2
            before frame10).
        start: Seconds from the first frame. At a constant rate the part begins with the whole frame on screen then;
            at a variable rate at `start` itself.
        duration: Seconds; None or too much: to the end.
        fps: Rate of a folder of pictures, which has no clock of its own (25 if not given); a file keeps its own.

    Raises:
        BadInput: It is missing, unreadable, no video, has no frame, or is shorter than `start`.
    """
    path = Path(path)
    if start < 0:
        raise BadInput(f"The start {start:g} s is negative.", "Count from the beginning of the video.")
    if duration is not None and duration <= 0:
        raise BadInput(f"The duration {duration:g} s is not positive.", "Leave it out to take all that follows.")
    if fps is not None and fps <= 0:
        raise BadInput(f"The frame rate {float(fps):g} is not positive.", "Give frames a second, such as 25.")
    if path.is_dir():
        return open_folder(path, start, duration, fps)
    if input_ending(path) in PICTURE_SUFFIXES:
        return open_animation(path, start, duration)
    return open_movie(path, start, duration)

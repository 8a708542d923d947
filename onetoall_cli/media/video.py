"""What reading a moving picture gives, wherever it came from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.media.audio import Audio
from onetoall_cli.media.timeline import Part, Timeline


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        image: Uint8 (height, width, 3), sRGB, upright.
        time: Seconds from the start of the part that was opened; the first frame's is 0.
    """

    image: NDArray[np.uint8]
    time: float


@dataclass(frozen=True)
class Video:
    """A part of a video, ready to be read: iterating yields its `Frame`s, as often as asked, one in memory at a time.

    Attributes:
        path: The file or folder.
        width, height: Pixels, upright and square.
        fps: Frames a second: exact where the rate is constant, else frames by duration.
        variable_rate: Frames are not all shown equally long, so that `Frame.time` is the only clock.
        start: Seconds from the file's first frame to the beginning of this part.
        duration: Seconds, to the end of the last frame.
        frames_estimate: How many frames there will be; only a damaged file gives fewer.
        audio: The sound of this part on the same clock, or None.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    variable_rate: bool
    start: Fraction
    duration: float
    frames_estimate: int
    audio: Audio | None
    _frames: Callable[[], Iterator[Frame]] = field(repr=False)

    @property
    def has_audio(self) -> bool:
        return self.audio is not None

    def __iter__(self) -> Iterator[Frame]:
        return self._frames()


def part_of_video(
    path: Path,
    size: tuple[int, int],
    timeline: Timeline,
    start: float,
    duration: float | None,
    frames: Callable[[Part], Iterator[Frame]],
    sound: Callable[[Part], Audio] | None = None,
) -> Video:
    """The `Video` from `start` for `duration` seconds of a timeline.

    Args:
        size: (width, height).
        frames: Opens an iterator over the frames of a part.
        sound: Makes the sound of a part; None: there is none.

    Raises:
        BadInput: The timeline ends before `start`.
    """
    if start >= timeline.duration:
        problem = f"{path} is {float(timeline.duration):.3f} s long: there is nothing at {start:g} s."
        raise BadInput(problem, "Start earlier.")
    part = timeline.part(start, duration)
    return Video(
        path=path,
        width=size[0],
        height=size[1],
        fps=timeline.fps,
        variable_rate=not timeline.constant,
        start=part.origin,
        duration=float(part.duration),
        frames_estimate=part.stop - part.first,
        audio=sound(part) if sound else None,
        _frames=partial(frames, part),
    )

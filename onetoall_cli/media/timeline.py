"""When each frame of a video is shown, known before one picture is decoded.

Knowing the clock beforehand makes lengths exact, seeking certain, and a constant rate a fact, not a header's claim.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.media.containers import tick_of

DEFAULT_FPS = Fraction(25)  # ffmpeg's own default for what carries no clock
LONGEST_DENOMINATOR = 1001  # of every frame rate in use: 24000/1001, 30000/1001, 60000/1001
_NTSC = Fraction(1001, 1000)  # by which television's rates are slower than whole ones
TOLERANCE = Fraction(1, 1000)  # seconds: times are typed with three decimals
_FINEST_TICK = 90_000  # ticks a second at least: MPEG's own clock, fine enough for any variable rate
_COARSEST = Fraction(1, 2)  # frames in a tick: with fewer ticks, a lost frame looks like a slower rate


@dataclass(frozen=True)
class Part:
    """A stretch of a timeline: frames `first` to `stop` (exclusive), beginning at `origin`, `duration` seconds long."""

    first: int
    stop: int
    origin: Fraction
    duration: Fraction


@dataclass(frozen=True)
class Timeline:
    """The clock of one video; seconds count from its first frame.

    Attributes:
        pts: Int64 (frames,), ascending: when each frame is shown, in ticks.
        tick: Seconds.
        fps: The rate where it is constant, else frames by duration.
        constant: Every frame lies within a tick of `index / fps`.
        duration: Seconds to the end of the last frame.
        stamped: False where the file stores no times; `pts` are then the frames' numbers.
        keyframes: Int64 (keyframes, 2), ascending: pts and decoding time of the frames that decoding can start at.
        hidden: How many more frames are stored that an edit list cuts away.
    """

    pts: NDArray[np.int64]
    tick: Fraction
    fps: Fraction
    constant: bool
    duration: Fraction
    stamped: bool
    keyframes: NDArray[np.int64]
    hidden: int = 0

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, index: int) -> Fraction:
        """When frame `index` is first shown."""
        if self.constant:
            return index / self.fps
        return int(self.pts[index] - self.pts[0]) * self.tick

    def seconds_into(self, part: Part, index: int) -> float:
        """When frame `index` is first seen, from the beginning of `part`."""
        return float(max(self.seconds(index) - part.origin, Fraction(0)))

    def index_of(self, pts: int | None) -> int | None:
        """The frame shown at `pts` ticks, or None for a time that is not in the timeline."""
        if pts is None:
            return None
        index = int(np.searchsorted(self.pts, pts))
        return index if index < len(self.pts) and self.pts[index] == pts else None

    def part(self, start: float, duration: float | None) -> Part:
        """What is on screen from `start` (before the end) for `duration` seconds (None: to the end).

        At a constant rate the part begins with the frame on screen at `start`, whole, so that the rate stays
        constant. At a variable rate it begins at `start` itself, with what is left of that frame.
        """
        begin = _typed(start)
        end = self.duration if duration is None else begin + _typed(duration)
        if self.constant:
            first = min(math.floor((begin + TOLERANCE) * self.fps), len(self) - 1)
            stop = min(len(self), max(first + 1, math.ceil((end - TOLERANCE) * self.fps)))
            return Part(first, stop, first / self.fps, (stop - first) / self.fps)
        first = self._on_screen(begin + TOLERANCE)
        if self.seconds(first) > begin - TOLERANCE:
            begin = self.seconds(first)
        stop = max(first, self._on_screen(end - TOLERANCE)) + 1
        return Part(first, stop, begin, min(end, self.duration) - begin)

    def seek_point(self, index: int) -> int | None:
        """The decoding time to seek to so that frame `index` follows; None: nothing before it can be skipped."""
        earlier = int(np.searchsorted(self.keyframes[:, 0], self.pts[index], side="right"))
        return int(self.keyframes[earlier - 1, 1]) if self.stamped and earlier > 1 else None

    def _on_screen(self, seconds: Fraction) -> int:
        ticks = self.pts[0] + math.floor(seconds / self.tick)
        return max(0, int(np.searchsorted(self.pts, ticks, side="right")) - 1)


def read_timeline(container: av.container.InputContainer, stream: av.VideoStream) -> Timeline:
    """Read the clock of `stream` from its packets; `container` is left at its end.

    Raises:
        av.FFmpegError: Not one packet can be read.
    """
    shown: list[tuple[int, int]] = []  # pts, duration
    keyframes: list[tuple[int, int]] = []  # pts, dts
    unstamped = hidden = 0
    try:
        for packet in container.demux(stream):
            hidden += packet.is_discard
            if not is_shown(packet):
                continue
            if packet.pts is None:
                unstamped += 1
                continue
            shown.append((packet.pts, packet.duration or 0))
            if packet.is_keyframe:
                keyframes.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
    except av.FFmpegError:  # a damaged end: the clock covers what is there; the reader tells the user
        if not shown and not unstamped:
            raise
    claims = [Fraction(rate) for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate) if rate]
    if unstamped or not shown:
        return counted(len(shown) + unstamped, claims[0] if claims else DEFAULT_FPS)
    shown.sort()
    if stream.duration and stream.frames <= len(shown) + hidden:  # nothing torn off
        last = shown[-1][0]
        end = (stream.start_time or 0) + stream.duration
        shown[-1] = (last, end - last if end > last else shown[-1][1])
    return replace(stamped(shown, tick_of(stream), claims, sorted(keyframes)), hidden=hidden)


def is_shown(packet: av.Packet) -> bool:
    """Whether a packet holds a frame to show: not the flush packet, not cut away by an edit list, not torn off."""
    return packet.size > 0 and not packet.is_discard and not packet.is_corrupt


def counted(frames: int, fps: Fraction) -> Timeline:
    """The timeline of numbered frames at a constant rate."""
    pts = np.arange(frames, dtype=np.int64)
    return Timeline(pts, 1 / fps, fps, True, frames / fps, stamped=False, keyframes=np.empty((0, 2), np.int64))


def stamped(
    shown: list[tuple[int, int]], tick: Fraction, claims: list[Fraction], keyframes: list[tuple[int, int]]
) -> Timeline:
    """The timeline of frames with times.

    Args:
        shown: (pts, duration) of each frame in ticks, ascending; a duration of 0 is unknown.
        tick: Seconds.
        claims: Frame rates the file's headers give, most trusted first.
        keyframes: (pts, dts) of the frames that decoding can start at.
    """
    pts = np.unique(np.array([time for time, _ in shown], dtype=np.int64))
    keys = np.array(keyframes, dtype=np.int64).reshape(-1, 2)
    frames, last = len(pts), shown[-1][1] * tick
    if frames == 1:
        fps = tidy_rate(1 / last) if last else (claims or [DEFAULT_FPS])[0]
        return Timeline(pts, tick, fps, True, 1 / fps, True, keys)
    span = int(pts[-1] - pts[0]) * tick
    measured = (frames - 1) / span
    whole, ntsc = Fraction(round(measured)), Fraction(1000 * round(measured * _NTSC), 1001)
    guesses = [whole, ntsc, tidy_rate(measured)] if measured * tick <= _COARSEST else []
    for fps in [*claims, *guesses]:
        if fps and _is_constant(pts, tick, fps):
            return Timeline(pts, tick, fps, True, frames / fps, True, keys)
    duration = span + (last or span / (frames - 1))
    return Timeline(pts, tick, tidy_rate(frames / duration), False, duration, True, keys)


def tidy_rate(fps: Fraction | float) -> Fraction:
    """The simplest fraction that is this frame rate."""
    return Fraction(fps).limit_denominator(LONGEST_DENOMINATOR) or Fraction(1, LONGEST_DENOMINATOR)


def fine_tick(frame_time: Fraction) -> Fraction:
    """The longest time base, seconds, of at least 90000 ticks a second that `frame_time` is a whole number of."""
    return Fraction(1, frame_time.denominator * -(-_FINEST_TICK // frame_time.denominator))


def _is_constant(pts: NDArray[np.int64], tick: Fraction, fps: Fraction) -> bool:
    """Whether the times are `index / fps` rounded to ticks: rounding keeps the errors within one tick of each other."""
    ticks_per_frame = float(1 / (fps * tick))
    errors = (pts - pts[0]) - np.arange(len(pts)) * ticks_per_frame
    return float(errors.max() - errors.min()) < min(1.001, 0.5 * ticks_per_frame)


def _typed(seconds: float) -> Fraction:
    """A time as it was typed, without its binary rounding."""
    return Fraction(seconds).limit_denominator(1_000_000)

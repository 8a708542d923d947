"""Deinterlaces video: one full frame for each stored frame, which holds the lines of two moments in turn."""

from collections import deque
from collections.abc import Iterable, Iterator

import av

_SMALLEST = 8  # px a side; bwdif wants 3 lines and columns in each plane, and chroma is halved

Numbered = tuple[int, av.VideoFrame]


def deinterlaced(frames: Iterable[Numbered]) -> Iterator[Numbered]:
    """Pass numbered frames on, those flagged as interlaced through ffmpeg's bwdif: as many as came, with their numbers.

    What becomes of an interlaced frame depends on the frames on both sides, so give one more of each than you need.
    """
    before: av.VideoFrame | None = None
    running: _Deinterlacer | None = None
    for number, frame in frames:
        if running is not None and running.kind != _kind(frame):
            yield from running.rest()
            before, running = None, None
        if running is None and _is_interlaced(frame):
            running = _Deinterlacer(frame, before)
        if running is None:
            before = frame
            yield number, frame
        else:
            yield from running.add(number, frame)
    if running is not None:
        yield from running.rest()


def _is_interlaced(frame: av.VideoFrame) -> bool:
    return frame.interlaced_frame and min(frame.width, frame.height) >= _SMALLEST


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


class _Deinterlacer:
    """A filter graph for frames like `frame`, which gives a frame once it has seen the next one.

    Args:
        frame: The first to be added.
        before: The one before it; None, or one of another kind: there is none.
    """

    def __init__(self, frame: av.VideoFrame, before: av.VideoFrame | None) -> None:
        self.kind = _kind(frame)
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        # the frames that are not flagged pass unchanged; the order of the fields is the frame's own
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()
        self._numbers: deque[int | None] = deque()  # of what is in the graph; None: not to be given out
        self._first: Numbered | None = None
        if before is not None and _kind(before) == self.kind:
            self._push(None, before)

    def add(self, number: int, frame: av.VideoFrame) -> Iterator[Numbered]:
        if not self._numbers and self._first is None:
            self._first = number, frame
        else:
            if self._first is not None:
                # without one before it bwdif would leave the first as it is: the next stands on both sides
                self._push(None, frame)
                self._push(*self._first)
                self._first = None
            self._push(number, frame)
        return self._ready()

    def rest(self) -> Iterator[Numbered]:
        """End: what still waits for a next frame."""
        if self._first is not None:
            self._push(*self._first)
        self._graph.push(None)
        return self._ready()

    def _push(self, number: int | None, frame: av.VideoFrame) -> None:
        self._graph.push(frame)
        self._numbers.append(number)

    def _ready(self) -> Iterator[Numbered]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            number = self._numbers.popleft()
            if number is not None:
                yield number, frame

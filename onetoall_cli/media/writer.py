"""Videos out: frames with their times, sound on the same clock, settings as metadata; whole or not at all."""

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.media.animation_writer import AnimationWriter
from onetoall_cli.media.audio import Audio
from onetoall_cli.media.containers import ALPHA_ENDINGS, VIDEO_STREAMED_AS, MovieFormat, video_format
from onetoall_cli.media.file_errors import writing
from onetoall_cli.media.movie_writer import MovieWriter
from onetoall_cli.media.timeline import tidy_rate

_log = logging.getLogger(__name__)


class VideoWriter:
    """Write a video file frame by frame: `with VideoWriter(...) as writer: writer.write(image)`.

    The suffix chooses what is written (`containers.WRITTEN`). .mp4, .mov, .mkv: H.264 (yuv420p, BT.709) and AAC; .webm:
    VP9 and Opus. Sound is copied from its source where it begins at 0 and the container can hold it, else decoded, cut
    to the sample and encoded. Animated pictures repeat for ever and have no sound: .gif: 256 colours a frame, times in
    1/100 s; .webp: lossy, times in 1/1000 s; .apng: lossless, times as fractions. They leave out frames that follow
    within 10 ms, which players slow down. Equal input gives equal bytes. The file appears when the block ends without
    an exception; otherwise nothing is left.

    Args:
        path: Output file; a stream whose name has no suffix gets an .mp4.
        width, height: Pixels. Odd ones are made even by repeating the last column or row, but not in animated
            pictures.
        fps: Frames a second, for frames written without a time.
        crf: Quality on x264's scale: 0 is best, 18 looks like the source, 51 is worst. .gif and .apng do without.
        audio: Sound to carry: `Video.audio`, or several, heard one after another or each from its `at`.
        metadata: Settings to keep in the file; `read_metadata` gives them back. "title" is also a video file's title.
        alpha: Whether frames have transparency. .mov is ProRes 4444 then, .webm VP9; no other can.

    Raises:
        BadInput: On creation for a suffix that is unknown or without transparency, a size, rate or crf that cannot be;
            on entering for sound that cannot be read or a folder that cannot be written; on writing for what an
            animated picture cannot hold.
        OutOfResources: The disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        *,
        fps: Fraction | float,
        crf: int = 18,
        audio: Audio | Sequence[Audio] | None = None,
        metadata: Mapping[str, Any] | None = None,
        alpha: bool = False,
    ) -> None:
        self.path, self.width, self.height = Path(path), width, height
        self._output = video_format(self.path)
        self._alpha = self._output.alpha if alpha and isinstance(self._output, MovieFormat) else None
        if alpha and self._alpha is None:
            raise BadInput(f"{path} cannot hold transparency.", f"Write {' or '.join(ALPHA_ENDINGS)}.")
        if width < 1 or height < 1:
            raise BadInput(f"A video of {width}x{height} pixels cannot be.", "Give both sides a positive size.")
        if fps <= 0:
            raise BadInput(f"The frame rate {float(fps):g} is not positive.", "Give frames a second, such as 25.")
        if not 0 <= crf <= 51:
            raise BadInput(f"The quality --crf {crf} is out of range.", "Give 0 (best) to 51 (worst).")
        self._frame_time = 1 / tidy_rate(fps)
        self._crf, self._metadata = crf, metadata
        self._audio = [audio] if isinstance(audio, Audio) else audio or []
        self._pending: tuple[int, av.VideoFrame] | None = None  # waits for the next one's time, its own end
        self._latest: Fraction | None = None  # seconds: when the last frame is shown
        self._next = Fraction(0)  # and when one without a time would be

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as stack:
            temporary = stack.enter_context(whole_file(self.path, ending=VIDEO_STREAMED_AS))
            self._file = self._writer(temporary)
            with writing(self.path):
                stack.enter_context(self._file)
            self._exits = stack.pop_all()
        return self

    def write(self, image: NDArray[np.uint8], time: float | None = None, duration: float | None = None) -> None:
        """Add a frame.

        Args:
            image: Uint8 (height, width, 3), sRGB; with transparency (height, width, 4), not multiplied with it.
            time: Seconds from the start at which it is shown; None: when the frame before it ends.
            duration: Seconds it is shown for if no other frame follows before; None: one frame at the writer's rate.
        """
        shape = (self.height, self.width, 4 if self._alpha else 3)
        if image.dtype != np.uint8 or image.shape != shape:
            expected = f"uint8 {shape}"
            raise ValueError(f"a frame is {image.dtype} {image.shape}, but the video takes {expected}")
        shown = self._next if time is None else Fraction(time)
        pts = round(shown / self._file.tick)
        if pts < 0:
            raise ValueError(f"a frame at {float(shown)} s is before the beginning")
        self._next = shown + (self._frame_time if duration is None else Fraction(duration))
        if self._latest is not None and shown <= self._latest:
            raise ValueError(f"a frame at {float(shown)} s does not follow the one before it")
        self._latest = shown
        if self._pending is not None and pts < self._pending[0] + self._file.shortest:
            return
        self._write_pending(pts)
        self._pending = (pts, self._file.encodable(image))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException:
            self._exits.__exit__(*sys.exc_info())
            raise
        self._exits.__exit__(kind, error, trace)

    def _writer(self, temporary: Path) -> MovieWriter | AnimationWriter:
        """What writes this kind of file."""
        output, size, metadata = self._output, (self.width, self.height), self._metadata
        if isinstance(output, MovieFormat):
            return MovieWriter(
                temporary,
                output,
                size,
                self._frame_time,
                crf=self._crf,
                audio=self._audio,
                metadata=metadata,
                alpha=self._alpha,
            )
        if self._audio:
            _log.warning("%s has no sound: an animated picture cannot carry any.", self.path)
        return AnimationWriter(temporary, output, size, self._frame_time, crf=self._crf, metadata=metadata)

    def _write_pending(self, end: int) -> None:
        """Write the frame whose end, in ticks, is now known."""
        if self._pending is not None:
            (begin, frame), self._pending = self._pending, None
            with writing(self.path):
                self._file.write(frame, begin, end)

    def _finish(self) -> None:
        if self._pending is None:
            raise ValueError(f"{self.path}: no frame was written")
        end = max(round(self._next / self._file.tick), self._pending[0] + self._file.shortest)
        self._write_pending(end)
        with writing(self.path):
            self._file.finish(end)

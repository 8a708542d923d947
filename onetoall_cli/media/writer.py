"""Videos out: frames with their times, sound on the same clock, settings as metadata; whole or not at all."""

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.media import colour
from onetoall_cli.media.audio import Audio
from onetoall_cli.media.containers import output_format
from onetoall_cli.media.failures import writing
from onetoall_cli.media.metadata import add_gif_comment, metadata_text
from onetoall_cli.media.soundtrack import Soundtrack
from onetoall_cli.media.timeline import tidy_rate

_log = logging.getLogger(__name__)

_FINEST_TICK = 90_000  # ticks a second at least: MPEG's own clock, fine enough for any variable rate
_GIF_TICK = Fraction(1, 100)
_GIF_SHORTEST = 2  # ticks; players slow down anything faster
_THREADS = "4"  # fixed, since x264's and VP9's bytes depend on it: one input, one output on every machine
# x264's AVX-512 code for the macroblock tree works on 8 macroblocks at a time and reads past the last of a row, into
# memory that nobody wrote, unless the width is a multiple of 128: one input gave several streams (core 165). With this
# option it takes the plain code there, and the stream is the same on every processor.
_SAME_ON_EVERY_PROCESSOR = "cpu-independent=1"
_SOUND_LAG = Fraction(1, 2)  # seconds the sound stays behind the pictures, so that it can still be cut at their end
_HIGHEST_CRF = {"libx264": 51, "libvpx-vp9": 63}


class VideoWriter:
    """Write a video file frame by frame: `with VideoWriter(...) as writer: writer.write(image)`.

    The suffix chooses what is written: .mp4, .mov, .mkv: H.264 (yuv420p, BT.709) and AAC; .webm: VP9 and Opus; .gif:
    256 colours a frame, no sound. Sound is copied from its source where it begins at 0 and the container can hold it,
    else decoded, cut to the sample and encoded. Equal input gives equal bytes. The file appears when the block ends
    without an exception; otherwise nothing is left.

    Args:
        path: output file.
        width, height: pixels. Odd ones are made even by repeating the last column or row (not in a .gif).
        fps: frames a second, for frames written without a time.
        crf: quality on x264's scale: 0 is best, 18 looks like the source, 51 is worst.
        audio: sound to carry: `Video.audio`, or several, heard one after another or each from its `at`. A .gif
            leaves it out.
        metadata: settings to keep in the file; `read_metadata` gives them back. "title" is also the file's title.

    Raises:
        BadInput: on creation for an unknown suffix, a size, rate or crf that cannot be; on entering for sound that
            cannot be read or a folder that cannot be written.
        OutOfResources: the disk is full.
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
    ) -> None:
        self.path, self.width, self.height = Path(path), width, height
        self._output = output_format(self.path)
        if width < 1 or height < 1:
            raise BadInput(f"A video of {width}x{height} pixels cannot be.", "Give both sides a positive size.")
        if fps <= 0:
            raise BadInput(f"The frame rate {float(fps):g} is not positive.", "Give frames a second, such as 25.")
        if not 0 <= crf <= 51:
            raise BadInput(f"The quality --crf {crf} is out of range.", "Give 0 (best) to 51 (worst).")
        self._frame_time = 1 / tidy_rate(fps)
        self._crf, self._audio, self._metadata = crf, audio, metadata
        self._is_gif = self._output.video == "gif"
        self._tick = _GIF_TICK if self._is_gif else _fine_tick(self._frame_time)
        self._pending: tuple[int, av.VideoFrame] | None = None  # waits for the next one's time, its own end
        self._lengths: dict[int, int] = {}  # ticks each frame inside the encoder is shown for, by its pts
        self._next = Fraction(0)  # seconds: when a frame without a time is shown

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as stack:
            self._temporary = stack.enter_context(whole_file(self.path))
            options = {"fflags": "+bitexact", **self._output.options}
            with writing(self.path):
                self._container = av.open(str(self._temporary), "w", options=options)
            stack.callback(self._close_quietly)
            self._stream = self._add_pictures()
            self._soundtrack = self._add_sound(stack)
            if self._metadata is not None and not self._is_gif:
                self._container.metadata["comment"] = metadata_text(self._metadata)
                if "title" in self._metadata:
                    self._container.metadata["title"] = str(self._metadata["title"])
            self._exits = stack.pop_all()
        return self

    def write(self, image: NDArray[np.uint8], time: float | None = None, duration: float | None = None) -> None:
        """Add a frame.

        Args:
            image: uint8 (height, width, 3), sRGB.
            time: seconds from the start at which it is shown; None: when the frame before it ends.
            duration: seconds it is shown for if no other frame follows before; None: one frame at the writer's rate.
        """
        if image.dtype != np.uint8 or image.shape != (self.height, self.width, 3):
            expected = f"uint8 ({self.height}, {self.width}, 3)"
            raise ValueError(f"a frame is {image.dtype} {image.shape}, but the video takes {expected}")
        shown = self._next if time is None else Fraction(time)
        pts = round(shown / self._tick)
        if pts < 0:
            raise ValueError(f"a frame at {float(shown)} s is before the beginning")
        self._next = shown + (self._frame_time if duration is None else Fraction(duration))
        if self._pending is not None:
            previous = self._pending[0]
            if self._is_gif and pts < previous + _GIF_SHORTEST:
                return
            if pts <= previous:
                raise ValueError(f"a frame at {float(shown)} s does not follow the one before it")
        with writing(self.path):
            self._encode_pending(until=pts)
        frame = self._encodable(image)
        frame.pts, frame.time_base = pts, self._tick
        self._pending = (pts, frame)

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

    def _add_pictures(self) -> av.VideoStream:
        encoder = self._output.video
        stream = self._container.add_stream(encoder, rate=1 / self._frame_time, options=self._encoder_options())
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = self.width + self._padding[1], self.height + self._padding[0]
        context = stream.codec_context
        context.time_base = self._tick
        context.pix_fmt = "pal8" if self._is_gif else "yuv420p"
        if not self._is_gif:
            context.color_primaries = context.color_trc = context.colorspace = colour.BT709
            context.color_range = colour.LIMITED_RANGE
        return stream

    def _encoder_options(self) -> dict[str, str]:
        encoder = self._output.video
        if encoder == "libx264":
            # No B-frames: with them MP4 cannot say how long the last frame of a variable rate is shown.
            return {"crf": str(self._crf), "bf": "0", "threads": _THREADS, "x264-params": _SAME_ON_EVERY_PROCESSOR}
        if encoder == "libvpx-vp9":
            return {"crf": str(round(self._crf * 63 / 51)), "b": "0", "cpu-used": "4", "threads": _THREADS}
        return {}

    def _add_sound(self, stack: ExitStack) -> Soundtrack | None:
        if not self._audio:
            return None
        if self._output.sound is None:
            _log.warning("%s has no sound: a GIF cannot carry any.", self.path)
            return None
        pieces = [self._audio] if isinstance(self._audio, Audio) else self._audio
        soundtrack = Soundtrack(pieces, self._container, self._output)
        stack.callback(soundtrack.close)
        return soundtrack

    @property
    def _padding(self) -> tuple[int, int]:
        """Rows and columns to add so that both sides are even, as 4:2:0 colour needs."""
        return (0, 0) if self._is_gif else (self.height % 2, self.width % 2)

    def _encodable(self, image: NDArray[np.uint8]) -> av.VideoFrame:
        if self._is_gif:
            return colour.to_palette(image)
        rows, columns = self._padding
        if rows or columns:
            image = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
        return colour.to_yuv(np.ascontiguousarray(image))

    def _encode_pending(self, until: int) -> None:
        """Encode the frame whose end is now known, and the sound up to it."""
        if self._pending is None:
            return
        pts, frame = self._pending
        self._lengths[pts] = until - pts
        self._pending = None
        self._mux(self._stream.encode(frame))
        if self._soundtrack:
            self._soundtrack.write_until(pts * self._tick - _SOUND_LAG)

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._lengths.pop(packet.pts)
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._pending is None:
            raise ValueError(f"{self.path}: no frame was written")
        end = max(round(self._next / self._tick), self._pending[0] + 1)
        with writing(self.path):
            self._encode_pending(until=end)
            if self._soundtrack:
                self._soundtrack.finish(end * self._tick)
            self._mux(self._stream.encode(None))
            self._container.close()
            if self._is_gif and self._metadata is not None:
                add_gif_comment(self._temporary, self._metadata)

    def _close_quietly(self) -> None:
        """Close the container: for good where it is still open, which is after a failure, when its file is removed."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()


def _fine_tick(frame_time: Fraction) -> Fraction:
    """The longest time base, seconds, of at least 90000 ticks a second that `frame_time` is a whole number of."""
    return Fraction(1, frame_time.denominator * -(-_FINEST_TICK // frame_time.denominator))

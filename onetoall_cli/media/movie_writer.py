"""Video files out, by ffmpeg's encoders and muxers: pictures, sound on the same clock, settings as tags."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.media import colour
from onetoall_cli.media.audio import Audio
from onetoall_cli.media.containers import AlphaFormat, MovieFormat
from onetoall_cli.media.metadata import metadata_text
from onetoall_cli.media.soundtrack import Soundtrack
from onetoall_cli.media.timeline import fine_tick

_THREADS = "4"  # fixed, since x264's and VP9's bytes depend on it: one input, one output on every machine
# x264's AVX-512 code for the macroblock tree works on 8 macroblocks at a time and reads past the last of a row, into
# memory that nobody wrote, unless the width is a multiple of 128: one input gave several streams (core 165). With this
# option it takes the plain code there, and the stream is the same on every processor.
_SAME_ON_EVERY_PROCESSOR = "cpu-independent=1"
_SOUND_LAG = Fraction(1, 2)  # seconds the sound stays behind the pictures, so that it can still be cut at their end


class MovieWriter:
    """An .mp4, .mov, .mkv or .webm being written; the arguments are `VideoWriter`'s.

    Attributes:
        tick: Seconds that the frames' times are multiples of.
        shortest: Ticks; a frame that follows another sooner is left out.
    """

    shortest = 1

    def __init__(
        self,
        path: Path,
        output: MovieFormat,
        size: tuple[int, int],
        frame_time: Fraction,
        *,
        crf: int,
        audio: Sequence[Audio],
        metadata: Mapping[str, Any] | None,
        alpha: AlphaFormat | None = None,
    ) -> None:
        self.tick = fine_tick(frame_time)
        self._path, self._output, self._size, self._alpha = path, output, size, alpha
        self._rate, self._crf, self._audio, self._metadata = 1 / frame_time, crf, audio, metadata
        self._lengths: dict[int, int] = {}  # ticks each frame inside the encoder is shown for, by its pts

    def __enter__(self) -> "MovieWriter":
        with ExitStack() as stack:
            self._container = av.open(str(self._path), "w", options={"fflags": "+bitexact", **self._output.options})
            stack.callback(self._close_quietly)
            self._stream = self._add_pictures()
            self._soundtrack = self._add_sound(stack)
            if self._metadata is not None:
                self._container.metadata["comment"] = metadata_text(self._metadata)
                if "title" in self._metadata:
                    self._container.metadata["title"] = str(self._metadata["title"])
            self._exits = stack.pop_all()
        return self

    def encodable(self, image: NDArray[np.uint8]) -> av.VideoFrame:
        """A copy of uint8 (height, width, 3) sRGB, with transparency (height, width, 4), as the encoder takes it."""
        rows, columns = self._padding
        if rows or columns:
            image = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
        return colour.to_yuv(np.ascontiguousarray(image), self._pixels)

    @property
    def _pixels(self) -> str:
        return self._alpha.pixels if self._alpha else "yuv420p"

    def write(self, frame: av.VideoFrame, begin: int, end: int) -> None:
        """Encode a frame, shown from `begin` to `end` ticks, and the sound up to it."""
        frame.pts, frame.time_base = begin, self.tick
        self._lengths[begin] = end - begin
        self._mux(self._stream.encode(frame))
        if self._soundtrack:
            self._soundtrack.write_until(begin * self.tick - _SOUND_LAG)

    def finish(self, end: int) -> None:
        """Complete a file whose last frame ends at `end` ticks."""
        if self._soundtrack:
            self._soundtrack.finish(end * self.tick)
        self._mux(self._stream.encode(None))
        self._container.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _add_pictures(self) -> av.VideoStream:
        encoder = self._alpha.video if self._alpha else self._output.video
        stream = self._container.add_stream(encoder, rate=self._rate, options=self._encoder_options(encoder))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = self._size[0] + self._padding[1], self._size[1] + self._padding[0]
        context = stream.codec_context
        context.time_base = self.tick
        context.pix_fmt = self._pixels
        context.color_primaries = context.color_trc = context.colorspace = colour.BT709
        context.color_range = colour.LIMITED_RANGE
        return stream

    def _encoder_options(self, encoder: str) -> dict[str, str]:
        own = self._alpha.options if self._alpha else {}
        if encoder == "prores_ks":  # its quality is its profile's
            return {"threads": _THREADS, **own}
        if encoder == "libx264":
            # No B-frames: with them MP4 cannot say how long the last frame of a variable rate is shown.
            return {"crf": str(self._crf), "bf": "0", "threads": _THREADS, "x264-params": _SAME_ON_EVERY_PROCESSOR}
        crf = str(round(self._crf * 63 / 51))  # VP9's scale
        return {"crf": crf, "b": "0", "cpu-used": "4", "threads": _THREADS, **own}

    def _add_sound(self, stack: ExitStack) -> Soundtrack | None:
        if not self._audio:
            return None
        soundtrack = Soundtrack(self._audio, self._container, self._output)
        stack.callback(soundtrack.close)
        return soundtrack

    @property
    def _padding(self) -> tuple[int, int]:
        """Rows and columns to add so that both sides are even, as 4:2:0 colour needs."""
        return self._size[1] % 2, self._size[0] % 2

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._lengths.pop(packet.pts)
            self._container.mux(packet)

    def _close_quietly(self) -> None:
        """Close the container: for good where it is still open, which is after a failure, when its file is removed."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

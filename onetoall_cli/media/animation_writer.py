"""Animated pictures out: GIF, WebP and APNG, frame by frame in constant memory, settings inside."""

import math
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.media import colour
from onetoall_cli.media.animated import TOO_SHORT
from onetoall_cli.media.containers import AnimationFormat
from onetoall_cli.media.metadata import metadata_text
from onetoall_cli.media.timeline import fine_tick

# WebP's quality for values of --crf: x264's files and these have equal PSNR of luma there (measured on two dances).
_CRF, _WEBP_QUALITY = (0, 10, 18, 28, 40), (100, 96, 85, 30, 0)


class AnimationWriter:
    """A .gif, .webp or .apng being written; the arguments are `VideoWriter`'s.

    Attributes:
        tick: Seconds that the frames' times are multiples of.
        shortest: Ticks; a frame that follows another sooner is left out, as players would slow down.
    """

    def __init__(
        self,
        path: Path,
        output: AnimationFormat,
        size: tuple[int, int],
        frame_time: Fraction,
        *,
        crf: int,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        self.tick = output.tick or fine_tick(frame_time)
        self.shortest = math.floor(TOO_SHORT / self.tick) + 1
        self._path, self._output, self._size = path, output, size
        self._settings = None if metadata is None else metadata_text(metadata)
        self._encoder = self._open_encoder(crf)
        self._lengths: dict[int, int] = {}  # ticks each frame inside the encoder is shown for, by its pts

    def _open_encoder(self, crf: int) -> av.VideoCodecContext:
        encoder = av.CodecContext.create(self._output.encoder, "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height = self._size
        encoder.pix_fmt, encoder.time_base = self._output.pixels, self.tick
        if self._output.encoder == "libwebp":
            encoder.options = {"quality": str(round(float(np.interp(crf, _CRF, _WEBP_QUALITY))))}
        return encoder

    def __enter__(self) -> "AnimationWriter":
        with ExitStack() as stack:
            self._open = self._path.open("wb")
            stack.callback(self._close_quietly)
            self._file = self._output.file(self._open, self._size, self._settings)
            self._exits = stack.pop_all()
        return self

    def encodable(self, image: NDArray[np.uint8]) -> av.VideoFrame:
        """A copy of uint8 (height, width, 3) sRGB as the encoder takes it."""
        if self._output.pixels == "pal8":
            return colour.to_palette(image)
        return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=self._output.pixels)

    def write(self, frame: av.VideoFrame, begin: int, end: int) -> None:
        """Encode a frame, shown from `begin` to `end` ticks.

        Raises:
            BadInput: The file cannot say that it is shown so long, or becomes too large.
        """
        shown, longest = (end - begin) * self.tick, self._output.file.longest
        if shown > longest:
            at_most = f"but this kind of file has at most {float(longest):g} s"
            raise BadInput(f"A frame is shown for {float(shown):g} s, {at_most}.", "Write a video such as .mp4.")
        frame.pts, frame.time_base = begin, self.tick
        self._lengths[begin] = end - begin
        self._add(self._encoder.encode(frame))

    def finish(self, end: int) -> None:
        """Complete the file; the last frame has said how long it is shown."""
        self._add(self._encoder.encode(None))
        self._file.finish()
        self._open.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _close_quietly(self) -> None:
        """Close the file: where it is still open, which is after a failure, it is removed."""
        with suppress(OSError):
            self._open.close()

    def _add(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None  # every frame has one
            self._file.add(bytes(packet), self._lengths.pop(packet.pts) * self.tick)

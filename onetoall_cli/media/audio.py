"""The sound of a driving video as a value, and reading it: packets as they are, or samples cut to the sample."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.media.containers import open_container, tick_of
from onetoall_cli.media.file_errors import reading
from onetoall_cli.media.timeline import is_shown

_log = logging.getLogger(__name__)

_WARM_UP = Fraction(1, 2)  # seconds decoded before a cut, for codecs whose frames overlap
_JITTER = Fraction(1, 20)  # seconds: a smaller jump in the file's times is rounding, a larger one is silence
_REORDERED = 33  # packets: codecs store a frame at most 16 before its turn


@dataclass(frozen=True)
class Audio:
    """The sound of a file from `start` for `duration` seconds (None: to the end).

    Attributes:
        path: A video or sound file.
        start, duration: Seconds, on the clock of `open_video`: 0 is the file's first frame (its first sound where
            it has no pictures). `Video.audio` is exactly what is heard while that part is seen.
        origin: The file's own time of that 0, seconds; None: it is looked up.
        at: When it is heard in an output, seconds; None: after the sound before it, or from the beginning.
    """

    path: Path | str
    start: Fraction | float = 0
    duration: Fraction | float | None = None
    origin: Fraction | None = None
    at: Fraction | float | None = None


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The sound to use: the first that can be decoded (phones add tracks that only their maker can)."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


class SoundReader:
    """An open sound file, placed at the beginning of an `Audio`.

    Args:
        audio: What is read.

    Attributes:
        stream: PyAV's audio stream.
        zero: The beginning, seconds on the file's own clock.

    Raises:
        BadInput: The file cannot be read or has no sound.
    """

    def __init__(self, audio: Audio) -> None:
        self._path = path = Path(audio.path)
        origin = _file_origin(path) if audio.origin is None else audio.origin
        self.zero = origin + Fraction(audio.start)
        with reading(path, "sound file"):
            self._container = open_container(path)
        stream = sound_stream(self._container)
        if stream is None:
            self._container.close()
            raise BadInput(f"{path} has no sound.", "Leave the sound out.")
        self.stream = stream

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def container_name(self) -> str:
        """ffmpeg's name of the file's format."""
        return self._container.format.name

    def first_packet_time(self) -> Fraction:
        """When the first packet begins, seconds from the beginning (negative: before it)."""
        with reading(self._path, "sound file"), open_container(self._path) as container:
            first = (packet.pts for packet in container.demux(container.streams[self.stream.index]) if packet.size)
            return (next(first, None) or 0) * tick_of(self.stream) - self.zero

    def packets(self) -> Iterator[av.Packet]:
        """The file's packets, undamaged ones only, with times in ticks of the stream from the beginning."""
        shift = round(self.zero / tick_of(self.stream))
        with reading(self._path, "sound file"):
            for packet in self._container.demux(self.stream):
                if packet.size and packet.pts is not None and not packet.is_corrupt:
                    packet.pts -= shift
                    packet.dts = packet.pts
                    yield packet

    def samples(self, layout: str, rate: int) -> Iterator[NDArray[np.float32]]:
        """The sound as float32 (channels, samples) at `rate`: the first sample of all is that of the beginning.

        Args:
            layout: "mono" or "stereo".
        """
        convert = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        position = 0  # in samples of the file
        for start, samples in self._decoded(layout):
            for chunk in _placed(samples, start, position, self.stream.rate):
                position += chunk.shape[1]
                yield from _resampled(convert, chunk, layout, self.stream.rate)
        yield from _resampled(convert, None, layout, self.stream.rate)

    def _decoded(self, layout: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Decoded sound as (number of its first sample from the beginning, float32 (channels, samples))."""
        tick = tick_of(self.stream)
        if self.zero > _WARM_UP:
            self._container.seek(int((self.zero - _WARM_UP) / tick), stream=self.stream)
        planar = av.AudioResampler(format="fltp", layout=layout, rate=self.stream.rate)
        with reading(self._path, "sound file"):
            for packet in self._container.demux(self.stream):
                for frame in _frames(packet):
                    if frame.pts is None:
                        continue
                    start = round((frame.pts * tick - self.zero) * self.stream.rate)
                    for part in planar.resample(frame):
                        samples = part.to_ndarray().astype(np.float32, copy=False)  # (channels, samples)
                        yield start, samples
                        start += samples.shape[1]


def _file_origin(path: Path) -> Fraction:
    """The time a file gives its first frame (its first sound where it has no pictures), seconds."""
    with reading(path, "sound file"), open_container(path) as container:
        for stream in (*container.streams.video, *container.streams.audio):
            if stream.disposition & Disposition.attached_pic:
                continue
            packets = (packet.pts for packet in container.demux(stream) if is_shown(packet) and packet.pts is not None)
            first = min(islice(packets, _REORDERED), default=None)
            if first is not None:
                return first * tick_of(stream)
    return Fraction(0)


def _frames(packet: "av.Packet[av.AudioStream]") -> list[av.AudioFrame]:
    try:
        return packet.decode()
    except (av.FFmpegError, EOFError) as error:
        _log.debug("a packet of sound cannot be decoded: %s", error)
        return []


def _placed(samples: NDArray[np.float32], start: int, position: int, rate: int) -> Iterator[NDArray[np.float32]]:
    """Samples that begin at `start`, made to follow on `position`: silence put before them, or their beginning cut."""
    if position and abs(start - position) < _JITTER * rate:
        start = position
    yield from silence(len(samples), start - position, rate)
    yield samples[:, max(0, position - start) :]


def silence(channels: int, samples: int, rate: int) -> Iterator[NDArray[np.float32]]:
    """`samples` of silence in pieces of a second: float32 (channels, up to rate)."""
    for done in range(0, samples, rate):
        yield np.zeros((channels, min(rate, samples - done)), np.float32)


def _resampled(
    convert: av.AudioResampler, samples: NDArray[np.float32] | None, layout: str, rate: int
) -> Iterator[NDArray[np.float32]]:
    """Samples at the rate of `convert`; None brings out the last ones."""
    frame = None if samples is None else sound_frame(samples, layout, rate)
    if frame is not None and not frame.samples:
        return
    for part in convert.resample(frame):
        yield part.to_ndarray().astype(np.float32, copy=False)


def sound_frame(samples: NDArray[np.float32], layout: str, rate: int) -> av.AudioFrame:
    """PyAV's frame of float32 (channels, samples)."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    return frame

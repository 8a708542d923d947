"""Writing sound beside the pictures of an output file: packets copied where that is possible, else encoded anew."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.media.audio import Audio, SoundReader, silence, sound_frame
from onetoall_cli.media.containers import MovieFormat, tick_of

_PRIMING = Fraction(1, 4)  # seconds: at most what codecs put before their first sound (HE-AAC: 7106 samples)
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_USUAL_RATE = 48000  # also the only one of Opus
_BIT_RATE = 192_000

_TimedPackets = Generator[tuple[Fraction, av.Packet], None, None]


class Soundtrack:
    """Sound on its way into an output file, in step with the pictures.

    Args:
        pieces: What is heard, in this order; one that another follows without an `at` needs a duration.
        container: The output, nothing muxed yet.
        output: What kind of file that is.

    Raises:
        BadInput: A source cannot be read or has no sound.
    """

    def __init__(self, pieces: Sequence[Audio], container: av.container.OutputContainer, output: MovieFormat) -> None:
        self._container = container
        self._end: Fraction | None = None  # seconds; known once the pictures end
        with ExitStack() as stack:
            readers = []
            for piece in pieces:
                readers.append(SoundReader(piece))
                stack.callback(readers[-1].close)
            if len(pieces) == 1 and _can_copy(pieces[0], readers[0], output):
                target = container.add_stream_from_template(readers[0].stream)
                self._packets = self._copied(readers[0], pieces[0].duration, target)
            else:
                encoder = _add_encoder(container, output, readers)
                self._packets = self._encoded(_scheduled(pieces, readers), encoder)
            self._exits = stack.pop_all()

    def write_until(self, seconds: Fraction) -> None:
        """Write the sound before `seconds`, and at most one packet more."""
        for time, packet in self._packets:
            self._container.mux(packet)
            if time >= seconds:
                return

    def finish(self, seconds: Fraction) -> None:
        """Write the rest of the sound, cut where the pictures end, at `seconds`."""
        self._end = seconds
        for _, packet in self._packets:
            self._container.mux(packet)

    def close(self) -> None:
        """Close the sources."""
        self._packets.close()
        self._exits.close()

    def _copied(self, reader: SoundReader, duration: Fraction | float | None, target: av.AudioStream) -> _TimedPackets:
        """(time, packet) of packets as they are, to the one nearest the end."""
        tick = tick_of(reader.stream)
        limit = None if duration is None else Fraction(duration)
        for packet in reader.packets():
            time = (packet.pts or 0) * tick
            middle = time + (packet.duration or 0) * tick / 2
            if any(end is not None and middle > end for end in (limit, self._end)):
                return
            packet.stream = target
            yield time, packet

    def _encoded(self, schedule: Sequence["_Scheduled"], target: av.AudioStream) -> _TimedPackets:
        """(time, packet) of newly encoded packets, cut to the sample."""
        rate, layout = target.rate, target.codec_context.layout.name
        position = 0  # samples written so far
        for samples in _joined(schedule, layout, rate):
            if self._end is not None:
                samples = samples[:, : max(0, round(self._end * rate) - position)]
                if not samples.shape[1]:
                    break
            frame = sound_frame(samples, layout, rate)
            frame.pts = position
            position += samples.shape[1]
            for packet in target.encode(frame):
                yield Fraction(position, rate), packet
        for packet in target.encode(None):
            yield Fraction(position, rate), packet


def _can_copy(audio: Audio, reader: SoundReader, output: MovieFormat) -> bool:
    """Whether the packets can go over as they are: the codec fits, and what precedes the beginning stays unheard."""
    if audio.start or audio.at or reader.stream.codec_context.name not in output.copied:
        return False
    is_hidden = output.has_edit_lists or reader.container_name.startswith("matroska")  # which declares it
    return reader.first_packet_time() >= (-_PRIMING if is_hidden else 0)


def _add_encoder(
    container: av.container.OutputContainer, output: MovieFormat, readers: Sequence[SoundReader]
) -> av.AudioStream:
    """A stream for newly encoded sound: at the sources' highest rate where the encoder has it; mono or stereo."""
    rate = max(reader.stream.rate for reader in readers)
    if output.sound != "aac" or rate not in _AAC_RATES:
        rate = _USUAL_RATE
    target = container.add_stream(output.sound, rate=rate)
    assert isinstance(target, av.AudioStream)
    target.codec_context.layout = "stereo" if any(reader.stream.channels > 1 for reader in readers) else "mono"
    target.codec_context.bit_rate = _BIT_RATE
    return target


@dataclass(frozen=True)
class _Scheduled:
    """A sound and the seconds of the output between which it is heard (`stop` None: to its end)."""

    reader: SoundReader
    begin: Fraction
    stop: Fraction | None


def _scheduled(pieces: Sequence[Audio], readers: Sequence[SoundReader]) -> list[_Scheduled]:
    """When each sound is heard: none beyond its duration, nor when the next one has begun."""
    begin = Fraction(0)
    schedule: list[_Scheduled] = []
    for piece, reader in zip(pieces, readers, strict=True):
        begin = begin if piece.at is None else Fraction(piece.at)
        if schedule and (schedule[-1].stop is None or schedule[-1].stop > begin):
            schedule[-1] = replace(schedule[-1], stop=begin)
        stop = None if piece.duration is None else begin + Fraction(piece.duration)
        schedule.append(_Scheduled(reader, begin, stop))
        begin = begin if stop is None else stop
    return schedule


def _joined(schedule: Sequence[_Scheduled], layout: str, rate: int) -> Iterator[NDArray[np.float32]]:
    """All sounds and the silence between them, float32 (channels, samples) at `rate`."""
    position = 0
    for sound in schedule:
        begin = round(sound.begin * rate)
        yield from silence(1 if layout == "mono" else 2, begin - position, rate)
        position = begin
        stop = None if sound.stop is None else round(sound.stop * rate)
        for samples in sound.reader.samples(layout, rate):
            chunk = samples if stop is None else samples[:, : max(0, stop - position)]
            if not chunk.shape[1]:
                break
            position += chunk.shape[1]
            yield chunk

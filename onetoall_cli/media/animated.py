"""The files of animated pictures, put together from encoded frames one by one, so that memory stays constant.

ffmpeg's muxers are not used: they forget the settings, and how long the last frame (APNG) or a lone one is shown.
"""

import math
import struct
import zlib
from fractions import Fraction
from typing import BinaryIO, ClassVar, Protocol

from onetoall_cli.errors import BadInput
from onetoall_cli.media.metadata import PNG_KEYWORD, exif_with

# Seconds. A frame that claims no more is shown for 0.1 s, since it is taken for a mistake: so do Chromium and Firefox.
TOO_SHORT = Fraction(1, 100)


class AnimatedFile(Protocol):
    """An animated picture being written to an open file; it repeats for ever.

    Attributes:
        longest: Seconds that one frame can be shown.
    """

    longest: ClassVar[Fraction]

    def __init__(self, file: BinaryIO, size: tuple[int, int], settings: str | None) -> None:
        """Begin a file of (width, height) pixels that carries the text `settings`."""

    def add(self, frame: bytes, shown: Fraction) -> None:
        """Add a packet of the encoder and the seconds it is shown."""

    def finish(self) -> None:
        """Complete the file; it is not closed."""


class GifFile:
    """GIF89a: times in 1/100 s; the encoder's first packet brings the header and the colour table."""

    longest: ClassVar[Fraction] = Fraction(0xFFFF, 100)

    def __init__(self, file: BinaryIO, size: tuple[int, int], settings: str | None) -> None:
        self._file = file
        loop = b"\x21\xff\x0bNETSCAPE2.0" + _sub_blocks(b"\x01\x00\x00")
        comment = b"" if settings is None else b"\x21\xfe" + _sub_blocks(settings.encode("ascii"))
        self._extensions = comment + loop  # still to be written, behind the first packet's header

    def add(self, frame: bytes, shown: Fraction) -> None:
        start = 0
        if self._extensions:
            start = 13 + (3 * 2 ** ((frame[10] & 7) + 1) if frame[10] & 0x80 else 0)
            self._file.write(frame[:start] + self._extensions)
            self._extensions = b""
        delay = round(shown * 100).to_bytes(2, "little")
        self._file.write(frame[start : start + 4] + delay + frame[start + 6 :])  # in the graphic control extension

    def finish(self) -> None:
        self._file.write(b";")


def _sub_blocks(data: bytes) -> bytes:
    """Data as a GIF extension holds it: in blocks of at most 255 bytes, and an empty one."""
    blocks = (data[i : i + 255] for i in range(0, len(data), 255))
    return b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"


class WebpFile:
    """WebP: times in 1/1000 s; every packet is a WebP file of its own, from which the picture's chunk is taken."""

    longest: ClassVar[Fraction] = Fraction(0xFFFFFF, 1000)
    _LARGEST = 2**32 - 2  # bytes that a RIFF file can have

    def __init__(self, file: BinaryIO, size: tuple[int, int], settings: str | None) -> None:
        self._file, self._sides = file, b"".join((side - 1).to_bytes(3, "little") for side in size)
        exif = b"" if settings is None else exif_with(settings).tobytes().removeprefix(b"Exif\0\0")
        self._settings = _riff_chunk(b"EXIF", exif) if exif else b""
        flags = 0x02 | (0x08 if self._settings else 0)  # animation, EXIF
        self._length = 0
        self._write(b"RIFF\0\0\0\0WEBP" + _riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + self._sides))
        self._write(_riff_chunk(b"ANIM", b"\xff\xff\xff\xff" + bytes(2)))  # a white ground, no end

    def add(self, frame: bytes, shown: Fraction) -> None:
        duration = round(shown * 1000).to_bytes(3, "little")
        without_blending = b"\x02"
        self._write(_riff_chunk(b"ANMF", bytes(6) + self._sides + duration + without_blending + frame[12:]))

    def finish(self) -> None:
        self._write(self._settings)
        self._file.seek(4)
        self._file.write(struct.pack("<I", self._length - 8))

    def _write(self, data: bytes) -> None:
        self._length += len(data)
        if self._length > self._LARGEST:
            raise BadInput("A WebP file cannot be larger than 4 GiB.", "Write a video such as .mp4, or a shorter one.")
        self._file.write(data)


def _riff_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


class ApngFile:
    """APNG (PNG 3rd edition): times as fractions; every packet is an `fcTL` chunk and the picture's chunks."""

    longest: ClassVar[Fraction] = Fraction(0xFFFF)
    _FRAME_CONTROL = slice(8, 34)  # the data of the chunk that a packet begins with
    _DELAY = slice(20, 24)  # within it

    def __init__(self, file: BinaryIO, size: tuple[int, int], settings: str | None) -> None:
        self._file, self._frames = file, 0
        header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)  # 8-bit RGB
        file.write(b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header))
        if settings is not None:
            file.write(_png_chunk(b"tEXt", f"{PNG_KEYWORD}\0{settings}".encode("latin-1")))
        self._control = file.tell()
        file.write(self._animation_control())

    def add(self, frame: bytes, shown: Fraction) -> None:
        self._frames += 1
        control = bytearray(frame[self._FRAME_CONTROL])
        delay = shown.limit_denominator(0xFFFF // max(1, math.ceil(shown)))  # so that both sides fit 16 bits
        control[self._DELAY] = struct.pack(">HH", delay.numerator, delay.denominator)
        self._file.write(_png_chunk(b"fcTL", bytes(control)) + frame[self._FRAME_CONTROL.stop + 4 :])

    def finish(self) -> None:
        self._file.write(_png_chunk(b"IEND", b""))
        self._file.seek(self._control)
        self._file.write(self._animation_control())

    def _animation_control(self) -> bytes:
        return _png_chunk(b"acTL", struct.pack(">II", self._frames, 0))  # 0: no end


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

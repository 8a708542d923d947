"""Opening media files with PyAV, and which files this program writes."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from onetoall_cli.errors import BadInput
from onetoall_cli.streams import as_file, ending_of

_TEXT_FORMATS = {"tty"}  # ffmpeg shows a text file as a video of its letters


def open_container(path: Path) -> av.container.InputContainer:
    """Open a media file for reading.

    Raises:
        av.FFmpegError, OSError: it cannot be opened, or is no media file.
    """
    file = as_file(path)
    with open(file, "rb"):
        pass  # says FileNotFoundError and the like plainly, and keeps ffmpeg from reading the name as a URL
    try:
        container = av.open(f"file:{file}")
    except UnicodeDecodeError:  # PyAV before 19 wants tags in UTF-8, which not every program writes
        container = av.open(f"file:{file}", metadata_errors="replace")
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise av.InvalidDataError(1, "it is a text file", str(path))
    return container


def tick_of(stream: av.stream.Stream) -> Fraction:
    """The unit of a stream's times, seconds."""
    assert stream.time_base is not None  # every stream of an opened file has one
    return stream.time_base


@dataclass(frozen=True)
class OutputFormat:
    """What goes into an output file of one suffix.

    Attributes:
        video: encoder of the pictures.
        sound: encoder of the sound, or None where there is none.
        copied: names of the sound codecs that are copied as they are.
        options: of the container.
        has_edit_lists: can say that playing begins behind the samples a codec puts before its first sound.
    """

    video: str
    sound: str | None
    copied: frozenset[str] = frozenset()
    options: dict[str, str] = field(default_factory=dict)
    has_edit_lists: bool = False


_EVERYWHERE = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})
_FASTSTART = {"movflags": "+faststart"}  # the index before the pictures: plays while it downloads
OUTPUT_FORMATS = {
    ".mp4": OutputFormat("libx264", "aac", _EVERYWHERE, _FASTSTART, True),
    ".mov": OutputFormat("libx264", "aac", _EVERYWHERE | {"pcm_s16le", "pcm_s24le"}, _FASTSTART, True),
    ".mkv": OutputFormat("libx264", "aac", _EVERYWHERE | {"opus", "vorbis", "flac", "pcm_s16le", "pcm_s24le"}),
    ".webm": OutputFormat("libvpx-vp9", "libopus", frozenset({"opus", "vorbis"})),
    ".gif": OutputFormat("gif", None),
}
STREAMED_AS = ".mp4"  # what is written to a stream whose name does not say


def output_format(path: Path | str) -> OutputFormat:
    """How a video of this name is written; call it before any work to refuse a name that cannot be.

    Raises:
        BadInput: the suffix is not one of `OUTPUT_FORMATS`.
    """
    suffix = ending_of(Path(path), STREAMED_AS)
    if suffix not in OUTPUT_FORMATS:
        names = ", ".join(OUTPUT_FORMATS)
        raise BadInput(f"{path}: a video cannot be written as {suffix or 'a name without a suffix'}.", f"Use {names}.")
    return OUTPUT_FORMATS[suffix]

"""Opening media files with PyAV, and the one table of the files this program writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av

from onetoall_cli.errors import BadInput
from onetoall_cli.files.streams import as_file, ending_of
from onetoall_cli.media.animated import AnimatedFile, ApngFile, GifFile, WebpFile

_TEXT_FORMATS = {"tty"}  # ffmpeg shows a text file as a video of its letters


def open_container(path: Path) -> av.container.InputContainer:
    """Open a media file for reading.

    Raises:
        av.FFmpegError, OSError: It cannot be opened, or is no media file.
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
class AlphaFormat:
    """What holds pictures with transparency in a video file.

    Attributes:
        video: Encoder.
        pixels: Pixel format it takes.
        options: Of the encoder.
    """

    video: str
    pixels: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MovieFormat:
    """What goes into a video file, with sound.

    Attributes:
        video: Encoder of the pictures.
        sound: Encoder of the sound.
        copied: Names of the sound codecs that are copied as they are.
        options: Of the container.
        has_edit_lists: Can say that playing begins behind the samples a codec puts before its first sound.
        alpha: How pictures with transparency are held; None: they cannot be.
    """

    video: str
    sound: str
    copied: frozenset[str]
    options: dict[str, str] = field(default_factory=dict)
    has_edit_lists: bool = False
    alpha: AlphaFormat | None = None


@dataclass(frozen=True)
class AnimationFormat:
    """What goes into an animated picture.

    Attributes:
        encoder: Of the frames.
        pixels: Pixel format the encoder takes.
        file: Puts the frames together.
        tick: Seconds that all times are multiples of; None: any time can be written.
    """

    encoder: str
    pixels: str
    file: type[AnimatedFile]
    tick: Fraction | None = None


@dataclass(frozen=True)
class PictureFormat:
    """How Pillow writes a still picture.

    Attributes:
        options: Of `Image.save`.
        alpha: Whether it holds transparency.
    """

    options: dict[str, Any] = field(default_factory=dict)
    alpha: bool = True


@dataclass(frozen=True)
class Written:
    """What a file of one suffix is when a video is written to it, and when a picture is; None: it cannot be one."""

    video: MovieFormat | AnimationFormat | None = None
    picture: PictureFormat | None = None


_EVERYWHERE = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})
_PCM = frozenset({"pcm_s16le", "pcm_s24le"})
_OPEN = frozenset({"opus", "vorbis"})
_FASTSTART = {"movflags": "+faststart"}  # the index before the pictures: plays while it downloads
_JPEG = PictureFormat({"quality": 95, "subsampling": "4:4:4"}, alpha=False)
# 4444: ProRes' profile with transparency, 10 bits of colour; editors and compositors read it.
_PRORES = AlphaFormat("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"})
_VP9_ALPHA = AlphaFormat("libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"})  # libvpx wants that for transparency
WRITTEN = {
    ".mp4": Written(MovieFormat("libx264", "aac", _EVERYWHERE, _FASTSTART, has_edit_lists=True)),
    ".mov": Written(MovieFormat("libx264", "aac", _EVERYWHERE | _PCM, _FASTSTART, has_edit_lists=True, alpha=_PRORES)),
    ".mkv": Written(MovieFormat("libx264", "aac", _EVERYWHERE | _PCM | _OPEN | {"flac"})),
    ".webm": Written(MovieFormat("libvpx-vp9", "libopus", _OPEN, alpha=_VP9_ALPHA)),
    ".gif": Written(AnimationFormat("gif", "pal8", GifFile, Fraction(1, 100))),
    ".apng": Written(AnimationFormat("apng", "rgb24", ApngFile)),
    ".png": Written(picture=PictureFormat()),
    ".jpg": Written(picture=_JPEG),
    ".jpeg": Written(picture=_JPEG),
    ".webp": Written(
        AnimationFormat("libwebp", "bgra", WebpFile, Fraction(1, 1000)),
        PictureFormat({"quality": 95, "method": 4}),
    ),
}

VIDEO_ENDINGS = tuple(suffix for suffix, row in WRITTEN.items() if row.video)
PICTURE_ENDINGS = tuple(suffix for suffix, row in WRITTEN.items() if row.picture)
# Videos that can hold transparency.
ALPHA_ENDINGS = tuple(
    suffix for suffix, row in WRITTEN.items() if isinstance(row.video, MovieFormat) and row.video.alpha
)
# What is written to a stream whose name does not say.
VIDEO_STREAMED_AS, PICTURE_STREAMED_AS = ".mp4", ".png"

_Format = TypeVar("_Format", MovieFormat | AnimationFormat, PictureFormat)


def video_format(path: Path | str) -> MovieFormat | AnimationFormat:
    """How a video of this name is written; call it before any work to refuse a name that cannot be.

    Raises:
        BadInput: The suffix is not one of a video in `WRITTEN`.
    """
    return _look_up(
        path, "video", VIDEO_STREAMED_AS, {suffix: row.video for suffix, row in WRITTEN.items() if row.video}
    )


def picture_format(path: Path | str) -> PictureFormat:
    """How a still picture of this name is written; call it before any work to refuse a name that cannot be.

    Raises:
        BadInput: The suffix is not one of a picture in `WRITTEN`.
    """
    return _look_up(
        path, "picture", PICTURE_STREAMED_AS, {suffix: row.picture for suffix, row in WRITTEN.items() if row.picture}
    )


def _look_up(path: Path | str, kind: str, streamed_as: str, formats: Mapping[str, _Format]) -> _Format:
    suffix = ending_of(Path(path), streamed_as)
    if suffix not in formats:
        problem = f"{path}: a {kind} cannot be written as {suffix or 'a name without a suffix'}."
        raise BadInput(problem, f"Use {', '.join(formats)}.")
    return formats[suffix]

"""What a media file holds, for people: its size and clock, and the settings it was made with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onetoall_cli.files.names import PICTURE_SUFFIXES
from onetoall_cli.files.streams import input_ending
from onetoall_cli.media.audio import sound_stream
from onetoall_cli.media.containers import open_container
from onetoall_cli.media.file_errors import reading
from onetoall_cli.media.metadata import EXIF_IMAGE_DESCRIPTION, PNG_KEYWORD, parse_metadata
from onetoall_cli.media.movie import picture_stream
from onetoall_cli.media.pictures import open_picture
from onetoall_cli.media.reader import open_video


@dataclass(frozen=True)
class MediaInfo:
    """What a video, picture or folder of pictures holds.

    Attributes:
        kind: "video", "picture" (animated or not) or "folder".
        width, height: Pixels as seen.
        frames: How many; 1 for a still.
        fps: Frames a second, on average where the rate varies.
        variable_rate: Frames are not all shown equally long.
        duration: Seconds.
        video_codec, audio_codec: Codec names, or None.
    """

    kind: str
    width: int
    height: int
    frames: int
    fps: float
    variable_rate: bool
    duration: float
    video_codec: str | None
    audio_codec: str | None


def read_metadata(path: Path | str) -> dict[str, Any] | None:
    """The settings stored in an output of ours (`containers.WRITTEN`), or None if it has none.

    Raises:
        BadInput: The file is missing or is neither a video nor a picture.
    """
    path = Path(path)
    if input_ending(path) in PICTURE_SUFFIXES:
        with open_picture(path) as image:
            comment = image.info.get(PNG_KEYWORD) or image.info.get("comment")  # PNG; GIF
            return parse_metadata(comment or image.getexif().get(EXIF_IMAGE_DESCRIPTION))
    with reading(path, "video or picture"), open_container(path) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    return parse_metadata(tags.get("comment"))


def probe(path: Path | str) -> MediaInfo:
    """Look at a video, picture or folder of pictures; decodes one frame at most, but reads a whole video's clock.

    Raises:
        BadInput: As `open_video`.
    """
    path = Path(path)
    video = open_video(path)
    kind, video_codec, audio_codec = "video", None, None
    if path.is_dir():
        kind = "folder"
    elif input_ending(path) in PICTURE_SUFFIXES:
        kind = "picture"
    else:
        with reading(path, "video"), open_container(path) as container:
            video_codec = picture_stream(container, path).codec_context.name
            sound = sound_stream(container)
            audio_codec = sound.codec_context.name if sound else None
    return MediaInfo(
        kind=kind,
        width=video.width,
        height=video.height,
        frames=video.frames_estimate,
        fps=float(video.fps),
        variable_rate=video.variable_rate,
        duration=video.duration,
        video_codec=video_codec,
        audio_codec=audio_codec,
    )

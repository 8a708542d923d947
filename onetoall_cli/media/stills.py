"""Moving pictures that are not video files: animated and still pictures, and folders of numbered ones."""

import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from onetoall_cli.errors import BadInput
from onetoall_cli.files.contents import check_whole
from onetoall_cli.files.names import PICTURE_SUFFIXES, natural_order
from onetoall_cli.files.streams import as_file
from onetoall_cli.media.animated import TOO_SHORT
from onetoall_cli.media.file_errors import reading
from onetoall_cli.media.pictures import open_picture, picture_size, read_picture, to_rgb, too_large
from onetoall_cli.media.timeline import DEFAULT_FPS, Part, Timeline, counted, stamped, tidy_rate
from onetoall_cli.media.video import Frame, Video, part_of_video

# Of one frame: but for GIFs, every frame is decoded to know how long it is shown. 5K video has 15 million.
MAX_ANIMATED_PIXELS = 1 << 24
_INSTEAD = Fraction(1, 10)  # seconds that a frame which claims too few is shown
_MOST_TICKS = 90_000  # a second: MPEG's own clock, fine enough for any variable rate
_LONGEST_DENOMINATOR = 0xFFFF  # of times in an APNG


def open_animation(path: Path, start: float, duration: float | None) -> Video:
    """Open a part of an animated picture; a still is one frame long. See `open_video`."""
    with open_picture(path) as image:
        if image.width * image.height > MAX_ANIMATED_PIXELS and getattr(image, "n_frames", 1) > 1:
            raise too_large(path, f" for an animation: {image.width} x {image.height}", MAX_ANIMATED_PIXELS)
        size = ImageOps.exif_transpose(image).size
        count = getattr(image, "n_frames", 1)
        durations = _gif_durations(path) if image.format == "GIF" else []
        if len(durations) != count:  # another format, or a file whose end is missing
            durations = [_duration(image, index) for index in range(count)]
        is_animated = len(durations) > 1 or bool(image.info.get("duration"))
        usual_ticks = 100 if image.format == "GIF" else 1000  # a second
    timeline = _timeline(durations, usual_ticks) if is_animated else counted(1, DEFAULT_FPS)
    return part_of_video(path, size, timeline, start, duration, partial(_animation_frames, path, timeline))


def _duration(image: Image.Image, index: int) -> Fraction:
    """How long frame `index` is shown, seconds, as browsers do it; leaves the picture at that frame."""
    image.seek(index)
    image.load()  # WebP and AVIF know a frame's duration once it is decoded
    return _as_browsers(Fraction(image.info.get("duration", 0) / 1000).limit_denominator(_LONGEST_DENOMINATOR))


def _gif_durations(path: Path) -> list[Fraction]:
    """`_duration` of every frame, without decoding them."""
    with av.open(as_file(path)) as file:
        return [_as_browsers((each.duration or 0) * each.time_base) for each in file.demux(video=0) if each.size]


def _as_browsers(seconds: Fraction) -> Fraction:
    return seconds if seconds > TOO_SHORT else _INSTEAD


def _timeline(durations: list[Fraction], usual_ticks: int) -> Timeline:
    """The clock of frames shown one after another, each for its seconds."""
    ticks = min(math.lcm(usual_ticks, *{seconds.denominator for seconds in durations}), _MOST_TICKS)  # a second
    begins = accumulate(map(float, durations[:-1]), initial=0.0)
    shown = [(round(begin * ticks), round(length * ticks)) for begin, length in zip(begins, durations, strict=True)]
    rates = {1 / seconds for seconds in durations[:-1]}
    return stamped(shown, Fraction(1, ticks), list(rates) if len(rates) == 1 else [], [])


def _animation_frames(path: Path, timeline: Timeline, part: Part) -> Iterator[Frame]:
    with open_picture(path) as image:
        for index in range(part.first, part.stop):
            image.seek(index)
            yield Frame(to_rgb(ImageOps.exif_transpose(image)), timeline.seconds_into(part, index))


def open_folder(path: Path, start: float, duration: float | None, fps: Fraction | float | None) -> Video:
    """Open a part of a folder of pictures, in natural order, `fps` (else 25) of them a second. See `open_video`."""
    check_whole(path)
    with reading(path, "folder of pictures"):
        names = [entry for entry in path.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES]
    pictures = sorted((name for name in names if not name.name.startswith(".")), key=natural_order)
    if not pictures:
        raise BadInput(f"The folder {path} has no pictures.", "Pass a video, or a folder of .png or .jpg files.")
    size = _common_size(path, pictures)
    timeline = counted(len(pictures), tidy_rate(fps) if fps else DEFAULT_FPS)
    return part_of_video(path, size, timeline, start, duration, partial(_folder_frames, pictures, size, timeline))


def _common_size(folder: Path, pictures: list[Path]) -> tuple[int, int]:
    """(width, height) of all pictures, from their headers: one of another size is rather no frame than to be scaled.

    Raises:
        BadInput: They differ; it names a picture of the rarer size.
    """
    sizes = {picture: picture_size(picture) for picture in pictures}
    (usual, count), *others = Counter(sizes.values()).most_common()
    if others:
        odd = next(picture for picture, size in sizes.items() if size != usual)
        problem = f"{len(pictures) - count} of the {len(pictures)} pictures in {folder} are not {_times(usual)}: "
        advice = "Remove what is no frame, or scale all pictures to one size."
        raise BadInput(f"{problem}{odd.name} is {_times(sizes[odd])}.", advice)
    return usual


def _times(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"


def video_of_frames(
    frames: NDArray[np.uint8], fps: Fraction | float, start: float = 0.0, duration: float | None = None
) -> Video:
    """Frames in memory, uint8 (T, H, W, 3), as a part of a video of `fps` frames a second. See `open_video`.

    Raises:
        BadInput: The array is not of that form.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise BadInput(f"The frames are {frames.dtype} {frames.shape}.", "Give uint8 (frames, height, width, 3) RGB.")
    timeline = counted(len(frames), tidy_rate(fps))

    def read(part: Part) -> Iterator[Frame]:
        yield from (Frame(frames[index], timeline.seconds_into(part, index)) for index in range(part.first, part.stop))

    return part_of_video(Path("<frames>"), (frames.shape[2], frames.shape[1]), timeline, start, duration, read)


def _folder_frames(pictures: list[Path], size: tuple[int, int], timeline: Timeline, part: Part) -> Iterator[Frame]:
    for index in range(part.first, part.stop):
        image = read_picture(pictures[index])
        if image.shape[1::-1] != size:  # EXIF data that turns it may stand behind a PNG's pixels
            problem = f"{pictures[index]} is {_times(image.shape[1::-1])}, and the others are {_times(size)}."
            raise BadInput(problem, "Scale all pictures of the folder to one size.")
        yield Frame(image, timeline.seconds_into(part, index))

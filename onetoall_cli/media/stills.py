"""Moving pictures that are not video files: animated and still pictures, and folders of numbered ones."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from onetoall_cli.errors import BadInput
from onetoall_cli.media.file_errors import reading
from onetoall_cli.media.pictures import PICTURE_SUFFIXES, open_picture, picture_size, read_picture, to_rgb
from onetoall_cli.media.timeline import DEFAULT_FPS, Part, Timeline, counted, stamped, tidy_rate
from onetoall_cli.media.video import Frame, Video, part_of_video
from onetoall_cli.natural_order import natural_order

_MILLISECOND = Fraction(1, 1000)
_GIF_TICK = Fraction(1, 100)
_SHORTEST = Fraction(2, 100)  # seconds; browsers show a frame that claims less for 0.1 s, and so it was made to be seen
_INSTEAD = Fraction(1, 10)


def open_animation(path: Path, start: float, duration: float | None) -> Video:
    """Open a part of an animated picture; a still is one frame long. See `open_video`."""
    shown, time = [], 0
    with open_picture(path) as image:
        tick = _GIF_TICK if image.format == "GIF" else _MILLISECOND
        size = ImageOps.exif_transpose(image).size
        for index in range(getattr(image, "n_frames", 1)):
            shown.append((time, round(_duration(image, index) / tick)))
            time += shown[-1][1]
    timeline = stamped(shown, tick, [], []) if len(shown) > 1 else counted(1, DEFAULT_FPS)
    return part_of_video(path, size, timeline, start, duration, partial(_animation_frames, path, timeline))


def _duration(image: Image.Image, index: int) -> Fraction:
    """How long frame `index` is shown, seconds, as browsers do it; leaves the picture at that frame."""
    image.seek(index)
    image.load()  # WebP and AVIF know a frame's duration once it is decoded
    duration = round(image.info.get("duration", 0)) * _MILLISECOND
    return duration if duration >= _SHORTEST else _INSTEAD


def _animation_frames(path: Path, timeline: Timeline, part: Part) -> Iterator[Frame]:
    with open_picture(path) as image:
        for index in range(part.first, part.stop):
            image.seek(index)
            yield Frame(to_rgb(ImageOps.exif_transpose(image)), timeline.seconds_into(part, index))


def open_folder(path: Path, start: float, duration: float | None, fps: Fraction | float | None) -> Video:
    """Open a part of a folder of pictures, in natural order, `fps` (else 25) of them a second. See `open_video`."""
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
        BadInput: they differ; it names a picture of the rarer size.
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


def _folder_frames(pictures: list[Path], size: tuple[int, int], timeline: Timeline, part: Part) -> Iterator[Frame]:
    for index in range(part.first, part.stop):
        image = read_picture(pictures[index])
        if image.shape[1::-1] != size:  # EXIF data that turns it may stand behind a PNG's pixels
            problem = f"{pictures[index]} is {_times(image.shape[1::-1])}, and the others are {_times(size)}."
            raise BadInput(problem, "Scale all pictures of the folder to one size.")
        yield Frame(image, timeline.seconds_into(part, index))

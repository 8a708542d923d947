"""What can stand behind a character: a colour, a picture or video, or a dance without its dancers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from onetoall_cli.errors import BadInput
from onetoall_cli.media import Video, open_video
from onetoall_cli.pose import PoseSequence
from onetoall_cli.scene.matting import Image, Matte, open_matter

REFERENCE, DRIVER = "reference", "driver"

_SAMPLES = 16  # frames from which the empty scene is estimated
_COVERED = 0.05  # a person's share from which a pixel does not show the scene
_MARGIN = 0.012  # of the short side: how much further the person's shadow of a matte is filled
_SAME = 12  # of 255: deviation from the median up to which a pixel is the same in all frames
_STATIC = 0.9  # share of pixels that are the same from which the camera stands still
_INPAINTED_SIDE = 256  # short side, pixels, at which holes are filled: smooth anyway, and quick
_STRIP = 64  # rows at a time


class Background(ABC):
    """Frames to put behind a character.

    Attributes:
        size: (width, height) that it has by itself; None: any.
        has_light: Whether a character can be matched to its light.
    """

    size: tuple[int, int] | None = None
    has_light = True

    @abstractmethod
    def frames(self, width: int, height: int, clock: Sequence[float]) -> Iterator[Image]:
        """What is seen at each time of `clock` (seconds, ascending), uint8 (height, width, 3)."""


@dataclass(frozen=True)
class Plain(Background):
    """One colour, RGB."""

    colour: tuple[int, int, int]
    has_light = False

    def frames(self, width: int, height: int, clock: Sequence[float]) -> Iterator[Image]:
        """As `Background`."""
        picture = np.full((height, width, 3), self.colour, np.uint8)
        return (picture for _ in clock)


@dataclass(frozen=True)
class Film(Background):
    """A video or picture that covers the frame; what overlaps is cut off evenly. A video begins anew when it ends."""

    video: Video

    def frames(self, width: int, height: int, clock: Sequence[float]) -> Iterator[Image]:
        """As `Background`."""
        return (covering(frame, width, height) for frame in shown_at(self.video, clock, again=True))


@dataclass(frozen=True)
class EmptyScene(Background):
    """A video without some people: where they are, the scene is filled in.

    Where the camera stands still, with what other frames show there, and only where none does with its surroundings;
    else with its surroundings in the same frame.

    Attributes:
        video: With them.
        people: Each one in its pixels, at the times that will be asked for.
    """

    video: Video
    people: Sequence[PoseSequence]

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """The video's."""
        return self.video.width, self.video.height

    def frames(self, width: int, height: int, clock: Sequence[float]) -> Iterator[Image]:
        """As `Background`."""
        empty = self._empty_scene(clock)
        for frame, matte in self._covered(clock, range(len(clock))):
            hole = _grown(matte)
            fill = _inpainted(frame, hole > 0) if empty is None else empty
            yield covering(blended(fill, frame, hole), width, height)

    def _empty_scene(self, clock: Sequence[float]) -> Image | None:
        """The scene without them, uint8 (H, W, 3); None where the camera moves."""
        chosen = np.unique(np.linspace(0, len(clock) - 1, _SAMPLES).astype(int))
        sampled = list(self._covered([clock[index] for index in chosen], chosen))
        frames = np.stack([frame for frame, _ in sampled])
        covered = np.stack([_grown(matte) > 0 for _, matte in sampled])
        scene, same = np.empty(frames.shape[1:], np.uint8), []
        for top in range(0, len(scene), _STRIP):
            rows = slice(top, top + _STRIP)
            values = np.ma.masked_array(
                frames[:, rows], np.broadcast_to(covered[:, rows, :, None], frames[:, rows].shape)
            )
            middle = np.ma.median(values, axis=0)
            scene[rows] = middle.filled(0).astype(np.uint8)
            apart = np.ma.abs(values.astype(np.int16) - middle).max(axis=-1)
            same.append((np.ma.median(apart, axis=0) <= _SAME).compressed())
        if not len(steady := np.concatenate(same)) or steady.mean() < _STATIC:
            return None
        return _inpainted(scene, np.asarray(covered.all(axis=0)))

    def _covered(self, clock: Sequence[float], indices: Iterable[int]) -> Iterator[tuple[Image, Matte]]:
        """The frames at some times, with the share that all people together have of each pixel."""
        rows = list(indices)
        mattes = [open_matter().mattes(shown_at(self.video, clock), _at(person, rows)) for person in self.people]
        for found in zip(*mattes, strict=True):
            yield found[0][0], np.max([matte for _, matte in found], axis=0)


def open_background(text: str) -> Background:
    """The background of a colour's name, `#rrggbb`, or a file.

    Raises:
        BadInput: It is none of these, or the file cannot be read.
    """
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
        return Plain((red, green, blue))
    except ValueError:
        pass
    if not Path(text).exists():
        raise BadInput(
            f"--background {text} is neither {REFERENCE} or {DRIVER}, nor a colour, nor a file.",
            "Give for instance '#00ff00', white, or a picture or video.",
        )
    return Film(open_video(text))


def shown_at(video: Video, clock: Sequence[float], *, again: bool = False) -> Iterator[Image]:
    """The frames of a video that are on screen at some times (seconds, ascending).

    Args:
        video: The video; one frame is shown for ever.
        clock: The times.
        again: Whether it begins anew when it ends; else its last frame stays.
    """
    frames, begin = iter(video), 0.0
    frame, following = next(frames), next(frames, None)
    is_still = following is None
    for time in clock:
        while again and not is_still and time - begin >= video.duration:
            frames, begin = iter(video), begin + video.duration
            frame, following = next(frames), next(frames, None)
        while following is not None and following.time <= time - begin + 1e-6:  # rounded on the way
            frame, following = following, next(frames, None)
        yield frame.image


def covering(image: Image, width: int, height: int) -> Image:
    """A picture scaled to cover a frame, and cut evenly to it."""
    high, wide = image.shape[:2]
    if (wide, high) == (width, height):
        return image
    scale = max(width / wide, height / high)
    size = (max(width, round(wide * scale)), max(height, round(high * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)[top : top + height, left : left + width]


def blended(over: NDArray, under: NDArray, share: Matte) -> Image:
    """`over` where `share` is 1, `under` where it is 0."""
    weight = share[..., None]
    return np.rint(weight * over + (1 - weight) * under).astype(np.uint8)


def _at(person: PoseSequence, indices: Sequence[int]) -> PoseSequence:
    """A person in some frames of their own."""
    return PoseSequence(person.keypoints[list(indices)], person.width, person.height)


def _grown(matte: Matte) -> Matte:
    """A matte that surely holds the person, and ends softly."""
    reach = max(2, round(_MARGIN * min(matte.shape)))
    disc = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)), np.uint8)
    grown = cv2.dilate((matte > _COVERED).astype(np.float32), disc, iterations=2)
    return np.asarray(cv2.blur(grown, (reach, reach)), np.float32)


def _inpainted(image: Image, hole: NDArray[np.bool_]) -> Image:
    """A picture whose hole is filled from around it (Telea 2004)."""
    if not hole.any() or hole.all():
        return image
    height, width = hole.shape
    scale = min(1.0, _INPAINTED_SIDE / min(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # What the hole holds must not get into its surroundings when the picture is shrunk.
    share = np.asarray(cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    emptied = np.where(hole[..., None], 0, image).astype(np.float32)
    small = np.asarray(cv2.resize(emptied, size, interpolation=cv2.INTER_AREA)) / np.maximum(share, 1e-3)[..., None]
    small = np.clip(small, 0, 255).astype(np.uint8)
    filled = cv2.inpaint(small, (share < 0.5).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    large = np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.where(hole[..., None], large, image)

"""Mattes: how much of each pixel belongs to one person whose pose is known, frame by frame, steady in time.

A network says which pixels are the person's. Where figure and background have no colours in common, as in drawings,
colours then decide, and find what the network does not know, such as drawn hair. A guided filter makes the edge soft.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.detectors.builtin.networks import RegionNetwork
from onetoall_cli.scene.body import Body, Mask

Image = NDArray[np.uint8]
"""(height, width, 3) RGB."""

Matte = NDArray[np.float32]
"""(height, width): the person's share of each pixel, 0..1."""

_SIDE = 256  # of the network's region, pixels
_NOBODY = -16.0  # log odds outside the region
_LARGEST = 512  # short side, pixels, at which pixels are told apart; edges are then found at full size

# Share of colours (16 steps a channel) that figure and surroundings have in common, up to which colours decide. Of 10
# puppets, half or whole length, it is at most 0.06; of two real dances 0.11 and more.
_COLOURS_APART = 0.08
_COLOUR_STEP_BITS = 4
_RARE = 1e-3  # share of the background up to which a colour is new to it
_BAND = 0.08  # torsos: nearer to its outline the network is not relied on
_LEAST_BACKGROUND = 0.02  # share of the picture from which its colours are known

_EDGE, _EDGE_VARIANCE = 0.01, 1e-3  # torsos: radius of the guided filter; its epsilon, of squared values 0..1
_STEADY = 0.9  # share of the frame before where nothing moves
# Of 255: change of a pixel from which it moves. Where colours are apart, a pixel that changes sides changes colour too.
_STILL_APART, _STILL = 20.0, 4.0


class Matter(ABC):
    """Finds the matte of one person in the frames of a clip. Use once per clip."""

    @abstractmethod
    def mattes(self, frames: Iterable[Image], poses: PoseSequence) -> Iterator[tuple[Image, Matte]]:
        """The frames, each with the person's matte, as they come; memory does not grow with their number.

        Args:
            frames: Consecutive frames, all of one size.
            poses: The person in each of them, in their pixels. Where nobody is seen the matte is empty.
        """


class Builtin(Matter):
    """BlazePose's mask of a person, colours, a guided filter and a filter in time."""

    def __init__(self) -> None:
        self._network = RegionNetwork("person_mask", _SIDE, [(1, _SIDE, _SIDE)])

    def mattes(self, frames: Iterable[Image], poses: PoseSequence) -> Iterator[tuple[Image, Matte]]:
        """As `Matter`."""
        steady, common = _Steady(), _Mean()
        for frame, pose in zip(frames, poses.by_frame(), strict=True):
            yield frame, steady(frame, *self._matte(frame, pose[0], common))

    def _matte(self, frame: Image, keypoints: NDArray[np.float32], common: "_Mean") -> tuple[Matte, float]:
        """Of one frame, and up to which change a pixel is still.

        `common` remembers how many colours figure and surroundings have shared so far.
        """
        height, width = frame.shape[:2]
        scale = min(1.0, _LARGEST / min(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else frame
        body = Body((keypoints * (size[0] / width, size[1] / height, 1)).astype(np.float32))
        if body.unit == 0:
            return np.zeros((height, width), np.float32), _STILL
        logits = body.region().laid_back(self._network.read(small, body.region())[0][0], *size, _NOBODY)
        found = (logits > 0) & body.reach(*size)
        apart = _TwoSides(small, found, body)
        by_colour = apart.known and common(apart.common_colours()) < _COLOURS_APART
        if by_colour:
            share = apart.cut().astype(np.float32)
        else:
            share = np.where(found, 1 / (1 + np.exp(-np.clip(logits, _NOBODY, -_NOBODY))), 0).astype(np.float32)
        if scale < 1:
            share = np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        matte = guided(frame, share, max(1, round(_EDGE * body.unit / scale)))
        return matte, _STILL_APART if by_colour else _STILL


class _TwoSides:
    """A person and what is around, told apart by their colours.

    Args:
        image: The picture.
        found: Where the network sees the person.
        body: The person.

    Attributes:
        known: Whether enough of the background is seen to know its colours.
    """

    def __init__(self, image: Image, found: Mask, body: Body) -> None:
        height, width = found.shape
        self._image, self._found = image, found
        self._core, self._reach = body.core(width, height) & found, body.reach(width, height)
        self._hair = body.around_head(width, height)
        band = _disc(_BAND * body.unit)
        person = (found | self._core).astype(np.uint8)
        self._inside = cv2.erode(person, band, borderType=cv2.BORDER_REPLICATE) > 0
        self._outside = (cv2.dilate(person, band) == 0) & ~self._hair
        self.known = bool(self._outside.mean() >= _LEAST_BACKGROUND and self._inside.any())
        self._colours = _colour_numbers(image)

    def common_colours(self) -> float:
        """The share of colours that the person and the surroundings within reach have in common, 0..1."""
        around = self._outside & self._reach
        ours, theirs = self._shares(self._inside), self._shares(around if around.any() else self._outside)
        return float(np.minimum(ours, theirs).sum())

    def cut(self) -> Mask:
        """The person by colours (GrabCut, Rother et al. 2004), begun from the network and from new colours in hair."""
        rare = (self._shares(self._outside) < _RARE)[self._colours].astype(np.uint8)
        new = cv2.morphologyEx(rare, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0  # edges mix colours
        labels = np.where(self._found | (self._hair & new), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[self._core] = cv2.GC_FGD
        labels[~self._reach] = cv2.GC_BGD
        if not (labels & 1).any() or (labels & 1).all():
            return self._found
        cv2.setRNGSeed(0)  # its clustering draws numbers
        models = np.zeros((2, 1, 65))
        cv2.grabCut(self._image, labels, None, models[0], models[1], 1, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
        return (labels & 1) > 0

    def _shares(self, where: Mask) -> NDArray[np.float64]:
        """How often each colour occurs there; all together 1."""
        counts = np.bincount(self._colours[where], minlength=1 << 3 * _COLOUR_STEP_BITS)
        return counts / max(1, int(where.sum()))


class _Mean:
    """The mean of all values so far."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def __call__(self, value: float) -> float:
        self._sum, self._count = self._sum + value, self._count + 1
        return self._sum / self._count


class _Steady:
    """Holds a matte where the picture is still: noise of single frames fades, and edges that move are not smeared."""

    def __init__(self) -> None:
        self._before: tuple[Image, Matte] | None = None

    def __call__(self, frame: Image, matte: Matte, still: float) -> Matte:
        if self._before is not None:
            change = cv2.absdiff(frame, self._before[0]).max(axis=-1).astype(np.float32)
            change = cv2.blur(change, (3, 3))  # one pixel may agree by chance
            held = _STEADY * np.exp(-((change / still) ** 2))
            noise = self._before[1] - matte
            # what changes sides altogether is no noise: the figure has moved on over like colours
            matte = (matte + held * (1 - noise**2) * noise).astype(np.float32)
        self._before = (frame, matte)
        return matte


def guided(guide: Image, values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Values (height, width) in 0..1 with the edges of `guide` (guided filter, He et al. 2013)."""

    def mean(of: NDArray) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(of, (2 * radius + 1, 2 * radius + 1)), np.float32)

    grey = np.asarray(cv2.cvtColor(guide, cv2.COLOR_RGB2GRAY), np.float32) / 255
    grey_mean, mean_value = mean(grey), mean(values)
    slope = (mean(grey * values) - grey_mean * mean_value) / (mean(grey * grey) - grey_mean**2 + _EDGE_VARIANCE)
    result = mean(slope) * grey + mean(mean_value - slope * grey_mean)
    return np.clip(result, 0, 1).astype(np.float32)


def _colour_numbers(image: Image) -> NDArray[np.int64]:
    """Each pixel's colour as one number, in steps."""
    red, green, blue = np.moveaxis((image >> (8 - _COLOUR_STEP_BITS)).astype(np.int64), -1, 0)
    return (red << 2 * _COLOUR_STEP_BITS) | (green << _COLOUR_STEP_BITS) | blue


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def open_matter() -> Matter:
    """The backend that the package brings."""
    return Builtin()

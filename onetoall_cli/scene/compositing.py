"""Characters over a background: edges freed from what was behind them, light matched, the nearer over the farther."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import SEEN_SCORE
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.scene.matting import Image, Matte, open_matter

Colours = NDArray[np.float32]
"""(height, width, 3) RGB, 0..255."""

_NEAR = 1 / 40  # of the short side: how far colours reach that a mixed pixel is explained by
_PURE = 4  # power of a side's share in a pixel by which the pixel tells its colour
_NOTHING = 1e-4

# How far a character's light goes towards the scene's, and how far at most, in CIELAB: lightness and both hues.
_TOWARDS = 0.5
_MOST = np.array([12.0, 8.0, 8.0], np.float32)
_CONTRAST = (0.8, 1.25)

_AS_IT_IS = Similarity()
_DEPTH_MEMORY = 0.9  # of where feet were: who is nearer does not change from frame to frame


@dataclass(frozen=True)
class Layer:
    """One character.

    Attributes:
        frames: Frames that show it, uint8 (h, w, 3).
        poses: Its poses in their pixels.
        place: From their pixels to those of the output.
    """

    frames: Iterable[Image]
    poses: PoseSequence
    place: Similarity = _AS_IT_IS


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame of the output.

    Attributes:
        picture: All of it, uint8 (H, W, 3).
        matte: The characters' share of each pixel, uint8 (H, W), 255 is all; None: not asked for.
        colours: Theirs alone, where the matte is not 0, uint8 (H, W, 3); None: not asked for.
    """

    picture: Image
    matte: NDArray[np.uint8] | None = None
    colours: Image | None = None

    def cut_out(self) -> NDArray[np.uint8]:
        """The characters on nothing, uint8 (H, W, 4): red, green, blue (not multiplied), and the matte."""
        assert self.matte is not None and self.colours is not None
        return np.dstack([self.colours, self.matte])


def composed(
    layers: Sequence[Layer], width: int, height: int, behind: Iterable[Image] | None, *, relight: bool
) -> Iterator[Shot]:
    """The frames of characters over a background; memory does not grow with their number.

    Who has lower feet is nearer; of those whose feet are level, the later layer.

    Args:
        layers: The characters, with as many frames each.
        width, height: Of the output, pixels.
        behind: The background, uint8 (height, width, 3) each; None: what the first layer shows, which alone stays as
            it is.
        relight: Whether the characters' light is matched to the background's.
    """
    found = [open_matter().mattes(layer.frames, layer.poses) for layer in layers]
    depth, lights = _Depth(layers), [_Light() for _ in layers]
    untouched = behind is None and len(layers) == 1 and layers[0].place == _AS_IT_IS
    for index, (given, *parts) in enumerate(zip(repeat(None) if behind is None else behind, *found, strict=False)):
        back = _placed(parts[0][0], layers[0].place, width, height) if given is None else given
        colours: NDArray = np.zeros((height, width, 3), np.float32)
        cover: NDArray = np.zeros((height, width), np.float32)
        for which in depth.from_afar(index):
            frame, matte = parts[which]
            own = pure_colours(frame, matte)
            if relight:
                own = lights[which](own, frame, matte, back)
            share = _placed(matte, layers[which].place, width, height)
            own = _placed(own, layers[which].place, width, height)
            colours = share[..., None] * own + (1 - share[..., None]) * colours
            cover = share + (1 - share) * cover
        picture = back if untouched else _bytes(colours + (1 - cover[..., None]) * back)
        alone = colours / np.maximum(cover, _NOTHING)[..., None]
        yield Shot(picture, _bytes(255 * cover), _bytes(alone))


def pure_colours(frame: Image, matte: Matte) -> Colours:
    """The colours that a character has by itself, also where a pixel shows some of what is behind it.

    Both sides' colours are means of those near by; what they leave unexplained is added (blur fusion, Forte 2021).
    """
    radius = max(3, round(_NEAR * min(matte.shape)))
    picture, share = frame.astype(np.float32), matte[..., None]

    def near(weights: Matte) -> Colours:
        """The mean colour around each pixel."""
        side = (2 * radius + 1, 2 * radius + 1)
        total = np.asarray(cv2.blur(picture * weights[..., None], side), np.float32)
        return total / np.maximum(cv2.blur(weights, side), np.float32(_NOTHING))[..., None]

    ours, theirs = near(matte**_PURE), near((1 - matte) ** _PURE)
    return np.clip(ours + share * (picture - share * ours - (1 - share) * theirs), 0, 255).astype(np.float32)


class _Light:
    """Moves a character from the light of what was around it towards the light of a scene.

    Light is told by means and deviations in CIELAB (Reinhard et al. 2001), of all frames so far.
    """

    def __init__(self) -> None:
        self._there, self._here = _Spread(), _Spread()

    def __call__(self, colours: Colours, frame: Image, matte: Matte, scene: Image) -> Colours:
        self._there.add(_lab(frame)[matte < 0.1])
        self._here.add(_lab(scene).reshape(-1, 3))
        if not self._there.count:
            return colours
        lab = _lab(colours)
        middle = lab[matte > 0.5].mean(axis=0) if (matte > 0.5).any() else np.zeros(3, np.float32)
        shift = np.clip(_TOWARDS * (self._here.mean - self._there.mean), -_MOST, _MOST)
        contrast = np.clip((self._here.deviation[0] / self._there.deviation[0]) ** _TOWARDS, *_CONTRAST)
        lab = lab + shift.astype(np.float32)
        lab[..., 0] += (contrast - 1) * (lab[..., 0] - shift[0] - middle[0])
        return np.clip(255 * np.asarray(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)), 0, 255)


class _Spread:
    """Mean and deviation of all colours so far."""

    def __init__(self) -> None:
        self.count, self._sum, self._squares = 0, np.zeros(3), np.zeros(3)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in colours (n, 3)."""
        self.count += len(values)
        self._sum += values.sum(axis=0, dtype=np.float64)
        self._squares += (values.astype(np.float64) ** 2).sum(axis=0)

    @property
    def mean(self) -> NDArray[np.float64]:
        return self._sum / self.count

    @property
    def deviation(self) -> NDArray[np.float64]:
        return np.sqrt(np.maximum(self._squares / self.count - self.mean**2, 1.0))


class _Depth:
    """Who is farther away in each frame: whose feet, or what else is seen lowest, are higher."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._feet = np.stack([_steadied(_lowest(layer)) for layer in layers])  # (layers, frames)

    def from_afar(self, index: int) -> list[int]:
        """The layers in a frame, the farthest first; of equal ones the first."""
        return [int(each) for each in np.argsort(self._feet[:, index], kind="stable")]


def _lowest(layer: Layer) -> NDArray[np.float64]:
    """How low each frame's lowest seen point is, pixels of the output, (frames,); NaN where none is."""
    heights = []
    for (points,) in layer.poses.by_frame():
        feet = points[kp.LEFT_ANKLE : kp.FEET.stop]
        standing = feet if (feet[:, 2] >= SEEN_SCORE).any() else points
        seen = standing[standing[:, 2] >= SEEN_SCORE, 1]
        heights.append(layer.place.scale * seen.max() + layer.place.dy if len(seen) else np.nan)
    return np.array(heights)


def _steadied(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smoothed in time; where nothing is known, as before."""
    known = heights[~np.isnan(heights)]
    held = known[0] if len(known) else 0.0
    for index, height in enumerate(heights):
        held = held if np.isnan(height) else _DEPTH_MEMORY * held + (1 - _DEPTH_MEMORY) * height
        heights[index] = held
    return heights


def _placed(values: NDArray, place: Similarity, width: int, height: int) -> NDArray:
    """Values (h, w, ...) on the output; 0 where they do not reach."""
    if place == _AS_IT_IS and values.shape[:2] == (height, width):
        return values
    if place.scale < 1:  # bilinear sampling would skip pixels
        size = (max(1, round(values.shape[1] * place.scale)), max(1, round(values.shape[0] * place.scale)))
        across, down = size[0] / values.shape[1], size[1] / values.shape[0]
        values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))
        across, down = place.scale / across, place.scale / down
    else:
        across = down = place.scale
    # OpenCV puts the origin at a pixel's centre, our maps at its corner.
    matrix = np.array([[across, 0, place.dx + (across - 1) / 2], [0, down, place.dy + (down - 1) / 2]], np.float64)
    return np.asarray(cv2.warpAffine(values, matrix, (width, height), flags=cv2.INTER_LINEAR))


def _lab(picture: NDArray) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _bytes(values: NDArray) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)

"""Pictures and boxes into network inputs, with the way back for coordinates.

All coordinates count pixel centres from 0, as OpenCV and the networks' training pipeline do.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.interface import Image

BOX_MARGIN = 1.25
"""Both pose networks were trained on person boxes enlarged by this (reference.md, "Detectors")."""

# ImageNet's mean and standard deviation, RGB 0..255: what both pose networks were trained with.
_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
_STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)


@dataclass(frozen=True)
class Crop:
    """The part of a picture that a pose network sees.

    Attributes:
        center: X, y px of its middle in the picture.
        size: Width, height px of the picture it covers; it may reach beyond the picture, where it is black.
    """

    center: NDArray[np.float64]
    size: NDArray[np.float64]

    @staticmethod
    def around(box: NDArray, aspect: float) -> "Crop":
        """The person box x1 y1 x2 y2 enlarged by `BOX_MARGIN` and, on one side, to width / height = `aspect`."""
        x1, y1, x2, y2 = (float(value) for value in box[:4])
        width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
        width, height = max(width, height * aspect), max(height, width / aspect)
        return Crop(np.array([(x1 + x2) / 2, (y1 + y2) / 2]), np.array([width, height]) * BOX_MARGIN)

    def cut(self, image: Image, width: int, height: int) -> Image:
        """The crop at the network's input size, (height, width, 3). Its middle lands at (width / 2, height / 2)."""
        zoom = width / self.size[0]
        image, shrunk = _shrunk(image, zoom)
        # A centre c of the picture is (c + 0.5) * shrunk - 0.5 in the shrunk one.
        center = (self.center + 0.5) * shrunk - 0.5
        scale = zoom / shrunk
        matrix = np.array(
            [
                [scale[0], 0, width / 2 - scale[0] * center[0]],
                [0, scale[1], height / 2 - scale[1] * center[1]],
            ]
        )
        return np.rint(cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)).astype(np.uint8)

    def to_picture(self, points: NDArray, width: int, height: int) -> NDArray[np.float64]:
        """Points (..., 2) on a grid of `width` x `height` laid over the crop, in pixels of the picture."""
        return points * (self.size / (width, height)) + self.center - self.size / 2


def _shrunk(image: Image, zoom: float) -> tuple[NDArray, NDArray[np.float64]]:
    """The picture reduced by averaging as far as `zoom` leaves at least two of its pixels for one, with the exact
    factors in x and y: a bilinear warp alone would skip most pixels of a large frame. Means are float32, so that only
    the warp rounds."""
    parts = int(0.5 / zoom)
    if parts < 2:
        return image, np.ones(2)
    height, width = image.shape[:2]
    size = (max(1, width // parts), max(1, height // parts))
    small = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return small, np.array([size[0] / width, size[1] / height])


def normalised(crop: Image) -> NDArray[np.float32]:
    """(height, width, 3) RGB 0..255 as (3, height, width) with ImageNet's mean and deviation."""
    return np.ascontiguousarray(((crop.astype(np.float32) - _MEAN) / _STD).transpose(2, 0, 1))


def stretched(image: Image, side: int) -> tuple[Image, NDArray[np.float64]]:
    """The picture resized to a square, and the factors x, y from the square's edges to the picture's."""
    height, width = image.shape[:2]
    square = cv2.resize(image, (side, side), interpolation=_resampling(side / max(width, height)))
    return np.asarray(square, dtype=np.uint8), np.array([width / side, height / side])


def letterboxed(image: Image, side: int, fill: int) -> tuple[Image, NDArray[np.float64]]:
    """The picture at the top left of a square of grey `fill`, aspect kept, and the factors x, y back."""
    height, width = image.shape[:2]
    zoom = min(side / width, side / height)
    new_width, new_height = max(1, int(width * zoom)), max(1, int(height * zoom))
    square = np.full((side, side, 3), fill, dtype=np.uint8)
    square[:new_height, :new_width] = cv2.resize(image, (new_width, new_height), interpolation=_resampling(zoom))
    return square, np.array([width / new_width, height / new_height])


def _resampling(zoom: float) -> int:
    return cv2.INTER_AREA if zoom < 0.5 else cv2.INTER_LINEAR

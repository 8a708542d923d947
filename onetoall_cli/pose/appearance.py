"""What a person wears, as a colour histogram of the trunk: tells people apart where movement cannot, after cuts and
absences."""

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp

Look = NDArray[np.float32]
"""(256,) shares of the trunk's pixels by colour, summing to 1."""

_TRUNK = [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_HIP, kp.RIGHT_HIP]
_PATCH = (24, 32)
_BINS = (4, 8, 8)  # lightness coarsely, since light changes; colour finely
_RANGES = [0, 256, 64, 192, 64, 192]  # Lab in 8 bits; colours beyond, rare in clothes, count as the outermost


def look_of(image: NDArray[np.uint8], person: NDArray[np.float32]) -> Look | None:
    """The look of a (133, 3) person in a picture, or None where no trunk is to be seen.

    Shoulders and hips count wherever they are put, since a close-up's hips lie below the picture; what of the trunk
    is inside the picture is looked at.
    """
    if (person[_TRUNK, 2] <= 0).all():
        return None
    points = person[[row for row in _TRUNK if person[row, 2] > 0], :2]
    height, width = image.shape[:2]
    left, top = np.clip(points.min(axis=0), 0, (width, height)).astype(int)
    right, bottom = np.clip(points.max(axis=0), 0, (width, height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return None
    patch = cv2.resize(image[top:bottom, left:right], _PATCH, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)
    colours[..., 1:] = np.clip(colours[..., 1:], 64, 191)
    counts = cv2.calcHist([colours], [0, 1, 2], None, list(_BINS), _RANGES).ravel()
    return (counts / counts.sum()).astype(np.float32)


def difference(a: Look, b: Look) -> float:
    """Hellinger distance, 0 (same colours) to 1 (none in common)."""
    return float(np.sqrt(max(0.0, 1.0 - float(np.sqrt(a * b).sum()))))

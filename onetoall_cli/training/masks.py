"""Outpainting masks: the part of the reference that the network sees in training.

A masked reference looks like one after pose-guided translation at inference: a box of picture on black.
Source: the paper's face-centred random mask; the released code builds it of a box around the face, hair included, whose
lower edge and place are random.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive

ROOM_ABOVE, ROOM_BELOW = 0.71, 0.31  # face heights from the landmarks to the edges of the face region, hair included
LOWEST = 0.9  # the lowest edge of the box, of the frame's height
CENTRE_PART = 0.7  # of each side, for pictures without a usable face
HOLE_SIDES = (0.05, 0.2)  # of the frame's sides
MIN_SCORE = 0.3  # landmarks below it are not visible
MIN_LANDMARKS = 20  # fewer visible ones do not locate the face
MIN_FACE = 4.0  # the least height in pixels of a face that a box is built on


@dataclass(frozen=True)
class FaceBox:
    """The box of the 68 landmarks, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


def face_box(keypoints: NDArray) -> FaceBox | None:
    """The box around the visible face landmarks of keypoints (133, 3); None without a usable face."""
    face = keypoints[kp.FACE]
    seen = face[face[:, 2] >= MIN_SCORE]
    if len(seen) < MIN_LANDMARKS:
        return None
    (left, top), (right, bottom) = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    return FaceBox(left, top, right, bottom) if bottom - top >= MIN_FACE else None


def face_centred_box(
    keypoints: NDArray,
    width: int,
    height: int,
    rng: np.random.Generator,
    *,
    room: tuple[float, float] = (ROOM_ABOVE, ROOM_ABOVE),
    room_below: float = ROOM_BELOW,
) -> Box | None:
    """The box of the reference that stays known; None without a usable face.

    Args:
        keypoints: Keypoints (133, 3) of the reference in its pixels.
        width, height: Size of the reference in pixels.
        rng: Source of randomness.
        room: Range of the space left above the face, in face heights, for hair and hats.
        room_below: The least space left below it, in face heights.
    """
    face = face_box(keypoints)
    if face is None or face.top >= height * LOWEST or face.right <= 0 or face.left >= width:
        return None
    top = max(0.0, face.top - rng.uniform(*room) * face.height)
    nearest = face.bottom + room_below * face.height
    bottom = min(rng.uniform(nearest, max(nearest, LOWEST * height)), float(height))
    # The known part keeps the frame's aspect, unless the face itself is wider.
    wide = min(max((bottom - top) * width / height, face.right - face.left), float(width))
    first, last = max(0.0, face.right - wide), min(max(0.0, face.left), width - wide)
    left = rng.uniform(min(first, last), max(first, last))
    return _whole(left, top, left + wide, bottom, width, height)


def centre_box(width: int, height: int) -> Box:
    """The middle 70 % of both sides: what stays known of a picture without a usable face."""
    part = (1 - CENTRE_PART) / 2
    return _whole(width * part, height * part, width * (1 - part), height * (1 - part), width, height)


def small_hole(width: int, height: int, rng: np.random.Generator) -> Box:
    """A random rectangle of 5 to 20 % of each side."""
    wide, high = rng.uniform(*HOLE_SIDES) * width, rng.uniform(*HOLE_SIDES) * height
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    return _whole(left, top, left + wide, top + high, width, height)


def all_but(box: Box, width: int, height: int) -> NDArray[np.bool_]:
    """A mask, bool (height, width), True where unknown: everywhere outside the box."""
    mask = np.ones((height, width), bool)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = False
    return mask


def _whole(left: float, top: float, right: float, bottom: float, width: int, height: int) -> Box:
    """A box rounded outwards to at least one whole pixel inside the picture."""
    x, y = min(int(np.floor(left)), width - 1), min(int(np.floor(top)), height - 1)
    x_end, y_end = max(int(np.ceil(right)), x + 1), max(int(np.ceil(bottom)), y + 1)
    return max(x, 0), max(y, 0), min(x_end, width), min(y_end, height)

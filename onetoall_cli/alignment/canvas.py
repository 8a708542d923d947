"""The output canvas: its size, and the part of the plane that it shows."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import NECK, SEEN_SCORE, with_neck
from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import SIZE_MULTIPLE, floored
from onetoall_cli.pose import keypoints as kp

Fit = Literal["crop", "pad", "motion"]
FITS: tuple[Fit, ...] = ("crop", "pad", "motion")

# Margin around the movement, of its larger side, for clothes, hair and fingers beyond the keypoints.
MOTION_MARGIN = 0.05
# The crown of the head has no keypoint. It lies about this many neck-to-nose lengths beyond the nose (in drawings of
# human proportions: shoulder line to nose 1, nose to crown 0.8).
CROWN_BEYOND_NOSE = 0.8

# A box is x0, y0, x1, y1 in pixels.
Box = tuple[float, float, float, float]


def working_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """The size to generate at for a reference of width x height: (width, height).

    The short side is at most `short_side` and never enlarged; then both sides are floored to multiples of 16, as in the
    research code.

    Raises:
        BadInput: `short_side` is below 16.
    """
    if short_side < SIZE_MULTIPLE:
        raise BadInput(f"A short side of {short_side} px is too small.", f"Give at least {SIZE_MULTIPLE}.")
    smaller = min(width, height)
    wanted = min(short_side, smaller)
    # Integer arithmetic: the float 1080 * (384 / 1080) may be below 384.
    return floored(width * wanted // smaller), floored(height * wanted // smaller)


def cover(frame: Box, width: int, height: int) -> Similarity:
    """The smallest centred map under which `frame` covers a width x height canvas."""
    return _centred(frame, width, height, max)


def contain(frame: Box, width: int, height: int) -> Similarity:
    """The largest centred map under which `frame` fits on a width x height canvas."""
    return _centred(frame, width, height, min)


def view(fit: Fit, frame: Box, movement: Box | None, content: Box | None, width: int, height: int) -> Similarity:
    """The map from a plane onto the output canvas.

    Args:
        fit: "crop": `frame` covers the canvas, centred unless the movement is elsewhere. "pad": all of `frame` is
            shown. "motion": all of `content` is shown, as large as it fits.
        frame: The picture that defines the plane.
        movement: The box of `movement_box`; None where nobody is seen.
        content: The box that "motion" shows; None shows `frame`.
        width: Canvas width in pixels.
        height: Canvas height in pixels.
    """
    if fit == "crop":
        return _slid(cover(frame, width, height), frame, movement or frame, width, height)
    return contain(frame if fit == "pad" or content is None else content, width, height)


def _slid(covering: Similarity, frame: Box, movement: Box, width: int, height: int) -> Similarity:
    """`covering` shifted until the canvas shows the movement, or its middle if it is too large, but nothing outside
    `frame`."""
    shifts = [covering.dx, covering.dy]
    for axis, side in enumerate((width, height)):
        low, high = (covering.scale * movement[edge] + shifts[axis] for edge in (axis, axis + 2))
        first, last = (covering.scale * frame[edge] + shifts[axis] for edge in (axis, axis + 2))
        if high - low > side:
            step = (side - low - high) / 2
        else:
            step = max(0.0, -low) + min(0.0, side - high)
        shifts[axis] += min(max(step, side - last), -first)
    return Similarity(covering.scale, *shifts)


def movement_box(keypoints: NDArray) -> Box | None:
    """The box around all seen keypoints of all frames and the crown of the head, with a margin.

    Args:
        keypoints: Keypoints (frames, 133, 3) in pixels.

    Returns:
        The box, with positive sides; None if nothing is seen.
    """
    body = with_neck(keypoints)
    points = body[body[..., 2] >= SEEN_SCORE][:, :2]
    if not len(points):
        return None
    has_head = (body[:, (NECK, kp.NOSE), 2] >= SEEN_SCORE).all(axis=1)
    neck, nose = body[has_head, NECK, :2], body[has_head, kp.NOSE, :2]
    points = np.concatenate([points, nose + CROWN_BEYOND_NOSE * (nose - neck)])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = max(MOTION_MARGIN * float((high - low).max()), 1.0)
    return (low[0] - margin, low[1] - margin, high[0] + margin, high[1] + margin)


def union(a: Box, b: Box | None) -> Box:
    """The smallest box around both."""
    if b is None:
        return a
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _centred(frame: Box, width: int, height: int, choose: Callable[[float, float], float]) -> Similarity:
    x0, y0, x1, y1 = frame
    scale = choose(width / (x1 - x0), height / (y1 - y0))
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return Similarity.pinning(centre, np.array([width / 2, height / 2]), scale)

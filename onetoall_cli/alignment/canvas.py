"""The output canvas: its size, and the part of the plane that it shows."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import SEEN_SCORE, crowns, with_neck
from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import SIZE_MULTIPLE, floored

Fit = Literal["crop", "pad", "motion"]
FITS: tuple[Fit, ...] = ("crop", "pad", "motion")

# Margin around the movement, of its larger side, for clothes, hair and fingers beyond the keypoints.
MOTION_MARGIN = 0.05
# Sizes far from any that a model was trained on. The released models' short sides 384 and 576 stand for the areas of
# their training, 512^2 and 768^2 pixels, at 9:16. Half the size, as a draft has, is not far; a fifth or five times the
# area is.
TRAINED_ASPECT = 16 / 9
AREA_APART = 5.0
LONGEST_ASPECT = 2.5  # phones are 9:20, cinema 2.39:1

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


def unusual_size(width: int, height: int, short_side: int) -> str | None:
    """One sentence if an output's size is far from what a model was trained on, else None.

    Args:
        width: Output width in pixels.
        height: Output height in pixels.
        short_side: The model's own.
    """
    usual = f"{short_side} x {floored(TRAINED_ASPECT * short_side)}"
    aspect = max(width, height) / min(width, height)
    area = width * height / (TRAINED_ASPECT * short_side**2)
    if aspect > LONGEST_ASPECT:
        fault = f"{aspect:.0f} times as long as wide" if aspect >= 3 else f"{aspect:.1f} times as long as wide"
    elif not 1 / AREA_APART <= area <= AREA_APART:
        fault = f"{area:.2g} times the area"
    else:
        return None
    return f"The output is {width} x {height}: {fault}, far from what the model was trained on (about {usual})."


def cover(frame: Box, width: int, height: int) -> Similarity:
    """The smallest centred map under which `frame` covers a width x height canvas."""
    return _centred(frame, width, height, max)


def contain(frame: Box, width: int, height: int) -> Similarity:
    """The largest centred map under which `frame` fits on a width x height canvas."""
    return _centred(frame, width, height, min)


def view(fit: Fit, shown: Box, movement: Box | None, width: int, height: int) -> Similarity:
    """The map from a plane onto the output canvas.

    Args:
        fit: "crop": `shown` covers the canvas, centred unless the movement is elsewhere. Otherwise all of it is on the
            canvas, as large as it fits.
        shown: The box that the canvas shows.
        movement: The box of `movement_box`; None where nobody is seen.
        width: Canvas width in pixels.
        height: Canvas height in pixels.
    """
    if fit == "crop":
        return _slid(cover(shown, width, height), shown, movement or shown, width, height)
    return contain(shown, width, height)


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
    points = np.concatenate([points, crowns(body)])
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

"""How a driver's body compares with a reference's, frame by frame: size, widths, facing, head.

Sizes are compared by heights along the bones, because turning about the body's own axis shortens widths only. A single
frame errs where somebody bends or nods, so decisions take the median over a clip.

All functions take keypoints of a reference (133, 3) and of the driver's frames (frames, 133, 3), each in its own
pixels, and return one value for each frame, NaN where the two share nothing to measure.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.skeleton import (
    BRIDGE_TO_CHIN,
    EARS,
    HIPS,
    SHINS,
    SHOULDERS,
    THIGHS,
    distance,
    height_between,
    middle,
    seen,
)
from onetoall_cli.pose import keypoints as kp

Array = NDArray[np.float64]
Pair = tuple[int, int]

SHORTEST = 1e-6  # px; a length below it is degenerate
# Bodies whose widths differ by more than this where their heights agree are turned differently (or built so).
NARROW_APART = 1.5
# No two bodies, and no two heads, are built so differently.
TOO_NARROW = 2.0
# The nose's place between the ears, in ear distances from their middle: this far apart, heads face differently. It is
# about 20 degrees. The anchors of the research code differ by up to 0.15, but for one in three-quarter view.
NOSE_APART = 0.25


def sizes(reference: NDArray, frames: NDArray) -> Array:
    """The driver's size over the reference's.

    It is measured by head, torso, thighs and shins together, as far as both show them; else by the height of the face;
    else by the widths of shoulders and ears.
    """
    ratio = np.full(len(frames), np.nan)
    for ours, theirs in zip(_measures(reference), _measures(frames), strict=True):
        shared = np.isfinite(ours) & np.isfinite(theirs)
        measured = _over(np.where(shared, theirs, 0).sum(axis=-1), np.where(shared, ours, 0).sum(axis=-1))
        ratio = np.where(np.isfinite(ratio), ratio, measured)
    return ratio


def narrowness(reference: NDArray, frames: NDArray) -> Array:
    """The driver's shoulder width for its torso over the reference's; 0.5 where a like body is turned by 60 degrees."""
    return _over(_length(frames, SHOULDERS), _length(reference, SHOULDERS)) / _over(
        _height(frames, SHOULDERS, HIPS), _height(reference, SHOULDERS, HIPS)
    )


def turned_aside(reference: NDArray, frames: NDArray) -> bool:
    """Whether the driver never shows its widths: in all frames both body and head look far too narrow for their height.

    A body or a head that is narrow alone is built so.
    """
    head = _over(_length(frames, EARS), _length(reference, EARS)) / _over(_head_height(frames), _head_height(reference))
    widest = [each[np.isfinite(each)].max(initial=0.0) for each in (narrowness(reference, frames), head)]
    return min(widest) > 0 and max(widest) < 1 / TOO_NARROW


def facing_alike(reference: NDArray, frames: NDArray) -> NDArray[np.bool_]:
    """Whether body and head are turned about as the reference's, (frames,); True where it cannot be told."""
    narrow = narrowness(reference, frames)
    apart = np.abs(_nose_between_ears(frames) - _nose_between_ears(reference))
    return ~((np.maximum(narrow, 1 / narrow) > NARROW_APART) | (apart > NOSE_APART))


def heads(reference: NDArray, frames: NDArray) -> Array:
    """The driver's size of the head for its body over the reference's.

    It is measured by heights: ears above shoulders and, where it is seen, the face, for the torso's. Where no frame
    shows them it is measured by widths: from ear to ear for the shoulders'.
    """
    tall = [_over(measure(frames), measure(reference)) for measure in (_head_height, _face_height)]
    by_height = _mean(tall) / _over(_height(frames, SHOULDERS, HIPS), _height(reference, SHOULDERS, HIPS))
    if np.isfinite(by_height).any():
        return by_height
    return _over(_length(frames, EARS), _length(reference, EARS)) / _over(
        _length(frames, SHOULDERS), _length(reference, SHOULDERS)
    )


def median(values: Array) -> float:
    """The median of the known values; NaN if there is none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _measures(body: NDArray) -> tuple[Array, ...]:
    """Lengths (..., n), the most telling kind first."""
    heights = (_head_height(body), _height(body, SHOULDERS, HIPS), _longer(body, THIGHS), _longer(body, SHINS))
    widths = (_length(body, SHOULDERS), _length(body, EARS))
    return np.stack(heights, axis=-1), _face_height(body)[..., None], np.stack(widths, axis=-1)


def _head_height(body: NDArray) -> Array:
    return _height(body, EARS, SHOULDERS)


def _face_height(body: NDArray) -> Array:
    return _length(body, BRIDGE_TO_CHIN)


def _length(body: NDArray, pair: Pair) -> Array:
    return np.where(seen(body, *pair), distance(body, *pair), np.nan)


def _height(body: NDArray, upper: Pair, lower: Pair) -> Array:
    return np.where(seen(body, *upper, *lower), height_between(body, upper, lower), np.nan)


def _longer(body: NDArray, limbs: Sequence[Pair]) -> Array:
    """The longer of a left and a right limb: a limb that points at the camera is shortened."""
    return np.fmax(*(_length(body, limb) for limb in limbs))


def _nose_between_ears(body: NDArray) -> Array:
    across = np.where(seen(body, kp.NOSE, *EARS), body[..., EARS[0], 0] - body[..., EARS[1], 0], np.nan)
    return _over(body[..., kp.NOSE, 0] - middle(body, EARS)[..., 0], across, signed=True)


def _over(theirs: Array, ours: Array, *, signed: bool = False) -> Array:
    """`theirs` / `ours`; NaN where one of them is degenerate or unknown."""
    usable = np.abs(ours) > SHORTEST
    if not signed:
        usable = usable & (theirs > SHORTEST)
    theirs, ours, usable = np.broadcast_arrays(theirs, ours, usable)
    return np.divide(theirs, ours, out=np.full(theirs.shape, np.nan), where=usable)


def _mean(ratios: Sequence[Array]) -> Array:
    """The geometric mean of those that are known, elementwise."""
    logs = np.log(np.stack(ratios))
    known = np.isfinite(logs)
    return np.exp(np.where(known, logs, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan))

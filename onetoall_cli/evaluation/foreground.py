"""Which pixels of a result are the puppet: those that differ from what is behind it and may be puppet by their looks.

Behind it is the world's true backdrop where the reference shows it. Elsewhere nobody can know the backdrop, and any is
as good: there it is what the result itself shows in the frames in which the puppet ought to be elsewhere.

The difference alone finds outlines to the pixel, but counts as puppet every stripe of a wallpaper that a model did not
get right. A segmenter tells such things by their looks; it only has a veto, for its own outlines are coarser.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.evaluation.cases import Case
from onetoall_cli.evaluation.segmenter import puppet_logits

DIFFERENCE = 24  # of 255, in the channel that differs most: the VAE alone makes errors of 10 and more
# Edges are soft, and blurred by the VAE: this near to the puppet's true place nothing is taken for backdrop. Part of
# the picture's height: 3 pixels of 192.
_MARGIN = 1 / 64
# Log odds of the segmenter: what is puppet with less than one chance in eight is none.
_NO_PUPPET = -2.0
_COVERED = 256  # sorts behind every byte


def found_figure(frames: NDArray[np.uint8], differing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The puppet in a result (T, H, W, 3) of which `differing_figure` found (T, H, W): bool (T, H, W)."""
    return differing & (puppet_logits(frames) > _NO_PUPPET)


def differing_figure(frames: NDArray[np.uint8], case: Case) -> NDArray[np.bool_]:
    """What differs in a result (T, H, W, 3) for `case` from what ought to be behind the puppet: bool (T, H, W)."""
    figure = true_figure(case)
    behind = backdrop_behind(frames, figure, case.backdrop, case.backdrop_shown)
    found = np.empty(frames.shape[:3], bool)
    for mask, frame in zip(found, frames, strict=True):
        differs = (cv2.absdiff(frame, behind).max(axis=-1) > DIFFERENCE).astype(np.uint8)
        mask[:] = cv2.medianBlur(differs, 3) > 0  # single pixels are noise
    return found


def true_figure(case: Case) -> NDArray[np.bool_]:
    """Where the puppet ought to be, bool (T, H, W)."""
    return case.truth.masks >= 128


def backdrop_behind(
    frames: NDArray[np.uint8], figure: NDArray[np.bool_], backdrop: NDArray[np.uint8], shown: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """What is behind the puppet in a result: the true backdrop where it is known, elsewhere the result's own.

    Args:
        frames: (T, H, W, 3), the result.
        figure: (T, H, W), where the puppet ought to be.
        backdrop, shown: (H, W, 3) and (H, W), the true backdrop and where it is known.

    Returns:
        (H, W, 3): where unknown the median of the frames in which the puppet is not near; where it always is, filled in
        from around.
    """
    margin = math.ceil(_MARGIN * figure.shape[1])
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    near = np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in figure])
    ordered = np.sort(np.where(near[..., None], _COVERED, frames.astype(np.int16)), axis=0)
    free = (~near).sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum(free - 1, 0)[None, ..., None] // 2, axis=0)[0]
    behind = np.where(shown[..., None], backdrop, np.where(free[..., None] > 0, middle, 0)).astype(np.uint8)
    # From the true backdrop too: a puppet drawn too large would else fill its own place with itself.
    return np.asarray(cv2.inpaint(behind, ((free == 0) & ~shown).astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)

"""Foreground of a result: pixels that differ from the backdrop and that the segmenter does not exclude.

The backdrop is the true one where the reference shows it. Elsewhere a model cannot know it, and any is accepted: the
result's own backdrop is taken, from frames where the puppet should be elsewhere.

The difference gives outlines exact to the pixel, but it also marks every wrong stripe of a wallpaper. The segmenter
excludes those; it adds nothing, because its outlines are coarser.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.evaluation.puppets.cases import Case
from onetoall_cli.evaluation.puppets.segmenter import puppet_logits

DIFFERENCE = 24  # of 255, in the channel with the largest difference: the VAE alone makes errors of 10 and more
# No pixel this near to the true puppet counts as backdrop, because edges are soft and blurred by the VAE. A share of
# the picture's height: 3 pixels of 192.
_MARGIN = 1 / 64
# Log odds of the segmenter (a probability of 1/8): pixels below are excluded.
_NO_PUPPET = -2.0
_COVERED = 256  # larger than every byte, so it sorts last


def found_figure(frames: NDArray[np.uint8], differing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The puppet in a result (T, H, W, 3), given its `differing_figure`: bool (T, H, W)."""
    return differing & (puppet_logits(frames) > _NO_PUPPET)


def differing_figure(frames: NDArray[np.uint8], case: Case) -> NDArray[np.bool_]:
    """The pixels of a result (T, H, W, 3) for `case` that differ from the backdrop: bool (T, H, W)."""
    figure = true_figure(case)
    behind = backdrop_behind(frames, figure, case.backdrop, case.backdrop_shown)
    found = np.empty(frames.shape[:3], bool)
    for mask, frame in zip(found, frames, strict=True):
        differs = (cv2.absdiff(frame, behind).max(axis=-1) > DIFFERENCE).astype(np.uint8)
        mask[:] = cv2.medianBlur(differs, 3) > 0  # single pixels are noise
    return found


def true_figure(case: Case) -> NDArray[np.bool_]:
    """The true puppet, bool (T, H, W)."""
    return case.truth.masks >= 128


def backdrop_behind(
    frames: NDArray[np.uint8], figure: NDArray[np.bool_], backdrop: NDArray[np.uint8], shown: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The backdrop of a result: the true one where it is known, elsewhere the result's own.

    Args:
        frames: The result, (T, H, W, 3).
        figure: The true puppet, (T, H, W).
        backdrop, shown: The true backdrop (H, W, 3) and where it is known (H, W).

    Returns:
        The backdrop, uint8 (H, W, 3). Unknown pixels are the median of the frames in which the puppet is not near, or
        inpainted where it always is.
    """
    margin = math.ceil(_MARGIN * figure.shape[1])
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    near = np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in figure])
    ordered = np.sort(np.where(near[..., None], _COVERED, frames.astype(np.int16)), axis=0)
    free = (~near).sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum(free - 1, 0)[None, ..., None] // 2, axis=0)[0]
    behind = np.where(shown[..., None], backdrop, np.where(free[..., None] > 0, middle, 0)).astype(np.uint8)
    # From the true backdrop too: else a puppet drawn too large would be filled in as its own backdrop.
    return np.asarray(cv2.inpaint(behind, ((free == 0) & ~shown).astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)

"""Which pixels of a result are the puppet: those that differ from what is behind it.

Behind it is the world's true backdrop where the reference shows it. Elsewhere nobody can know the backdrop, and any is
as good: there it is what the result itself shows in the frames in which the puppet ought to be elsewhere.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.evaluation.cases import Case

DIFFERENCE = 24  # of 255, in the channel that differs most: the VAE alone makes errors of 10 and more
# Edges are soft, and blurred by the VAE: this near to the puppet's true place nothing is taken for backdrop, px.
_MARGIN = 3
_COVERED = 256  # sorts behind every byte


def found_figure(frames: NDArray[np.uint8], case: Case) -> NDArray[np.bool_]:
    """The puppet in a result (T, H, W, 3) for `case`: bool (T, H, W)."""
    behind = np.where(case.backdrop_shown[..., None], case.backdrop, own_backdrop(frames, true_figure(case)))
    found = np.empty(frames.shape[:3], bool)
    for mask, frame in zip(found, frames, strict=True):
        differs = (cv2.absdiff(frame, behind).max(axis=-1) > DIFFERENCE).astype(np.uint8)
        mask[:] = cv2.medianBlur(differs, 3) > 0  # single pixels are noise
    return found


def true_figure(case: Case) -> NDArray[np.bool_]:
    """Where the puppet ought to be, bool (T, H, W)."""
    return case.truth.masks >= 128


def own_backdrop(frames: NDArray[np.uint8], figure: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The median (H, W, 3) of the frames in which `figure` (T, H, W) is not near; filled in from around elsewhere."""
    kernel = np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)
    near = np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in figure])
    ordered = np.sort(np.where(near[..., None], _COVERED, frames.astype(np.int16)), axis=0)
    free = (~near).sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum(free - 1, 0)[None, ..., None] // 2, axis=0)[0]
    behind = np.where(free[..., None] > 0, middle, 0).astype(np.uint8)
    return np.asarray(cv2.inpaint(behind, (free == 0).astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)

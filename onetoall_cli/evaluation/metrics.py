"""The measures of an evaluation as plain functions on pictures, uint8 (frames, height, width, 3) RGB unless said.

Each returns one number a clip, NaN where there is nothing to measure; frames count alike.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Masks = NDArray[np.bool_]  # (frames, height, width)
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two are outside

# An error below a byte's rounding is not seen, and would make equal pictures infinitely good: PSNR ends at 58.9 dB.
_ROUNDING = 1 / 12
# Structural similarity as its authors define it (Wang et al. 2004).
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# A region of fewer pixels, or a patch this unlike, says nothing.
MIN_REGION = 12
MIN_MATCH = 0.5


def psnr(result: Frames, truth: Frames) -> float:
    """Peak signal-to-noise ratio, dB, the mean over the frames."""
    error = np.square(result.astype(np.float32) - truth).mean(axis=(1, 2, 3))
    return float(_decibel(error).mean())


def psnr_within(result: Frames, truth: Frames, boxes: Sequence[Box | None]) -> float:
    """`psnr` inside one box a frame; frames without a box do not count."""
    error = errors_within(result, truth, boxes)
    return float(_decibel(error).mean()) if len(error) else float("nan")


def errors_within(result: Frames, truth: Frames, boxes: Sequence[Box | None]) -> NDArray[np.float64]:
    """The mean squared error in the box of each frame that has one, at least a byte's rounding."""
    values = []
    for made, true, box in zip(result, truth, boxes, strict=True):
        if box:
            left, top, right, bottom = box
            difference = made[top:bottom, left:right].astype(np.float32) - true[top:bottom, left:right]
            values.append(float(np.square(difference).mean()))
    return np.maximum(np.array(values), _ROUNDING)


def nearer_by(result: Frames, truth: Frames, other: Frames, boxes: Sequence[Box | None]) -> float:
    """By how many dB the result is nearer to `truth` than to `other` inside the boxes; negative if it is further."""
    own, others = errors_within(result, truth, boxes), errors_within(result, other, boxes)
    return float((10 * np.log10(others / own)).mean()) if len(own) else float("nan")


def _decibel(error: NDArray) -> NDArray:
    return 10 * np.log10(255.0**2 / np.maximum(error, _ROUNDING))


def ssim(result: Frames, truth: Frames) -> float:
    """Structural similarity with the usual 11 x 11 Gaussian window, the mean over frames and colour channels."""
    edge = _SSIM_WINDOW // 2
    values = []
    for made, true in zip(result, truth, strict=True):
        a, b = made.astype(np.float32), true.astype(np.float32)
        mean_a, mean_b = _blurred(a), _blurred(b)
        variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
        covariance = _blurred(a * b) - mean_a * mean_b
        alike = (2 * mean_a * mean_b + _SSIM_C1) * (2 * covariance + _SSIM_C2)
        alike /= (mean_a**2 + mean_b**2 + _SSIM_C1) * (variance_a + variance_b + _SSIM_C2)
        values.append(float(alike[edge:-edge, edge:-edge].mean()))  # where the whole window is inside
    return float(np.mean(values))


def _blurred(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture, (_SSIM_WINDOW, _SSIM_WINDOW), _SSIM_SIGMA), np.float32)


def overlap(found: Masks, true: Masks) -> float:
    """Intersection over union, the mean over the frames in which there is anything."""
    both, either = (found & true).sum(axis=(1, 2)), (found | true).sum(axis=(1, 2))
    some = either > 0
    return float((both[some] / either[some]).mean()) if some.any() else float("nan")


def colour_error(result: Frames, truth: Frames, region: Masks) -> float:
    """By how much the mean colour of a region differs, percent of the range, over the frames that show it."""
    values = []
    for made, true, pixels in zip(result, truth, region, strict=True):
        if pixels.sum() >= MIN_REGION:
            difference = made[pixels].mean(axis=0) - true[pixels].mean(axis=0)
            values.append(float(np.abs(difference).mean()) / 255 * 100)
    return float(np.mean(values)) if values else float("nan")


def joint_errors(
    result: NDArray[np.uint8], truth: NDArray[np.uint8], joints: NDArray, radius: int, reach: int
) -> NDArray[np.float64]:
    """How far from their true place the joints of one frame are found, px.

    What surrounds a joint in the truth is searched for around the same place in the result, by edges and not by colour,
    since nobody can know the colour of what the reference does not show. A joint that is not found (correlation below
    `MIN_MATCH`) counts as `reach` away.

    Args:
        result, truth: (H, W, 3).
        joints: (n, 2), the true places in px.
        radius: Of the patch round a joint, px.
        reach: Of the search, px.

    Returns:
        One number a joint; joints whose patch leaves the picture are left out.
    """
    made, true = _edges(result), _edges(truth)
    height, width = true.shape
    errors = []
    for x, y in np.floor(joints).astype(int):
        if not (radius <= x < width - radius and radius <= y < height - radius):
            continue
        patch = true[y - radius : y + radius + 1, x - radius : x + radius + 1]
        left, top = max(x - radius - reach, 0), max(y - radius - reach, 0)
        around = made[top : y + radius + reach + 1, left : x + radius + reach + 1]
        match = np.nan_to_num(cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED))
        _, best, _, (column, row) = cv2.minMaxLoc(match)
        distance = float(np.hypot(left + column + radius - x, top + row + radius - y))
        errors.append(min(distance, reach) if best >= MIN_MATCH else float(reach))
    return np.array(errors)


def _edges(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How strongly a picture changes at each pixel, (H, W): the strongest of its channels, slightly blurred."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(across, down).max(axis=-1), np.float32)


def border_ratio(frames: Frames, borders: Sequence[int], others: Sequence[int] | None = None) -> float:
    """The change across segment borders as a multiple of the median change between frames within segments.

    Args:
        borders: For each segment but the first, the index of its first frame.
        others: Compare only with the changes to these frames; None: with all that lie across no border.
    """
    changes = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    number = np.arange(1, len(frames))
    across = np.isin(number, borders)
    within = ~across if others is None else ~across & np.isin(number, others)
    return float(changes[across].mean() / max(float(np.median(changes[within])), 1e-6))

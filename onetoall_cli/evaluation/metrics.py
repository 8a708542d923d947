"""The measures of an evaluation, as functions on pictures: uint8 (frames, height, width, 3) RGB unless noted.

Each returns one number for a clip, the mean over its frames; NaN where there is nothing to measure.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Masks = NDArray[np.bool_]  # (frames, height, width)
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two are outside

# The least squared error, that of rounding to a byte. It limits PSNR to 58.9 dB, which is infinite for equal pictures.
_ROUNDING = 1 / 12
# Structural similarity as its authors define it (Wang et al. 2004).
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
MIN_REGION = 12  # the least pixels of a region whose colour is measured
MIN_MATCH = 0.5  # the least correlation of a joint that counts as found


def psnr(result: Frames, truth: Frames) -> float:
    """Peak signal-to-noise ratio, dB, the mean over the frames."""
    error = np.square(result.astype(np.float32) - truth).mean(axis=(1, 2, 3))
    return float(_decibel(error).mean())


def psnr_within(result: Frames, truth: Frames, boxes: Sequence[Box | None]) -> float:
    """`psnr` inside one box a frame; frames without a box do not count."""
    error = errors_within(result, truth, boxes)
    return float(_decibel(error).mean()) if len(error) else float("nan")


def errors_within(result: Frames, truth: Frames, boxes: Sequence[Box | None]) -> NDArray[np.float64]:
    """The mean squared error in the box of each frame that has one, at least that of rounding to a byte."""
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
        a, b = made.astype(np.float64), true.astype(np.float64)  # variances cancel: float32 is 1e-4 off
        mean_a, mean_b = _blurred(a), _blurred(b)
        variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
        covariance = _blurred(a * b) - mean_a * mean_b
        alike = (2 * mean_a * mean_b + _SSIM_C1) * (2 * covariance + _SSIM_C2)
        alike /= (mean_a**2 + mean_b**2 + _SSIM_C1) * (variance_a + variance_b + _SSIM_C2)
        values.append(float(alike[edge:-edge, edge:-edge].mean()))  # where the whole window is inside
    return float(np.mean(values))


def _blurred(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(picture, (_SSIM_WINDOW, _SSIM_WINDOW), _SSIM_SIGMA), np.float64)


def overlap(found: Masks, true: Masks) -> float:
    """Intersection over union, the mean over the frames where either mask is not empty."""
    both, either = (found & true).sum(axis=(1, 2)), (found | true).sum(axis=(1, 2))
    some = either > 0
    return float((both[some] / either[some]).mean()) if some.any() else float("nan")


def colour_error(result: Frames, truth: Frames, region: Masks) -> float:
    """Difference of a region's mean colour, percent of the range, over the frames that show it."""
    values = []
    for made, true, pixels in zip(result, truth, region, strict=True):
        if pixels.sum() >= MIN_REGION:
            difference = made[pixels].mean(axis=0) - true[pixels].mean(axis=0)
            values.append(float(np.abs(difference).mean()) / 255 * 100)
    return float(np.mean(values)) if values else float("nan")


def joint_errors(
    result: NDArray[np.uint8], truth: NDArray[np.uint8], joints: NDArray, radius: int, reach: int
) -> NDArray[np.float64]:
    """Distances of one frame's joints from their true places, in pixels.

    The patch around a true joint is searched for near the same place in the result. Edges are compared instead of
    colours, because the reference does not show every colour. A joint that is not found (correlation below `MIN_MATCH`)
    counts as `reach` away.

    Args:
        result, truth: Pictures (H, W, 3).
        joints: The true places in pixels, (n, 2).
        radius: Radius of the patch in pixels.
        reach: How far to search, in pixels.

    Returns:
        One distance for each joint, without those whose patch leaves the picture.
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
    """Gradient magnitude of a slightly blurred picture, (H, W): the largest of its channels."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(across, down).max(axis=-1), np.float32)


def border_ratio(frames: Frames, borders: Sequence[int], others: Sequence[int] | None = None) -> float:
    """The change across segment borders as a multiple of the median change between frames within segments.

    Args:
        borders: Index of the first frame of each segment but the first.
        others: First frames of the changes to compare with; None takes all that cross no border.
    """
    changes = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    number = np.arange(1, len(frames))
    across = np.isin(number, borders)
    within = ~across if others is None else ~across & np.isin(number, others)
    return float(changes[across].mean() / max(float(np.median(changes[within])), 1e-6))

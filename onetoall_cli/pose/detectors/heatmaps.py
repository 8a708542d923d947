"""Keypoints from ViTPose's heatmaps: the peak, moved by a second-order Taylor step on the blurred log heatmap.

Source: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020, with
the blur (11) of the released networks; equals `heatmap.*` of the golden numbers.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

BLUR = 11
"""Width of the Gaussian blur in heatmap pixels: that of targets of sigma 2, with which the networks were trained."""
_LEAST = 1e-10


def decode_heatmaps(heatmaps: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Where each heatmap peaks.

    Args:
        heatmaps: (n, k, height, width).

    Returns:
        Points (n, k, 2), x and y in heatmap pixels (fractions, possibly a little outside), and scores (n, k), the
        peaks' heights. A heatmap without a positive value has score 0 and a point of no meaning.
    """
    count, joints, height, width = heatmaps.shape
    flat = heatmaps.reshape(count * joints, height, width).astype(np.float32)
    peaks = flat.reshape(len(flat), -1).argmax(axis=1)
    x, y = peaks % width, peaks // width
    scores = flat[np.arange(len(flat)), y, x].clip(min=0.0)
    logs = np.stack([_blurred_log(each) for each in flat])
    points = np.stack([x, y], axis=1) + _taylor_steps(logs, x, y)
    return points.reshape(count, joints, 2), scores.reshape(count, joints)


def _blurred_log(heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log of the heatmap, blurred and brought back to its former height."""
    margin = BLUR // 2
    padded = np.pad(heatmap, margin)  # blurred against zeros: OpenCV's borders would reflect a peak at the edge
    blurred = np.asarray(cv2.GaussianBlur(padded, (BLUR, BLUR), 0))[margin:-margin, margin:-margin]
    top = blurred.max()
    if top > 0:
        blurred = blurred * (heatmap.max() / top)
    return np.log(np.maximum(blurred, _LEAST)).astype(np.float64)


def _taylor_steps(logs: NDArray[np.float64], x: NDArray[np.intp], y: NDArray[np.intp]) -> NDArray[np.float64]:
    """The step from each peak to the top of the parabola around it, (n, 2); none within two pixels of the border."""
    height, width = logs.shape[1:]
    each = np.arange(len(logs))
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    x, y = np.clip(x, 2, width - 3), np.clip(y, 2, height - 3)  # where not inside the step is dropped below

    def at(dx: int, dy: int) -> NDArray[np.float64]:
        return logs[each, y + dy, x + dx]

    gx, gy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    xx = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4
    yy = (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    xy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    determinant = xx * yy - xy**2
    usable = inside & (determinant != 0)
    safe = np.where(usable, determinant, 1.0)
    step = -np.stack([yy * gx - xy * gy, xx * gy - xy * gx], axis=1) / safe[:, None]
    return np.where(usable[:, None], step, 0.0)

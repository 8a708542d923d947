"""Fitting pictures, masks and keypoints of any size into a bucket: scaled until it is covered, the middle cropped."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import PoseSequence


def _cover(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int, int, int]:
    """Size after scaling so that the target is covered, and the offset of the centred crop."""
    scale = max(to_width / width, to_height / height)
    wide, high = max(to_width, round(width * scale)), max(to_height, round(height * scale))
    return wide, high, (wide - to_width) // 2, (high - to_height) // 2


def fit_picture(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture (H, W, 3) so that it covers width x height, and crop the middle."""
    wide, high, left, top = _cover(picture.shape[1], picture.shape[0], width, height)
    method = cv2.INTER_AREA if wide < picture.shape[1] else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, (wide, high), interpolation=method)
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], np.uint8)


def fit_mask(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """A mask (H, W) moved like pictures of `fit_picture`."""
    return fit_picture(np.repeat(mask[..., None], 3, axis=-1).astype(np.uint8) * 255, width, height)[..., 0] >= 128


def fitted(poses: PoseSequence, width: int, height: int) -> PoseSequence:
    """Keypoints moved like pictures of `fit_picture`; those cut off get score 0."""
    wide, high, left, top = _cover(poses.width, poses.height, width, height)
    points = poses.keypoints * np.array([wide / poses.width, high / poses.height, 1.0]) - np.array([left, top, 0.0])
    inside = (points[..., 0] >= 0) & (points[..., 0] < width) & (points[..., 1] >= 0) & (points[..., 1] < height)
    points[..., 2] *= inside
    return replace(poses, keypoints=points.astype(np.float32), width=width, height=height)

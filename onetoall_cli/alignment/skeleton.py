"""Measurements on a body's keypoints: neck, visibility and distances.

All functions take COCO-WholeBody keypoints in pixels, (..., 133, 3) of x, y, score.
"""

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp

# The row of the neck in `with_neck`: the middle of the shoulders, which is not a detected keypoint.
NECK = kp.COUNT

# The least score of a point that is measured; drawing leaves points of hands and faces below it out too.
SEEN_SCORE = 0.3
# The least score of points that set the scale of a picture (research code).
SURE_SCORE = 0.9

# Left and right rows of the limbs whose lengths are compared, as (from, to).
UPPER_ARMS = ((kp.LEFT_SHOULDER, kp.LEFT_ELBOW), (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW))
FOREARMS = ((kp.LEFT_ELBOW, kp.LEFT_WRIST), (kp.RIGHT_ELBOW, kp.RIGHT_WRIST))
THIGHS = ((kp.LEFT_HIP, kp.LEFT_KNEE), (kp.RIGHT_HIP, kp.RIGHT_KNEE))
SHINS = ((kp.LEFT_KNEE, kp.LEFT_ANKLE), (kp.RIGHT_KNEE, kp.RIGHT_ANKLE))

# The crown of the head has no keypoint. It lies about this many neck-to-nose lengths beyond the nose (in drawings of
# human proportions: shoulder line to nose 1, nose to crown 0.8).
CROWN_BEYOND_NOSE = 0.8

SHOULDERS = (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)
HIPS = (kp.LEFT_HIP, kp.RIGHT_HIP)
EARS = (kp.LEFT_EAR, kp.RIGHT_EAR)

# Rows of face landmarks (iBUG 68) in the 133 keypoints. The outer eye corners give the face's width, the bridge of the
# nose and the chin its height (as in the research code).
EYE_CORNERS = (kp.FACE.start + 36, kp.FACE.start + 45)
BRIDGE_TO_CHIN = (kp.FACE.start + 27, kp.FACE.start + 8)


def with_neck(keypoints: NDArray) -> NDArray[np.float64]:
    """Keypoints (..., 133, 3) with the neck appended, float64 (..., 134, 3).

    The neck is the mean of the shoulders, its score too, as in OpenPose-18 poses. It is unseen (score 0) if either
    shoulder is.
    """
    keypoints = np.asarray(keypoints, dtype=np.float64)
    shoulders = keypoints[..., SHOULDERS, :]
    both = np.asarray((shoulders[..., 2] > 0).all(axis=-1))[..., None]
    neck = np.where(both, shoulders.mean(axis=-2), 0.0)
    return np.concatenate([keypoints, neck[..., None, :]], axis=-2)


def seen(keypoints: NDArray, *rows: int, score: float = SEEN_SCORE) -> NDArray[np.bool_]:
    """Whether all `rows` have at least `score`, (...)."""
    return np.asarray((keypoints[..., rows, 2] >= score).all(axis=-1))


def distance(keypoints: NDArray, a: int, b: int) -> NDArray[np.float64]:
    """Pixels from point `a` to point `b`, (...)."""
    return np.linalg.norm(keypoints[..., a, :2] - keypoints[..., b, :2], axis=-1)


def middle(keypoints: NDArray, pair: tuple[int, int]) -> NDArray[np.float64]:
    """The place midway between a pair of points, pixels (..., 2)."""
    return keypoints[..., pair, :2].mean(axis=-2)


def height_between(keypoints: NDArray, upper: tuple[int, int], lower: tuple[int, int]) -> NDArray[np.float64]:
    """Pixels from the middle of one pair of points to that of another, (...)."""
    return np.linalg.norm(middle(keypoints, lower) - middle(keypoints, upper), axis=-1)


def crowns(bodies: NDArray) -> NDArray[np.float64]:
    """The crowns of those of the bodies (frames, 134, 3) whose neck and nose are seen, pixels (heads, 2)."""
    whole = bodies[seen(bodies, NECK, kp.NOSE)]
    neck, nose = whole[:, NECK, :2], whole[:, kp.NOSE, :2]
    return np.asarray(nose + CROWN_BEYOND_NOSE * (nose - neck))

"""The 133 whole-body keypoints as OpenPose counts them: what the network's pose pictures are drawn from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onetoall_cli.pose import keypoints as kp


class OpenPose(NamedTuple):
    """One or many poses by part; each array float64 (..., points, 3) of x, y and score as in the input.

    Attributes:
        body: 18 points of OpenPose's "COCO" body: nose, neck, right then left arm, right then left leg, eyes, ears.
        toes: 2 points, left and right, each between big and small toe (for retargeting; not drawn).
        face: 68 landmarks.
        hands: (..., 2, 21, 3), the right hand first, as they are drawn.
    """

    body: NDArray[np.float64]
    toes: NDArray[np.float64]
    face: NDArray[np.float64]
    hands: NDArray[np.float64]


def to_openpose(keypoints: ArrayLike) -> OpenPose:
    """Regroup whole-body keypoints (..., 133, 3), in any coordinates, as OpenPose's 18 body points, face and hands.

    Neck and toes, which the 133 lack, are the mean of two points (position and score); where one of the two is unseen
    (score 0), so are they: a neck halfway to nowhere would bend every limb that hangs on it.
    """
    points = np.asarray(keypoints, np.float64)
    neck = _between(points, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)
    left_toe = _between(points, kp.LEFT_BIG_TOE, kp.LEFT_SMALL_TOE)
    right_toe = _between(points, kp.RIGHT_BIG_TOE, kp.RIGHT_SMALL_TOE)
    body = [neck if row is kp.NECK else points[..., row, :] for row in kp.OPENPOSE_BODY]
    return OpenPose(
        body=np.stack(body, axis=-2),
        toes=np.stack([left_toe, right_toe], axis=-2),
        face=points[..., kp.FACE, :],
        hands=np.stack([points[..., kp.RIGHT_HAND, :], points[..., kp.LEFT_HAND, :]], axis=-3),
    )


def _between(points: NDArray[np.float64], a: int, b: int) -> NDArray[np.float64]:
    """The mean of rows a and b, (..., 3); zero where either is unseen."""
    pair = points[..., [a, b], :]
    both = (pair[..., 2] > 0).all(axis=-1, keepdims=True)
    return np.where(both, pair.mean(axis=-2), 0.0)

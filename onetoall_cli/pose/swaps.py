"""Finds and undoes moments in which a detector takes a person's left for their right.

For a frame or two, arms or legs (with hands and feet) change sides and then change back. No limb moves like that: where
exchanging the sides makes the movement twice as straight, they were exchanged.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.sequence import PoseSequence

# Of arms and of legs: the joints that tell, left and right, and all the rows that change sides with them.
_ARMS = np.array(
    [[kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST], [kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, kp.RIGHT_WRIST]]
)
_LEGS = np.array([[kp.LEFT_HIP, kp.LEFT_KNEE, kp.LEFT_ANKLE], [kp.RIGHT_HIP, kp.RIGHT_KNEE, kp.RIGHT_ANKLE]])
_FEET = np.arange(kp.FEET.start, kp.FEET.stop).reshape(2, 3)
_HANDS = np.arange(kp.LEFT_HAND.start, kp.RIGHT_HAND.stop).reshape(2, 21)
LIMB_JOINTS = (_ARMS, _LEGS)
"""Of arms and of legs the rows of the joints, (2 sides, 3)."""

_LIMBS = ((_ARMS, np.hstack([_ARMS, _HANDS])), (_LEGS, np.hstack([_LEGS, _FEET])))

_LONGEST = 2
"""Frames for which a swap is undone; what lasts longer may be somebody who turned round."""
_SEEN = 0.3
_STRAIGHTER = 0.5
"""A swap's distance from the straight course falls to this part of it, or less, when it is undone."""
_LEAST_MOVE = 0.04
"""And is at least this part of the body's size (the diagonal of its box) before: below, sides are as good as one."""


def undo_swaps(sequence: PoseSequence) -> tuple[PoseSequence, NDArray[np.bool_]]:
    """Give arms and legs that changed sides for a moment their sides back.

    Returns:
        The sequence, and where something was exchanged, bool (frames, people).
    """
    keypoints = sequence.keypoints.copy()
    found = np.zeros(keypoints.shape[:2], dtype=bool)
    for person, size in enumerate(sequence.body_sizes()):
        for joints, rows in _LIMBS:
            swapped = _swapped(keypoints[:, person, joints], float(size))
            found[:, person] |= swapped
            frames = keypoints[swapped, person]
            frames[:, rows.ravel()] = frames[:, rows[::-1].ravel()]
            keypoints[swapped, person] = frames
    return replace(sequence, keypoints=keypoints), found


def _swapped(joints: NDArray[np.float32], size: float) -> NDArray[np.bool_]:
    """The frames in which joints (frames, 2 sides, n, 3) of a body of this size in pixels have exchanged sides."""
    result = np.zeros(len(joints), dtype=bool)
    points = joints[..., :2].astype(np.float64)
    seen = np.asarray((joints[..., 2] >= _SEEN).all(axis=(1, 2)))
    for length in range(1, _LONGEST + 1):
        window = np.arange(max(0, len(joints) - length - 1))[:, None] + np.arange(length + 2)
        first, last, between = points[window[:, :1]], points[window[:, -1:]], points[window[:, 1:-1]]
        part = (np.arange(1, length + 1) / (length + 1))[:, None, None, None]
        course = first + part * (last - first)
        straight = np.linalg.norm(between - course, axis=-1).mean(axis=(1, 2, 3))
        exchanged = np.linalg.norm(between[:, :, ::-1] - course, axis=-1).mean(axis=(1, 2, 3))
        likely = (straight > _LEAST_MOVE * size) & (exchanged < _STRAIGHTER * straight) & seen[window].all(axis=1)
        held = np.concatenate([[False], likely, [False]])
        alone = likely & ~held[:-2] & ~held[2:]  # where sides change with every frame, nobody knows which are right
        result[window[alone, 1:-1]] = True
    return result

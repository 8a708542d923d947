"""From MediaPipe's landmarks (BlazePose 33, face mesh 468, hands 21) to COCO-WholeBody's 133 keypoints."""

import math

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.builtin.person_reader import PersonLandmarks

_Points = NDArray[np.float32]

# BlazePose's number for each of the 17 body points. Both orders name sides from the person's own view.
_BODY = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]

# BlazePose has one toe a foot (31 left, 32 right), between big and small toe. Both are put there, so that their
# mean, which is all that alignment uses, is the point that was measured. Heels are 29 and 30.
_FEET = [31, 31, 29, 32, 32, 30]

# The mesh vertex nearest to each iBUG-68 landmark, as commonly used: the face golden poses are made with it.
_FACE = [
    162,
    234,
    93,
    58,
    172,
    136,
    149,
    148,
    152,
    377,
    378,
    365,
    397,
    288,
    323,
    454,
    389,  # jaw, its right to its left
    71,
    63,
    105,
    66,
    107,
    336,
    296,
    334,
    293,
    301,  # right brow, left brow
    168,
    197,
    5,
    4,
    75,
    97,
    2,
    326,
    305,  # bridge of the nose, nostrils
    33,
    160,
    158,
    133,
    153,
    144,
    362,
    385,
    387,
    263,
    373,
    380,  # right eye, left eye
    61,
    39,
    37,
    0,
    267,
    269,
    291,
    405,
    314,
    17,
    84,
    181,
    78,
    82,
    13,
    312,
    308,
    317,
    14,
    87,  # lips outside, inside
]

# Rows of the face whose mean is a better head point than BlazePose's own. Its ears lie a quarter of the face's width
# too close together; the ends of the jaw line before the ears are near COCO's.
_HEAD_FROM_FACE = {
    kp.NOSE: [30],
    kp.RIGHT_EYE: list(range(36, 42)),
    kp.LEFT_EYE: list(range(42, 48)),
    kp.RIGHT_EAR: [1],
    kp.LEFT_EAR: [15],
}

# MediaPipe gives no score for a face or hand point, only whether the whole part passed its presence test. The
# values are those of the golden poses.
FACE_SCORE = 1.0
HAND_SCORE = 0.9

OUTSIDE_SCORE = 0.5
"""What is left of the score of a point outside the picture. It is a guess, if often a good one: this keeps its limb
drawn (dimmer: brightness is the product of scores) but below the 0.9 at which alignment measures by it."""
_OUTSIDE_RAMP = 0.005
"""The score falls to that over this part of the picture's shorter side, so that limbs at the edge do not flicker."""

_HAND_REACH = 1.0
"""A hand whose own wrist is farther from the body's wrist than this many hand lengths is another hand."""
_SAME_HAND = 0.4
"""Left and right hand whose points are nearer than this many hand lengths on average are one hand found twice:
a fifth of the frames of `dance_full_body.mp4` with two hands."""


def to_whole_body(person: PersonLandmarks, width: int, height: int) -> NDArray[np.float32]:
    """One person's keypoints, (133, 3), in pixels of the picture of `width` x `height`.

    Where a face was found, nose, eyes and ears are taken from its mesh, several times finer than BlazePose's.
    A face or hand that was not found has score 0 throughout.
    """
    points = np.zeros((kp.COUNT, 3), dtype=np.float32)
    points[kp.BODY] = person.body[_BODY]
    points[kp.FEET] = person.body[_FEET]
    if person.face is not None:
        points[kp.FACE, :2] = person.face[_FACE]
        points[kp.FACE, 2] = FACE_SCORE
        for row, rows in _HEAD_FROM_FACE.items():
            points[row, :2] = points[kp.FACE][rows, :2].mean(axis=0)
    hands = _own_hands(person, points[kp.LEFT_WRIST, :2], points[kp.RIGHT_WRIST, :2])
    for part, hand in zip((kp.LEFT_HAND, kp.RIGHT_HAND), hands, strict=True):
        if hand is not None:
            points[part, :2] = hand
            points[part, 2] = HAND_SCORE
    points[:, 2] *= _score_left_outside(points[:, :2], width, height)
    return points


def _own_hands(person: PersonLandmarks, *wrists: _Points) -> list[_Points | None]:
    """Left and right hand, each only if it hangs on its wrist and is not the other one found a second time."""
    hands = [person.left_hand, person.right_hand]
    away = [math.inf, math.inf]  # from the wrist, in hand lengths
    for side, (hand, wrist) in enumerate(zip(hands, wrists, strict=True)):
        if hand is not None:
            away[side] = float(np.linalg.norm(hand[0] - wrist)) / _length(hand)
    left, right = hands
    if left is not None and right is not None:
        apart = float(np.linalg.norm(left - right, axis=1).mean())
        if apart < _SAME_HAND * max(_length(left), _length(right)):
            farther = 1 if away[0] < away[1] else 0
            away[farther] = math.inf
    return [hand if reach <= _HAND_REACH else None for hand, reach in zip(hands, away, strict=True)]


def _length(hand: _Points) -> float:
    return float(np.linalg.norm(hand - hand[0], axis=1).max()) or 1.0


def _score_left_outside(points: _Points, width: int, height: int) -> _Points:
    """The factor on each score: 1 inside the picture, `OUTSIDE_SCORE` clearly outside."""
    beyond = np.maximum(-points, points - (width, height)).max(axis=1)
    part = np.clip(beyond / (_OUTSIDE_RAMP * min(width, height)), 0.0, 1.0)
    return (1.0 - (1.0 - OUTSIDE_SCORE) * part).astype(np.float32)

"""Face region enhancement: the driving face gets another person's proportions and is drawn dimmed.

So the network learns to take the identity from the reference and not from the driving face. Only the face and, less
often, the head change; the body and the reference pose never do.
Source: the paper's "face region enhancement"; the numbers are those of the released training code.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import body_scale
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.drawing import Face, Head

Keypoints = NDArray[np.floating]

FACE_PROBABILITY = 0.7  # given that the pose is changed at all
HEAD_PROBABILITY = 0.4
FACE_STRENGTH = (0.5, 1.0)
HEAD_STRENGTH = (0.0, 0.8)
HEAD_LIMITS = (0.5, 2.0)
NEAR_ONE = (0.9, 1.1)  # a factor in this range ...
PUSH, PUSH_PROBABILITY = 1.2, 0.9  # ... is pushed away from 1, with this probability
_MIN_SCORE = 0.3
_SHORTEST = 1e-3  # px

NOSE_TIP = 30  # among the 68 landmarks
JAW = slice(0, 17)
EYE_CORNERS = (36, 45)
BRIDGE_TO_CHIN = (27, 8)


@dataclass(frozen=True)
class Enhanced:
    """A driving motion for training, and how its face and head are to be drawn."""

    motion: PoseSequence
    face: Face
    head: Head


def enhance(
    motion: PoseSequence, pool: "PosePool | None", rng: np.random.Generator, *, probability: float, hide: float
) -> Enhanced:
    """Change or hide the face of one person's motion, with the given probabilities.

    Args:
        motion: The clip's own driving pose.
        pool: Poses to borrow faces from; None changes nothing.
        rng: Source of randomness.
        probability: Probability of changing the pose, the stage's `change_pose`.
        hide: Probability of drawing no face, the stage's `hide_face`.
    """
    face: Face = "full"
    head: Head = "full"
    keypoints = motion.keypoints
    if pool is not None and rng.random() < probability:
        other = pool.draw(motion, rng)
        change_face, change_head = rng.random() < FACE_PROBABILITY, rng.random() < HEAD_PROBABILITY
        if change_face:
            factors = face_factors(keypoints[0, 0], other, rng, len(keypoints))
            keypoints = with_face(keypoints, other, factors)
            face = "light"
        if change_head:
            keypoints = with_head(keypoints, other, rng.uniform(*HEAD_STRENGTH))
            face = head = "light"
    if rng.random() < hide:
        face = "off"
    return Enhanced(replace(motion, keypoints=keypoints), face, head)


class PosePool:
    """Poses of many people, one frame of each, to borrow faces from."""

    def __init__(self, poses: list[PoseSequence]) -> None:
        """Make a pool.

        Args:
            poses: Sequences of one frame and one person.
        """
        if not poses:
            raise ValueError("a pose pool needs at least one pose")
        self.poses = poses

    def draw(self, motion: PoseSequence, rng: np.random.Generator) -> Keypoints:
        """A random pose (133, 3), scaled to the body of the motion's first frame.

        It has the orientation (portrait or landscape) of the motion, if the pool has any such pose.
        """
        same = [pose for pose in self.poses if (pose.width > pose.height) == (motion.width > motion.height)]
        candidates = same or self.poses
        chosen = candidates[int(rng.integers(len(candidates)))].keypoints[0, 0]
        ratio = body_scale(chosen, motion.keypoints[0, 0]).ratio
        return chosen * np.array([ratio, ratio, 1.0])


def face_factors(own: Keypoints, other: Keypoints, rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """Factors of the face's width and height towards those of `other`, (frames, 2), drawn anew for each frame.

    A ratio that is too near to 1 to have an effect is mostly pushed away from it, and then taken in part.

    Args:
        own, other: Keypoints (133, 3) at the same scale.
        rng: Source of randomness.
        frames: Number of frames.
    """
    factors = np.ones((frames, 2))
    strength = rng.uniform(*FACE_STRENGTH, frames)
    for column, line in enumerate((EYE_CORNERS, BRIDGE_TO_CHIN)):
        length, wanted = (_length(person[kp.FACE], line) for person in (own, other))
        ratio = wanted / length if min(length, wanted) > _SHORTEST else 1.0
        is_pushed = (NEAR_ONE[0] < ratio < NEAR_ONE[1]) & (rng.random(frames) < PUSH_PROBABILITY)
        pushed = np.where(is_pushed, ratio * PUSH if ratio >= 1 else ratio / PUSH, ratio)
        factors[:, column] = 1 + strength * (pushed - 1)
    return factors


def with_face(keypoints: Keypoints, other: Keypoints, factors: NDArray[np.float64]) -> Keypoints:
    """Landmarks of keypoints (frames, 1, 133, 3) scaled about the nose tip by factors (frames, 2), with the jaw line of
    `other` (133, 3)."""
    changed = np.array(keypoints)
    face = changed[:, :, kp.FACE]
    nose = face[:, :, NOSE_TIP : NOSE_TIP + 1, :2]
    face[..., :2] = nose + (face[..., :2] - nose) * factors[:, None, None]
    borrowed = other[kp.FACE]
    if (borrowed[JAW, 2] >= _MIN_SCORE).all() and borrowed[NOSE_TIP, 2] >= _MIN_SCORE:
        jaw = borrowed[JAW, :2] - borrowed[NOSE_TIP, :2]
        face[:, :, JAW, :2] = nose + _turned(jaw, borrowed, face)
    return changed


def with_head(keypoints: Keypoints, other: Keypoints, strength: float) -> Keypoints:
    """Neck, eye and ear offsets of keypoints (frames, 1, 133, 3) rescaled towards those of `other` (133, 3).

    The face moves along with the nose, and keeps its size.
    """
    changed = np.array(keypoints)
    first = keypoints[0, 0]
    neck = keypoints[:, :, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2].mean(axis=2)
    own_neck, other_neck = (p[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2].mean(axis=0) for p in (first, other))
    factor = _head_factor(first[kp.NOSE, :2] - own_neck, other[kp.NOSE, :2] - other_neck, strength)
    old_nose = keypoints[:, :, kp.NOSE, :2]
    nose = neck + (old_nose - neck) * factor
    changed[:, :, kp.NOSE, :2] = nose
    changed[:, :, kp.FACE, :2] += (nose - old_nose)[:, :, None]
    for eye, ear in ((kp.LEFT_EYE, kp.LEFT_EAR), (kp.RIGHT_EYE, kp.RIGHT_EAR)):
        old_eye, old_ear = keypoints[:, :, eye, :2], keypoints[:, :, ear, :2]
        to_eye = _head_factor(first[eye, :2] - first[kp.NOSE, :2], other[eye, :2] - other[kp.NOSE, :2], strength)
        to_ear = _head_factor(first[ear, :2] - first[eye, :2], other[ear, :2] - other[eye, :2], strength)
        changed[:, :, eye, :2] = nose + (old_eye - old_nose) * to_eye
        changed[:, :, ear, :2] = changed[:, :, eye, :2] + (old_ear - old_eye) * to_ear
    return changed


def _head_factor(own: Keypoints, other: Keypoints, strength: float) -> float:
    length, wanted = float(np.linalg.norm(own)), float(np.linalg.norm(other))
    if min(length, wanted) <= _SHORTEST:
        return 1.0
    return float(np.clip(1 + strength * (wanted / length - 1), *HEAD_LIMITS))


def _length(face: Keypoints, line: tuple[int, int]) -> float:
    """Distance of two of the 68 landmarks; 0 where one is not visible."""
    a, b = face[line[0]], face[line[1]]
    return float(np.linalg.norm(a[:2] - b[:2])) if min(a[2], b[2]) >= _MIN_SCORE else 0.0


def _turned(jaw: Keypoints, borrowed: Keypoints, face: Keypoints) -> Keypoints:
    """The jaw line (17, 2) rotated to the tilt of the faces (frames, 1, 68, 3), that of their outer eye corners."""

    def tilt(points: Keypoints) -> NDArray:
        across = points[..., EYE_CORNERS[1], :2] - points[..., EYE_CORNERS[0], :2]
        return np.arctan2(across[..., 1], across[..., 0])

    angle = tilt(face) - tilt(borrowed)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)], axis=-2)
    return jaw @ turn

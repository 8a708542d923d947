"""From a motion (bone directions over time) and a body to joints in space and the 133 COCO-WholeBody keypoints.

World axes: x to the picture's right, y down, z towards the viewer; the floor is y = 0. Lengths are in units of the
puppet's height from sole to shoulders. A puppet facing the viewer has its own left side at positive x.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets.face import landmarks
from onetoall_cli.puppets.identity import Body, FaceShape, Split, split_of

Array = NDArray[np.float64]

# Bones, as rows of `Motion.directions`. Paired bones are (left, right).
SPINE, SHOULDERS, HIPS = 0, 1, 2  # pelvis to neck, right to left shoulder, right to left hip
UPPER_ARMS, FOREARMS, HANDS, THIGHS, SHINS, FEET = (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14)
BONE_COUNT = 15

ANKLE_HEIGHT = 0.04  # ankle to sole
EAR_Y, EAR_Z = 0.04, -0.06  # in head heights

# A hand of length 1 (wrist to the middle finger's tip): knuckles (along the hand, towards the thumb) and the
# finger's three bones, index to little finger; then the thumb's base and bones.
_KNUCKLES = ((0.46, 0.15), (0.48, 0.05), (0.46, -0.06), (0.42, -0.16))
_FINGER_BONES = ((0.22, 0.15, 0.11), (0.25, 0.16, 0.11), (0.23, 0.15, 0.11), (0.17, 0.11, 0.1))
_THUMB_BASE, _THUMB_BONES = (0.14, 0.13), (0.17, 0.15, 0.12)
_CURL_ANGLES = (1.2, 1.6, 1.0)  # radians at full curl, knuckle to tip


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion without a body: any puppet can perform it.

    Attributes:
        directions: Unit vectors of the bones, float64 (frames, 15, 3); rows as named at the top of this module.
        head: Yaw (positive turns to the picture's right), pitch and roll in radians, float64 (frames, 3).
        root: Sideways position of the pelvis, and height of the lowest foot above the floor, float64 (frames, 2).
        fingers: Curl 0..1 and spread 0..1 of the left and the right hand, float64 (frames, 2, 2).
        expression: Mouth opening, smile and closed eyes, each 0..1, float64 (frames, 3).
        fps: Frames per second.
        codes: The key poses it contains; their hashes decide the split. Empty for motions of real videos.
    """

    directions: Array
    head: Array
    root: Array
    fingers: Array
    expression: Array
    fps: float
    codes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.directions)

    def __getitem__(self, frames: slice | NDArray[np.integer]) -> "Motion":
        """Some of its frames: a slice, or an array of frame numbers."""
        return replace(
            self,
            directions=self.directions[frames],
            head=self.head[frames],
            root=self.root[frames],
            fingers=self.fingers[frames],
            expression=self.expression[frames],
        )

    @property
    def splits(self) -> set[Split]:
        """The splits whose key poses occur in it: exactly one for a sampled motion."""
        return {split_of(code) for code in self.codes}


@dataclass(frozen=True, eq=False)
class Joints:
    """A puppet in space over time.

    Attributes:
        keypoints: World coordinates x, y, z in COCO-WholeBody order, float64 (frames, 133, 3).
        pelvis, neck: Middle of the hips and of the shoulders, float64 (frames, 3).
        head_centre: Middle of the head, float64 (frames, 3).
        head_rotation: Head axes to world axes, float64 (frames, 3, 3).
        front: Unit vector out of the chest, float64 (frames, 3).
    """

    keypoints: Array
    pelvis: Array
    neck: Array
    head_centre: Array
    head_rotation: Array
    front: Array

    def __len__(self) -> int:
        return len(self.keypoints)


def pose_body(motion: Motion, body: Body, face: FaceShape) -> Joints:
    """Let a body with a face perform a motion."""
    bones = motion.directions
    frames = len(bones)
    points = np.zeros((frames, kp.COUNT, 3))
    pelvis = np.zeros((frames, 3))
    neck = bones[:, SPINE] * body.torso
    front = unit(np.cross(bones[:, SPINE], bones[:, SHOULDERS]))
    for side, sign in ((0, 1.0), (1, -1.0)):  # 0 = the puppet's left
        shoulder = neck + bones[:, SHOULDERS] * (sign * body.shoulder_width / 2)
        elbow = shoulder + bones[:, UPPER_ARMS[side]] * body.upper_arm
        wrist = elbow + bones[:, FOREARMS[side]] * body.forearm
        hip = bones[:, HIPS] * (sign * body.hip_width / 2)
        knee = hip + bones[:, THIGHS[side]] * body.thigh
        ankle = knee + bones[:, SHINS[side]] * body.shin
        for left_row, joint in (
            (kp.LEFT_SHOULDER, shoulder),
            (kp.LEFT_ELBOW, elbow),
            (kp.LEFT_WRIST, wrist),
            (kp.LEFT_HIP, hip),
            (kp.LEFT_KNEE, knee),
            (kp.LEFT_ANKLE, ankle),
        ):
            points[:, left_row + side] = joint
        feet = slice(kp.LEFT_BIG_TOE + 3 * side, kp.LEFT_BIG_TOE + 3 * side + 3)
        points[:, feet] = _foot(ankle, bones[:, SHINS[side]], bones[:, FEET[side]], body.foot, sign)
        hand = kp.LEFT_HAND if side == 0 else kp.RIGHT_HAND
        points[:, hand] = _hand(wrist, bones[:, HANDS[side]], front, motion.fingers[:, side], body.hand, sign)
    rotation = head_rotation(motion.head)
    head_up = -rotation[:, :, 1]
    head_centre = neck + unit(bones[:, SPINE] + head_up) * body.neck + head_up * (0.46 * body.head)
    _place_face(points, motion.expression, face, body.head, head_centre, rotation)
    shift = _onto_floor(points, motion.root)
    return Joints(points + shift[:, None], pelvis + shift, neck + shift, head_centre + shift, rotation, front)


def unit(vectors: NDArray[Any]) -> Array:
    """Vectors (..., 3) scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def head_rotation(angles: Array) -> Array:
    """Rotation matrices (frames, 3, 3) of yaw, pitch, roll (frames, 3): turned, then nodded, then tilted."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles).T, np.sin(angles).T
    zero, one = np.zeros_like(cy), np.ones_like(cy)
    yaw = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], axis=-1).reshape(-1, 3, 3)
    pitch = np.stack([one, zero, zero, zero, cp, sp, zero, -sp, cp], axis=-1).reshape(-1, 3, 3)
    roll = np.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
    return roll @ pitch @ yaw


def _foot(ankle: Array, shin: Array, foot: Array, length: float, sign: float) -> Array:
    """Big toe, small toe and heel (frames, 3, 3); `sign` is +1 for the left foot."""
    sole = unit(shin - (shin * foot).sum(axis=-1, keepdims=True) * foot)
    outward = unit(np.cross(sole, foot)) * sign
    low = ankle + sole * (ANKLE_HEIGHT * 0.8)
    toes = low + foot * (0.75 * length)
    big_toe = toes - outward * 0.1 * length
    small_toe = toes + outward * 0.22 * length - foot * 0.1 * length
    return np.stack([big_toe, small_toe, low - foot * 0.25 * length], axis=1)


def _hand(wrist: Array, along: Array, front: Array, fingers: Array, length: float, sign: float) -> Array:
    """The 21 points of a hand (frames, 21, 3); `sign` is +1 for the left hand."""
    thumb_side = front + np.array([0.0, -0.9, 0.0]) + 0.05 * np.cross(front, [0.0, 1.0, 0.0])
    thumb_side = unit(thumb_side - (thumb_side * along).sum(axis=-1, keepdims=True) * along)
    palm = np.cross(along, thumb_side) * -sign
    curl, spread = fingers[:, 0, None], fingers[:, 1, None]
    points = [wrist]
    base = wrist + length * (_THUMB_BASE[0] * along + _THUMB_BASE[1] * thumb_side)
    thumb = unit(along * (0.9 - 0.3 * spread) + thumb_side * (0.35 + 0.5 * spread) + palm * 0.5 * curl)
    points.append(base)
    for bone in _THUMB_BONES:
        base = base + thumb * (length * bone)
        points.append(base)
        thumb = unit(thumb + (along - thumb_side * 0.6 + palm) * (0.5 * curl))
    for (forward, across), bones in zip(_KNUCKLES, _FINGER_BONES, strict=True):
        base = wrist + length * (forward * along + across * thumb_side)
        points.append(base)
        straight = unit(along + thumb_side * (across * (0.5 + 2.0 * spread)))
        angle = np.zeros_like(curl)
        for bone, bend in zip(bones, _CURL_ANGLES, strict=True):
            angle = angle + curl * bend
            base = base + (np.cos(angle) * straight + np.sin(angle) * palm) * (length * bone)
            points.append(base)
    return np.stack(points, axis=1)


def _place_face(points: Array, expression: Array, face: FaceShape, head: float, centre: Array, rotation: Array) -> None:
    """Write the 68 face landmarks, nose, eyes and ears into `points`."""
    local = landmarks(face, expression)
    points[:, kp.FACE] = centre[:, None] + head * local @ rotation.transpose(0, 2, 1)
    face_points = points[:, kp.FACE]
    points[:, kp.NOSE] = face_points[:, 30]
    points[:, kp.LEFT_EYE] = face_points[:, 42:48].mean(axis=1)
    points[:, kp.RIGHT_EYE] = face_points[:, 36:42].mean(axis=1)
    for row, sign in ((kp.LEFT_EAR, 1.0), (kp.RIGHT_EAR, -1.0)):
        ear = np.array([sign * face.half_width, EAR_Y, EAR_Z])
        points[:, row] = centre + head * ear @ rotation.transpose(0, 2, 1)


def _onto_floor(points: Array, root: Array) -> Array:
    """The shift (frames, 3) that puts the lowest foot at its height and the pelvis at its sideways position."""
    sole = np.maximum(points[:, kp.FEET, 1].max(axis=1), points[:, [kp.LEFT_ANKLE, kp.RIGHT_ANKLE], 1].max(axis=1))
    return np.stack([root[:, 0], -sole - root[:, 1], np.zeros(len(root))], axis=1)

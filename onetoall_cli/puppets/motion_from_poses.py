"""Motions from real pose sequences: a person's 2D keypoints to bone directions that any puppet can perform."""

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import skeleton as sk
from onetoall_cli.puppets.skeleton import Motion, unit

Array = NDArray[np.float64]

_SEEN = 0.3  # the least score of a visible keypoint, as in drawing
_LONGEST = 95  # percentile of a bone's lengths that counts as its length parallel to the picture


def motion_from_poses(sequence: PoseSequence) -> Motion:
    """The motion of the first person of a pose sequence.

    A bone shorter than its longest is turned in depth. The picture does not show the sign of the depth, so the usual
    one is taken (forearms, thighs and feet forward, shins back). Points that are not visible are interpolated in time;
    a joint that is never visible hangs down.

    Raises:
        BadInput: Nose, shoulders or hips are never visible.
    """
    points = sequence.keypoints[:, 0].astype(np.float64)
    filled, ever = _fill_gaps(points)
    needed = [kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_HIP, kp.RIGHT_HIP]
    if not ever[needed].all():
        raise BadInput(
            "The pose sequence never shows nose, shoulders and hips, which a puppet's motion needs.",
            "Use a driving video that shows the person at least from the head to the hips.",
        )
    xy = filled[..., :2]
    hips = (xy[:, kp.LEFT_HIP] + xy[:, kp.RIGHT_HIP]) / 2
    neck = (xy[:, kp.LEFT_SHOULDER] + xy[:, kp.RIGHT_SHOULDER]) / 2
    head = _head_angles(xy)
    directions = np.zeros((len(xy), sk.BONE_COUNT, 3))
    directions[:, sk.SPINE] = _lifted(neck - hips, np.ones(len(xy)))
    turn = np.sign(head[:, 0] + 1e-6)
    for bone, (right, left) in (
        (sk.SHOULDERS, (kp.RIGHT_SHOULDER, kp.LEFT_SHOULDER)),
        (sk.HIPS, (kp.RIGHT_HIP, kp.LEFT_HIP)),
    ):
        directions[:, bone] = _lifted(xy[:, left] - xy[:, right], -turn)
    for side in (0, 1):
        _limbs(directions, xy, ever, side)
    torso = np.percentile(np.linalg.norm(neck - hips, axis=1), _LONGEST)
    scale = 0.385 / max(torso, 1e-6)
    sideways = (hips[:, 0] - hips[:, 0].mean()) * scale
    return Motion(
        directions,
        head,
        np.stack([sideways, np.zeros(len(xy))], axis=1),
        _fingers(filled, ever),
        _expression(xy, ever),
        sequence.fps,
    )


def _fill_gaps(points: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Points (frames, 133, 3), smoothed and with gaps interpolated in time; and which are ever visible (133,)."""
    seen = points[..., 2] >= _SEEN
    filled = points.copy()
    frames = np.arange(len(points))
    for row in np.flatnonzero(seen.any(axis=0)):
        known = seen[:, row]
        for axis in (0, 1):
            filled[:, row, axis] = np.interp(frames, frames[known], points[known, row, axis])
    filled[..., :2] = _smoothed(filled[..., :2], 0.8)
    return filled, np.asarray(seen.any(axis=0))


def _smoothed(values: Array, deviation: float) -> Array:
    """Values (frames, ...) blurred in time by a Gaussian of that many frames; the ends are held."""
    reach = round(4 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    held = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    shifted = [weight * held[start : start + len(values)] for start, weight in enumerate(weights)]
    return np.sum(shifted, axis=0) / weights.sum()


def _lifted(flat: Array, depth_sign: Array) -> Array:
    """2D bones (frames, 2) as unit vectors in space; the shortening of a bone gives its depth."""
    length = np.linalg.norm(flat, axis=1)
    part = np.clip(length / max(float(np.percentile(length, _LONGEST)), 1e-6), 0, 1)
    depth = np.sqrt(1 - part**2) * depth_sign
    flat = flat / np.maximum(length, 1e-6)[:, None] * part[:, None]
    return unit(np.concatenate([flat, depth[:, None]], axis=1))


def _limbs(directions: Array, xy: Array, ever: NDArray[np.bool_], side: int) -> None:
    hand = kp.LEFT_HAND if side == 0 else kp.RIGHT_HAND
    ends = {
        sk.UPPER_ARMS[side]: (kp.LEFT_SHOULDER + side, kp.LEFT_ELBOW + side, 0.4),
        sk.FOREARMS[side]: (kp.LEFT_ELBOW + side, kp.LEFT_WRIST + side, 1.0),
        sk.HANDS[side]: (hand.start, hand.start + 9, 1.0),
        sk.THIGHS[side]: (kp.LEFT_HIP + side, kp.LEFT_KNEE + side, 1.0),
        sk.SHINS[side]: (kp.LEFT_KNEE + side, kp.LEFT_ANKLE + side, -1.0),
        sk.FEET[side]: (kp.LEFT_HEEL + 3 * side, kp.LEFT_BIG_TOE + 3 * side, 1.0),
    }
    parents = {
        sk.FOREARMS[side]: sk.UPPER_ARMS[side],
        sk.HANDS[side]: sk.FOREARMS[side],
        sk.SHINS[side]: sk.THIGHS[side],
    }
    for bone, (start, end, sign) in ends.items():
        if ever[start] and ever[end]:
            directions[:, bone] = _lifted(xy[:, end] - xy[:, start], np.full(len(xy), sign))
        elif bone in parents:
            directions[:, bone] = directions[:, parents[bone]]
        else:
            directions[:, bone] = (0.0, 0.0, 1.0) if bone in sk.FEET else (0.0, 1.0, 0.0)
    foot = directions[:, sk.FEET[side]]
    foot[:, 2] = np.maximum(foot[:, 2], 0.25)
    directions[:, sk.FEET[side]] = unit(foot)


def _head_angles(xy: Array) -> Array:
    """Estimate yaw, pitch and roll (frames, 3) from eyes, ears and nose."""
    left_eye, right_eye = xy[:, kp.LEFT_EYE], xy[:, kp.RIGHT_EYE]
    eyes = left_eye - right_eye
    ears = xy[:, kp.LEFT_EAR] - xy[:, kp.RIGHT_EAR]
    roll = np.arctan2(eyes[:, 1] + ears[:, 1], np.abs(eyes[:, 0]) + np.abs(ears[:, 0]) + 1e-6)
    across = np.stack([np.cos(roll), np.sin(roll)], axis=1)
    centre = (xy[:, kp.LEFT_EAR] + xy[:, kp.RIGHT_EAR]) / 2
    width = max(float(np.percentile(np.linalg.norm(ears, axis=1), _LONGEST)), 1e-6)
    nose = ((xy[:, kp.NOSE] - centre) * across).sum(axis=1) / (0.62 * width)
    yaw = np.arcsin(np.clip(nose, -0.95, 0.95))
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    drop = ((xy[:, kp.NOSE] - (left_eye + right_eye) / 2) * down).sum(axis=1) / width
    pitch = np.clip((drop - np.median(drop)) * 1.5, -0.4, 0.4)
    return _smoothed(np.stack([yaw, pitch, roll], axis=1), 1.0)


def _fingers(points: Array, ever: NDArray[np.bool_]) -> Array:
    """Curl and spread (frames, 2, 2), from the distances of the fingertips to the wrist and to each other."""
    result = np.zeros((len(points), 2, 2))
    result[..., 0], result[..., 1] = 0.25, 0.4
    for side, hand in enumerate((kp.LEFT_HAND, kp.RIGHT_HAND)):
        if not ever[hand].all():
            continue
        xy = points[:, hand, :2]
        palm = np.maximum(np.linalg.norm(xy[:, 9] - xy[:, 0], axis=1), 1e-6)
        reach = np.linalg.norm(xy[:, [8, 12, 16, 20]] - xy[:, :1], axis=2).mean(axis=1) / palm
        result[:, side, 0] = np.clip((2.0 - reach) / 1.4, 0, 1)
        width = np.linalg.norm(xy[:, 8] - xy[:, 20], axis=1) / palm
        result[:, side, 1] = np.clip(width - 0.3, 0, 1)
    return result


def _expression(xy: Array, ever: NDArray[np.bool_]) -> Array:
    """Mouth opening, from the inner lips. Smile and eyelids stay at rest: the landmarks are too coarse for them."""
    result = np.zeros((len(xy), 3))
    face = xy[:, kp.FACE]
    if ever[kp.FACE].all():
        width = np.maximum(np.linalg.norm(face[:, 54] - face[:, 48], axis=1), 1e-6)
        result[:, 0] = np.clip(np.linalg.norm(face[:, 66] - face[:, 62], axis=1) / width * 1.5 - 0.1, 0, 1)
    return result

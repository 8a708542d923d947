"""Dance-like motions: key poses on a beat with smooth moves between them; arms and legs by inverse kinematics.

Each key pose (place of the left hand, place of the right hand, stance) is hashed, and the hash decides its split. A
motion draws only key poses of its own split, so no key pose occurs in motions of two splits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.puppets import skeleton as sk
from onetoall_cli.puppets.identity import Split, seeded, split_of
from onetoall_cli.puppets.skeleton import Motion, unit

Array = NDArray[np.float64]

# Where a hand can be, from its shoulder, in arm lengths: outward, down, forward.
HAND_PLACES: dict[str, tuple[float, float, float]] = {
    "hang": (0.2, 0.93, 0.12),
    "away": (0.45, 0.82, 0.12),
    "hip": (0.02, 0.66, 0.16),
    "side": (0.95, 0.08, 0.15),
    "low": (0.72, 0.6, 0.12),
    "up": (0.2, -0.92, 0.08),
    "high": (0.62, -0.7, 0.1),
    "front": (0.05, 0.3, 0.8),
    "chest": (-0.28, 0.3, 0.42),
    "across": (-0.5, 0.1, 0.5),
    "head": (0.12, -0.5, 0.2),
    "wave": (0.55, -0.42, 0.25),
    "flex": (0.5, -0.28, 0.1),
    "cheek": (-0.12, -0.16, 0.42),
    "offer": (0.45, 0.38, 0.5),
}

# Where the feet are, from below the pelvis, in leg lengths: left (sideways, height, forward), right, and the pelvis:
# (sideways, height as a part of the leg).
STANCES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float]]] = {
    "stand": ((0.1, 0.0, 0.02), (-0.1, 0.0, 0.0), (0.0, 0.985)),
    "narrow": ((0.06, 0.0, 0.04), (-0.06, 0.0, -0.02), (0.0, 0.99)),
    "wide": ((0.34, 0.0, 0.0), (-0.34, 0.0, 0.0), (0.0, 0.92)),
    "lean_left": ((0.22, 0.0, 0.05), (-0.3, 0.0, 0.0), (0.14, 0.93)),
    "lean_right": ((0.3, 0.0, 0.0), (-0.22, 0.0, 0.05), (-0.14, 0.93)),
    "crouch": ((0.24, 0.0, 0.05), (-0.24, 0.0, 0.05), (0.0, 0.74)),
    "step_left": ((0.12, 0.0, 0.3), (-0.1, 0.0, -0.22), (0.02, 0.93)),
    "step_right": ((0.1, 0.0, -0.22), (-0.12, 0.0, 0.3), (-0.02, 0.93)),
    "knee_left": ((0.14, 0.4, 0.3), (-0.06, 0.0, 0.0), (-0.05, 0.98)),
    "knee_right": ((0.06, 0.0, 0.0), (-0.14, 0.4, 0.3), (0.05, 0.98)),
    "kick_left": ((0.66, 0.36, 0.25), (-0.04, 0.0, 0.0), (-0.1, 0.97)),
    "kick_right": ((0.04, 0.0, 0.0), (-0.66, 0.36, 0.25), (0.1, 0.97)),
    "cross": ((-0.08, 0.0, 0.12), (0.02, 0.0, -0.08), (0.0, 0.97)),
}

# The inverse kinematics solves for this average body. A puppet takes over its bone directions, not its joint positions.
_SHOULDER, _HIP, _TORSO, _UPPER, _FORE, _THIGH, _SHIN = 0.125, 0.067, 0.385, 0.22, 0.19, 0.3, 0.275
_FASTEST_MOVE = 0.42  # seconds from one key pose to the next
_CLEARANCE = 0.5  # the least distance of a hand from its shoulder, arm lengths
_ARM, _LEG = _UPPER + _FORE, _THIGH + _SHIN
# The ranges of a key pose's turns, radians, in the order of `_KeyPoses.turns`.
_TURNS = ((-0.55, 0.55), (-0.35, 0.35), (-0.22, 0.22), (-0.1, 0.25))


@dataclass(frozen=True)
class _KeyPoses:
    """Key poses over time. Arrays have one row per key pose; (left, right) comes before coordinates."""

    codes: tuple[str, ...]
    hands: Array  # (keys, 2, 3) arm lengths from the shoulder: outward, down, forward
    feet: Array  # (keys, 2, 3) leg lengths from the spot: towards picture right, height, forward
    pelvis: Array  # (keys, 2) sideways and height, leg lengths
    turns: Array  # (keys, 4) hips' yaw, chest's yaw beyond it, sideways and forward lean of the spine
    head: Array  # (keys, 3) yaw beyond the chest's, pitch, roll
    fingers: Array  # (keys, 2, 2)
    expression: Array  # (keys, 2) mouth opening, smile
    spot: Array  # (keys,) sideways place of the whole puppet


def sample_motion(split: Split, seed: int, *, frames: int, fps: float = 16.0) -> Motion:
    """The motion number `seed` of a split; the same arguments give the same motion.

    Args:
        frames: Its length. Motions of one seed and different lengths agree on the frames they share.
        fps: Frames per second. The dance has 80 to 130 beats a minute and a key pose every one or two beats.
    """
    rng = seeded("motion", split, seed)
    beat = 60.0 / rng.uniform(80, 130)
    key_step = beat * int(rng.integers(1, 3))
    energy = rng.uniform(0.35, 1.0)
    keys = _sample_keys(rng, split, count=40, energy=energy)
    bounce = energy * rng.uniform(0.0, 0.035)
    phase = rng.uniform(0, 2 * np.pi)
    hold = min(rng.uniform(0.0, 0.45), max(0.0, 1 - _FASTEST_MOVE / key_step))
    blink_period = rng.uniform(1.7, 4.5)
    seconds = np.arange(frames) / fps
    weights = _key_weights(seconds / key_step, len(keys.codes), hold)
    used = np.flatnonzero(weights.any(axis=0))
    return _perform(
        keys,
        weights,
        fps,
        bob=bounce * (1 - np.cos(2 * np.pi * seconds / beat + phase)) / 2,
        sway=0.012 * np.sin(np.pi * seconds / beat + phase),
        blink=np.clip(1.6 - np.abs((seconds % blink_period) - 0.2) / 0.07, 0, 1),
        codes=tuple(keys.codes[i] for i in used),
    )


def _sample_keys(rng: np.random.Generator, split: Split, *, count: int, energy: float) -> _KeyPoses:
    places, stances = list(HAND_PLACES), list(STANCES)
    calm = stances[:3] if energy < 0.5 else stances
    codes: list[str] = []
    hands, feet, pelvis = [], [], []
    while len(codes) < count:
        left, right = places[rng.integers(len(places))], places[rng.integers(len(places))]
        if rng.random() < 0.3:
            right = left  # symmetric poses read well
        stance = calm[rng.integers(len(calm))]
        code = f"{left}/{right}/{stance}"
        if split_of(code) != split:
            continue
        codes.append(code)
        hands.append([HAND_PLACES[left], HAND_PLACES[right]])
        left_foot, right_foot, hips = STANCES[stance]
        feet.append([left_foot, right_foot])
        pelvis.append(hips)
    u = rng.uniform
    general_turn = u(-0.5, 0.5)
    moved_hands = np.array(hands) + u(-0.07, 0.07, (count, 2, 3))
    moved_feet = np.array(feet) * u(0.85, 1.1, (count, 1, 1))
    turns = np.stack([u(low, high, count) for low, high in _TURNS], axis=1)
    return _KeyPoses(
        codes=tuple(codes),
        hands=moved_hands,
        feet=moved_feet,
        pelvis=np.array(pelvis),
        turns=np.array([general_turn, 0, 0, 0]) + energy * turns,
        head=np.stack([u(-0.45, 0.45, count), u(-0.2, 0.22, count), u(-0.28, 0.28, count)], axis=1),
        fingers=np.stack([u(0.02, 0.9, (count, 2)) ** 2.2, u(0, 1, (count, 2))], axis=2),
        expression=np.stack([np.maximum(0, u(-0.7, 1.0, count)), u(0, 1, count)], axis=1),
        spot=energy * np.cumsum(u(-0.1, 0.1, count)),
    )


def _key_weights(position: Array, count: int, hold: float) -> Array:
    """The weight of each key pose in each frame (frames, keys): minimum-jerk moves between holds."""
    index = np.floor(position).astype(int)
    part = np.clip((position - index - hold) / (1 - hold), 0, 1)
    ease = part**3 * (10 - 15 * part + 6 * part**2)
    weights = np.zeros((len(position), count))
    rows = np.arange(len(position))
    # A clip longer than the key poses walks back through them.
    there_and_back = np.concatenate([np.arange(count), np.arange(count - 2, 0, -1)])
    np.add.at(weights, (rows, there_and_back[index % len(there_and_back)]), 1 - ease)
    np.add.at(weights, (rows, there_and_back[(index + 1) % len(there_and_back)]), ease)
    return weights


def _perform(
    keys: _KeyPoses, weights: Array, fps: float, *, bob: Array, sway: Array, blink: Array, codes: tuple[str, ...]
) -> Motion:
    """Blend the key poses and solve arms and legs."""

    def blend(values: Array) -> Array:
        return np.tensordot(weights, values, axes=1)

    turns, hands, feet, pelvis = blend(keys.turns), blend(keys.hands), blend(keys.feet), blend(keys.pelvis)
    chest_yaw = turns[:, 0] + turns[:, 1]
    hip_axes, chest_axes = _axes(turns[:, 0]), _axes(chest_yaw)
    directions = np.zeros((len(weights), sk.BONE_COUNT, 3))
    lean = np.stack([np.sin(turns[:, 2]) + sway * 3, -np.ones(len(weights)), np.sin(turns[:, 3])], axis=1)
    directions[:, sk.SPINE] = unit(np.einsum("fij,fj->fi", hip_axes, lean))
    spine = directions[:, sk.SPINE]
    across = chest_axes[:, :, 0]
    directions[:, sk.SHOULDERS] = unit(across - (across * spine).sum(axis=1, keepdims=True) * spine)
    directions[:, sk.HIPS] = hip_axes[:, :, 0]
    for side, sign in ((0, 1.0), (1, -1.0)):
        _solve_arm(directions, side, hands[:, side] * (sign, 1, 1), chest_axes, sign)
        _solve_leg(directions, side, feet[:, side], pelvis - np.stack([-sway, bob], axis=1), hip_axes, sign)
    head = blend(keys.head)
    head[:, 0] = np.clip(head[:, 0] + chest_yaw, -1.15, 1.15)
    lift = np.minimum(feet[..., 1].min(axis=1), 0)
    root = np.stack([blend(keys.spot) + pelvis[:, 0] * _LEG + sway, lift], axis=1)
    expression = np.concatenate([blend(keys.expression), blink[:, None]], axis=1)
    return Motion(directions, head, root, blend(keys.fingers), expression, fps, codes)


def _axes(yaw: Array) -> Array:
    """Axes of a body turned by yaw (left, down, forward) as the columns of (frames, 3, 3)."""
    cos, sin, zero, one = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    return np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], axis=1).reshape(-1, 3, 3)


def _solve_arm(directions: Array, side: int, place: Array, axes: Array, sign: float) -> None:
    # Between two places a hand passes in front of the shoulder, not through it.
    clear = np.sqrt(np.maximum(_CLEARANCE**2 - (place[:, :2] ** 2).sum(axis=1), 0))
    place = np.concatenate([place[:, :2], np.maximum(place[:, 2], clear)[:, None]], axis=1)
    target = np.einsum("fij,fj->fi", axes, place) * _ARM
    pole = np.einsum("fij,j->fi", axes, np.array([sign * 0.75, 0.5, -0.45]))
    upper, fore = two_bones(target, _UPPER, _FORE, pole)
    directions[:, sk.UPPER_ARMS[side]], directions[:, sk.FOREARMS[side]] = upper, fore
    directions[:, sk.HANDS[side]] = unit(fore + 0.12 * axes[:, :, 2])


def _solve_leg(directions: Array, side: int, foot: Array, pelvis: Array, axes: Array, sign: float) -> None:
    """`foot` (frames, 3): sideways, height, forward of the ankle; `pelvis` (frames, 2): sideways, height."""
    hip = directions[:, sk.HIPS] * (sign * _HIP / _LEG)
    down = pelvis[:, 1] - foot[:, 1]
    sideways, forward = foot[:, 0] - pelvis[:, 0] + sign * _HIP / _LEG * 0.6, foot[:, 2]
    target = np.einsum("fij,fj->fi", axes, np.stack([sideways, down, forward], axis=1)) - hip
    pole = np.einsum("fij,j->fi", axes, np.array([sign * 0.35, -0.1, 1.0]))
    thigh, shin = two_bones(target * _LEG, _THIGH, _SHIN, pole)
    directions[:, sk.THIGHS[side]], directions[:, sk.SHINS[side]] = thigh, shin
    # A planted foot points forward and outward along the floor; a lifted one hangs with the shin.
    planted = np.einsum("fij,j->fi", axes, np.array([sign * 0.45, 0.12, 1.0]))
    lifted = np.clip(foot[:, 1:2] * 3, 0, 1)
    directions[:, sk.FEET[side]] = unit(planted + lifted * shin * 0.9)


def two_bones(target: Array, first: float, second: float, pole: Array) -> tuple[Array, Array]:
    """Directions (frames, 3) of two bones from the origin to `target`, with the joint bent towards `pole`.

    The distance to the target is clipped to 40 .. 99.8 % of the bones' reach, so that elbows and knees keep human
    angles.
    """
    reach = first + second
    length = np.linalg.norm(target, axis=1, keepdims=True)
    towards = target / np.maximum(length, 1e-9)
    length = np.clip(length, 0.4 * reach, 0.998 * reach)
    along = (length**2 + first**2 - second**2) / (2 * length)
    aside = np.sqrt(np.maximum(first**2 - along**2, 0))
    bend = unit(pole - (pole * towards).sum(axis=1, keepdims=True) * towards)
    joint = towards * along + bend * aside
    return unit(joint), unit(towards * length - joint)

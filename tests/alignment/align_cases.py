"""Bodies to align: the real poses with their golden numbers, random puppets, and pictures that show where they are."""

from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from onetoall_cli.alignment import choose_anchor, height_scale, retarget
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp

DATA = Path(__file__).parent.parent / "data"
REFERENCES = ("ref_standing", "ref_half", "ref_turned")
DRIVERS = ("dance_full", "dance_small", "dance_crouch")
PAIRS = [(reference, driver) for reference in REFERENCES for driver in DRIVERS]


@cache
def golden():
    return np.load(DATA / "pose_golden.npz")


@cache
def real(name):
    """A real dance or reference as a sequence of one person."""
    data = np.load(DATA / "poses_real.npz")
    keypoints = data[name]
    keypoints = keypoints[None] if keypoints.ndim == 2 else keypoints
    return PoseSequence(keypoints[:, None], *data[f"{name}_size"])


def still(keypoints, width=1000, height=1500):
    """Keypoints (133, 3) as a pose of one frame."""
    return PoseSequence(np.asarray(keypoints, np.float32)[None, None], width, height)


def clip(keypoints, width=1000, height=1500, fps=30.0):
    """Keypoints (frames, 133, 3) as one person's motion."""
    return PoseSequence(np.asarray(keypoints, np.float32)[:, None], width, height, fps)


def person(sequence, frame=0):
    return sequence.keypoints[frame, 0].astype(np.float64)


def without(keypoints, rows):
    """The same with `rows` unseen."""
    keypoints = np.array(keypoints)
    keypoints[..., list(rows), :] = 0
    return keypoints


def mirrored(keypoints, width):
    """The same in a mirror: x flipped, left and right exchanged."""
    swap = np.arange(kp.COUNT)
    for left in (*range(1, 17, 2),):
        swap[[left, left + 1]] = left + 1, left
    swap[kp.FEET] = [20, 21, 22, 17, 18, 19]
    swap[kp.FACE] = kp.FACE.start + np.array(FACE_MIRROR)
    swap[kp.LEFT_HAND], swap[kp.RIGHT_HAND] = np.arange(112, 133), np.arange(91, 112)
    flipped = np.array(keypoints)[..., swap, :]
    flipped[..., 0] = np.where(flipped[..., 2] > 0, width - flipped[..., 0], 0)
    return flipped


# Which landmark of the 68 each one becomes in a mirror (iBUG numbering).
FACE_MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
)

# A standing figure of height 1, x to the viewer's right, in the order neck-outwards: (row, from, dx, dy).
_BONES = [
    (kp.LEFT_SHOULDER, None, 0.11, 0.0),
    (kp.RIGHT_SHOULDER, None, -0.11, 0.0),
    (kp.LEFT_ELBOW, kp.LEFT_SHOULDER, 0.03, 0.16),
    (kp.RIGHT_ELBOW, kp.RIGHT_SHOULDER, -0.03, 0.16),
    (kp.LEFT_WRIST, kp.LEFT_ELBOW, 0.02, 0.14),
    (kp.RIGHT_WRIST, kp.RIGHT_ELBOW, -0.02, 0.14),
    (kp.LEFT_HIP, None, 0.07, 0.28),
    (kp.RIGHT_HIP, None, -0.07, 0.28),
    (kp.LEFT_KNEE, kp.LEFT_HIP, 0.01, 0.24),
    (kp.RIGHT_KNEE, kp.RIGHT_HIP, -0.01, 0.24),
    (kp.LEFT_ANKLE, kp.LEFT_KNEE, 0.0, 0.24),
    (kp.RIGHT_ANKLE, kp.RIGHT_KNEE, 0.0, 0.24),
    (kp.NOSE, None, 0.0, -0.11),
    (kp.LEFT_EYE, kp.NOSE, 0.018, -0.018),
    (kp.RIGHT_EYE, kp.NOSE, -0.018, -0.018),
    (kp.LEFT_EAR, kp.LEFT_EYE, 0.03, 0.008),
    (kp.RIGHT_EAR, kp.RIGHT_EYE, -0.03, 0.008),
]


def puppet(rng, frames=1, size=700.0, at=(500.0, 400.0), swing=0.35):
    """A random body in random poses: keypoints (frames, 133, 3), all seen.

    Every body has its own proportions, left and right alike, which never change; its bones turn by up to `swing`
    radians from standing and it walks about.

    Args:
        rng: numpy random generator.
        frames: How many poses.
        size: Height in pixels.
        at: Where the neck is in the first frame, px.
        swing: Radians.
    """
    keypoints = np.zeros((frames, kp.COUNT, 3))
    keypoints[..., 2] = 1.0
    neck = np.array(at) + np.cumsum(rng.normal(0, 0.02 * size, (frames, 2)) * (np.arange(frames) > 0)[:, None], axis=0)
    tall = {row: rng.uniform(0.8, 1.25) for row in range(1, 17, 2)} | {kp.NOSE: rng.uniform(0.8, 1.25)}
    lean = rng.uniform(-swing, swing, frames) / 3
    for row, start, dx, dy in _BONES:
        length = size * tall[row if row in tall else row - 1]
        turn = lean if start is None else rng.uniform(-swing, swing, frames)
        if row in (kp.LEFT_EYE, kp.RIGHT_EYE, kp.LEFT_EAR, kp.RIGHT_EAR):
            turn = lean
        cos, sin = np.cos(turn), np.sin(turn)
        origin = neck if start is None else keypoints[:, start, :2]
        keypoints[:, row, :2] = origin + length * np.stack([cos * dx - sin * dy, sin * dx + cos * dy], -1)
    _extremities(rng, keypoints, size)
    return keypoints


def _extremities(rng, keypoints, size):
    """Feet, hands and face on their joints, shapes shared by all frames up to a little expression."""
    frames = len(keypoints)
    face = np.concatenate([rng.uniform(-1, 1, (68, 2))]) * 0.03 * size
    face[36], face[45] = (-0.028 * size, -0.02 * size), (0.028 * size, -0.02 * size)
    face[27], face[8], face[30] = (0, -0.02 * size), (0, 0.05 * size), (0, 0)
    left_hand, foot = rng.uniform(-0.03, 0.03, (21, 2)) * size, np.array([[0.03, 0.02], [0.02, 0.02], [-0.02, 0.02]])
    left_hand[0] = 0
    mirror = np.array([-1, 1])
    parts = [
        (kp.NOSE, kp.FACE, face),
        (kp.LEFT_WRIST, kp.LEFT_HAND, left_hand),
        (kp.RIGHT_WRIST, kp.RIGHT_HAND, left_hand * mirror),
        (kp.LEFT_ANKLE, slice(17, 20), foot * size),
        (kp.RIGHT_ANKLE, slice(20, 23), foot * size * mirror),
    ]
    for joint, rows, shape in parts:
        wobble = 0.0005 * size * rng.standard_normal((frames, len(shape), 2))
        keypoints[:, rows, :2] = keypoints[:, [joint], :2] + shape + wobble


seeds = st.integers(0, 2**32 - 1)
row_sets = st.sets(st.integers(0, kp.COUNT - 1), max_size=kp.COUNT)


def random_keypoints(rng, frames):
    """Anything a detector might say: points anywhere, any score, many missing."""
    keypoints = rng.uniform(-500, 2500, (frames, kp.COUNT, 3))
    keypoints[..., 2] = rng.uniform(0, 1, keypoints.shape[:2])
    return np.where(rng.random(keypoints.shape[:2])[..., None] < rng.random(), keypoints, 0.0)


def checkerboard(height, width, cell=16):
    """uint8 (height, width, 3), never black."""
    y, x = np.mgrid[:height, :width] // cell
    dark = ((x + y) % 2).astype(np.uint8)
    return np.stack([80 + 100 * dark, 200 - 60 * dark, np.full_like(dark, 120)], axis=-1)


def carried(motion, reference, wanted=None):
    """(retargeted motion, anchor frame, body factor)."""
    anchor = choose_anchor(person(reference), motion, wanted)
    ratio = height_scale(person(reference), person(motion, anchor.frame)).ratio
    return retarget(motion, reference, anchor), anchor.frame, 1 / ratio


def two_bodies(seed, frames=6):
    """A reference and a motion of two different puppets, at different sizes and places."""
    rng = np.random.default_rng(seed)
    reference = still(puppet(rng, size=rng.uniform(200, 1500), at=(300, 250))[0], 800, 1300)
    return reference, clip(puppet(rng, frames, size=rng.uniform(200, 1500)))

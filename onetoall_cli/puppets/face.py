"""The 68 face landmarks of a puppet in head coordinates.

Head coordinates: origin at the head's centre, x to the puppet's left, y down, z out of the face; chin to crown = 1.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.puppets.identity import FaceShape

Array = NDArray[np.float64]

# The head as an ellipsoid: half its height (above 0.5 to leave room for hair) and half its depth.
HALF_HEIGHT, HALF_DEPTH = 0.54, 0.44

JAW, BROWS, NOSE, EYES, LIPS = slice(0, 17), slice(17, 27), slice(27, 36), slice(36, 48), slice(48, 68)


def landmarks(face: FaceShape, expression: Array) -> Array:
    """The 68 iBUG landmarks (frames, 68, 3) for expressions (frames, 3): mouth opening, smile, closed eyes."""
    rest, changes = _template(face)
    return rest + np.einsum("fe,elk->flk", expression, changes)


def surface(x: Array, y: Array, half_width: float) -> Array:
    """The depth (z) of the head's front at x, y."""
    return HALF_DEPTH * np.sqrt(np.clip(1.0 - (x / (half_width * 1.04)) ** 2 - (y / HALF_HEIGHT) ** 2, 0.0, 1.0))


@lru_cache(maxsize=256)
def _template(face: FaceShape) -> tuple[Array, Array]:
    """The resting landmarks (68, 3) and how each expression moves them (3, 68, 3)."""
    flat = np.zeros((68, 2))
    flat[JAW] = _jaw(face)
    flat[BROWS] = _brows(face)
    flat[NOSE] = _nose(face)
    eye = _eye(face)
    flat[36:42] = eye * (-1, 1) + (-face.eye_spacing, face.eye_y)
    # The left eye runs from its inner corner, the right one from its outer: both left to right on the picture.
    flat[42:48] = eye[[3, 2, 1, 0, 5, 4]] + (face.eye_spacing, face.eye_y)
    flat[LIPS] = _lips(face)
    rest = np.concatenate([flat, surface(flat[:, 0], flat[:, 1], face.half_width)[:, None]], axis=1)
    rest[27:36, 2] += np.array([0.02, 0.05, 0.08, 0.11, 0.05, 0.06, 0.07, 0.06, 0.05])
    return rest, _expressions(face, rest)


def _jaw(face: FaceShape) -> Array:
    angle = np.pi * np.arange(17) / 16
    cos, sin = np.cos(angle), np.sin(angle)
    power = 0.95 - 0.4 * face.jaw_square
    x = -np.sign(cos) * np.abs(cos) ** power * face.half_width
    y = sin ** (1.0 + 0.35 * face.chin_taper) * 0.48 + 0.02
    return np.stack([x * (1 - 0.12 * face.chin_taper * sin), y], axis=1)


def _brows(face: FaceShape) -> Array:
    along = np.linspace(-1, 1, 5)  # inner to outer end
    x = face.eye_spacing + along * face.eye_width * 0.52
    arch = -(1 - along**2) * 0.025 - along * face.brow_tilt * 0.06
    y = face.eye_y - face.eye_height / 2 - face.brow_gap + arch
    left = np.stack([x, y], axis=1)
    return np.concatenate([left[::-1] * (-1, 1), left])


def _nose(face: FaceShape) -> Array:
    top = face.eye_y - 0.02
    tip = face.eye_y + face.nose_length
    bridge = np.stack([np.zeros(4), np.linspace(top, tip, 4)], axis=1)
    across = np.linspace(-1, 1, 5)
    wings = np.stack([across * face.nose_width / 2, tip + 0.03 - 0.012 * np.abs(across)], axis=1)
    return np.concatenate([bridge, wings])


def _eye(face: FaceShape) -> Array:
    """Six points round the puppet's left eye: outer corner, upper lid (outer, inner), inner corner, lower lid."""
    half_width, half_height = face.eye_width / 2, face.eye_height / 2
    x = np.array([1.0, 0.42, -0.42, -1.0, -0.42, 0.42]) * half_width
    y = np.array([0.0, -1.0, -1.0, 0.0, 0.8, 0.8]) * half_height
    return np.stack([x, y - x * face.eye_tilt], axis=1)


def _lips(face: FaceShape) -> Array:
    half = face.mouth_width / 2
    x = np.array([-1, -0.62, -0.25, 0, 0.25, 0.62, 1, 0.62, 0.25, 0, -0.25, -0.62]) * half
    y = np.array([0, -0.8, -1.1, -0.8, -1.1, -0.8, 0, 0.8, 1.2, 1.3, 1.2, 0.8]) * face.lip
    inner_x = np.array([-0.85, -0.3, 0, 0.3, 0.85, 0.3, 0, -0.3]) * half
    inner_y = np.array([0, -0.1, -0.1, -0.1, 0, 0.1, 0.1, 0.1]) * face.lip
    outer, inner = np.stack([x, y], axis=1), np.stack([inner_x, inner_y], axis=1)
    return np.concatenate([outer, inner]) + np.array([0.0, face.mouth_y])


def _expressions(face: FaceShape, rest: Array) -> Array:
    """How mouth opening, smile and closing the eyes move the landmarks at full strength, (3, 68, 3)."""
    changes = np.zeros((3, 68, 3))
    opening = min(0.12, 0.47 - face.mouth_y - face.lip)
    lower = [55, 56, 57, 58, 59, 65, 66, 67]
    changes[0, lower, 1] = opening
    changes[0, [55, 59], 1] = opening * 0.5
    changes[0, [48, 54, 60, 64], 1] = opening * 0.3
    changes[0, [48, 60], 0], changes[0, [54, 64], 0] = 0.02, -0.02
    changes[0, 6:11, 1] = 0.02
    sideways = rest[LIPS, 0] / max(face.mouth_width / 2, 1e-6)
    changes[1, LIPS, 0] = sideways * 0.035
    changes[1, LIPS, 1] = -(np.abs(sideways) ** 2) * 0.045 + 0.012
    for upper, below in ((37, 41), (38, 40), (43, 47), (44, 46)):
        changes[2, upper, 1] = 0.92 * (rest[below, 1] - rest[upper, 1])
        changes[2, below, 1] = -0.02 * (rest[below, 1] - rest[upper, 1])
    return changes

"""Rectified flow in training: noising, the velocity to predict, and the region-weighted loss.

x_t = (1 - t) x_0 + t noise, target = noise - x_0 (paper section "Loss & Training"), t in (0, 1].
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onetoall_cli.lattice import CONTEXT_LATENTS, SPATIAL_STRIDE, TEMPORAL_STRIDE
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.training.masks import face_box

TRAIN_STEPS = 1000  # the time is an index of 1000, uniform (released recipe; shift 1 in training)
_MIN_SCORE = 0.3
_PADDING = 0.15  # of a region's larger side
# What a person is made of, as pairs of keypoints, and how thick that is: clothes too, as a part of the longest of them.
_LIMBS = (
    *((kp.NOSE, shoulder) for shoulder in (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)),
    (kp.LEFT_EAR, kp.RIGHT_EAR),
    (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER),
    (kp.LEFT_SHOULDER, kp.RIGHT_HIP),
    (kp.RIGHT_SHOULDER, kp.LEFT_HIP),
    (kp.LEFT_SHOULDER, kp.LEFT_ELBOW),
    (kp.LEFT_ELBOW, kp.LEFT_WRIST),
    (kp.LEFT_SHOULDER, kp.LEFT_HIP),
    (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW),
    (kp.RIGHT_ELBOW, kp.RIGHT_WRIST),
    (kp.RIGHT_SHOULDER, kp.RIGHT_HIP),
    (kp.LEFT_HIP, kp.RIGHT_HIP),
    (kp.LEFT_HIP, kp.LEFT_KNEE),
    (kp.LEFT_KNEE, kp.LEFT_ANKLE),
    (kp.RIGHT_HIP, kp.RIGHT_KNEE),
    (kp.RIGHT_KNEE, kp.RIGHT_ANKLE),
)
_THICKNESS = 0.4
# Hair and hats, which no keypoint marks: how much of the face's width beside it and of its height above it.
_BESIDE_FACE, _ABOVE_FACE = 0.3, 1.2


class Noised(NamedTuple):
    """A batch on the way from data to noise.

    Attributes:
        latents: (B, C, n, h, w), the network's input. Context frames are clean.
        timestep: (B,) on the network's scale, 0..1000.
        target: (B, C, n, h, w), the velocity.
        context: How many latent frames at the start are clean context and out of the loss.
    """

    latents: Tensor
    timestep: Tensor
    target: Tensor
    context: int


def noised(clean: Tensor, generator: torch.Generator, *, token_replace: bool, shift: float = 1.0) -> Noised:
    """Mix latents (B, C, n, h, w) with noise at random times.

    Args:
        generator: On the CPU, so that every device draws the same.
        token_replace: Keep the first two latent frames clean. The clip must have more than two.
        shift: Of the times; 1 is uniform, more means more noise.
    """
    if token_replace and clean.shape[2] <= CONTEXT_LATENTS:
        raise ValueError(f"token replace needs more than {CONTEXT_LATENTS} latent frames, not {clean.shape[2]}")
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    index = torch.randint(1, TRAIN_STEPS + 1, (clean.shape[0],), generator=generator)
    time = index.double() / TRAIN_STEPS
    time = (shift * time / (1 + (shift - 1) * time)).float().to(clean.device)
    t = time.view(-1, 1, 1, 1, 1)
    latents = (1 - t) * clean + t * noise
    context = CONTEXT_LATENTS if token_replace else 0
    if context:
        latents = torch.cat([clean[:, :, :context], latents[:, :, context:]], dim=2)
    return Noised(latents, time * TRAIN_STEPS, noise - clean, context)


def flow_loss(velocity: Tensor, batch: Noised, weights: Tensor) -> Tensor:
    """Mean squared error of the velocity (B, C, n, h, w), weighted by (B, 1, n, h, w); context frames do not count."""
    first = batch.context
    error = (velocity.float() - batch.target.float()).square()[:, :, first:]
    weights = weights[:, :, first:].to(error)
    return (error * weights).sum() / (weights.sum() * error.shape[1])


def region_weights(
    keypoints: NDArray, height: int, width: int, weight: float, body: float = 1.0
) -> NDArray[np.float32]:
    """Weights of one clip's latent pixels: `weight` in the boxes of faces and hands, `body` where `near_body`.

    Args:
        keypoints: (T, 133, 3) in pixels of the clip, T = 4 (n - 1) + 1.
        height, width: Of the clip.

    Returns:
        Float32 (n, height / 8, width / 8), 1 elsewhere. A latent frame takes the strongest of its frames.
    """
    stride = SPATIAL_STRIDE
    weights = np.ones((len(keypoints), height // stride, width // stride), np.float32)
    for frame, points in zip(weights, keypoints, strict=True):
        if body != 1:
            frame[near_body(points, height, width)] = body
        for region in (kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND):
            seen = points[region][points[region, 2] >= _MIN_SCORE, :2]
            if len(seen) < 3:
                continue
            low, high = seen.min(axis=0), seen.max(axis=0)
            pad = _PADDING * float((high - low).max())
            left, top = np.maximum((low - pad) / stride, 0).astype(int)
            right, bottom = np.maximum(np.ceil((high + pad) / stride), 0).astype(int)
            box = frame[top:bottom, left:right]
            np.maximum(box, weight, out=box)
    later = weights[1:].reshape(-1, TEMPORAL_STRIDE, *weights.shape[1:]).max(axis=1)
    return np.concatenate([weights[:1], later])


def near_body(points: NDArray, height: int, width: int) -> NDArray[np.bool_]:
    """Latent pixels (height / 8, width / 8) that a limb, the trunk, or the head with its hair touches.

    Args:
        points: Keypoints (133, 3).
    """
    seen = points[:, 2] >= _MIN_SCORE
    limbs = [(a, b) for a, b in _LIMBS if seen[a] and seen[b]]
    picture = np.zeros((height, width), np.uint8)
    if limbs:
        longest = max(float(np.hypot(*(points[a, :2] - points[b, :2]))) for a, b in limbs)
        thickness = int(np.clip(_THICKNESS * longest, 1, max(height, width)))
        pixels = points[:, :2].astype(int).tolist()
        for a, b in limbs:
            cv2.line(picture, pixels[a], pixels[b], (1,), thickness)
    face = face_box(points)
    if face is not None:
        beside, above = _BESIDE_FACE * (face.right - face.left), _ABOVE_FACE * face.height
        corner = int(face.left - beside), int(face.top - above)
        cv2.rectangle(picture, corner, (int(face.right + beside), int(face.bottom)), (1,), cv2.FILLED)
    stride = SPATIAL_STRIDE
    return picture.reshape(height // stride, stride, width // stride, stride).max(axis=(1, 3)) > 0

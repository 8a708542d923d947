"""Rectified flow in training: noised latents, the target velocity, and the region-weighted loss.

x_t = (1 - t) x_0 + t noise, target = noise - x_0 (paper section "Loss & Training"), t in (0, 1].
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onetoall_cli.lattice import CONTEXT_LATENTS, SPATIAL_STRIDE, TEMPORAL_STRIDE
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.training.masks import face_box

TRAIN_STEPS = 1000  # times are multiples of 1 / 1000
_MIN_SCORE = 0.3
_PADDING = 0.15  # of a region's larger side
# The lines, as pairs of keypoints, that cover a person when drawn thick enough for clothes.
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
_THICKNESS = 0.4  # of the longest line
# Hair and hats have no keypoints: they reach this far beside the face (of its width) and above it (of its height).
_BESIDE_FACE, _ABOVE_FACE = 0.3, 1.2


class Noised(NamedTuple):
    """A batch of noised latents.

    Attributes:
        latents: The network's input, (B, C, n, h, w). Context frames are clean.
        timestep: Times on the network's scale 0..1000, (B,).
        target: The velocity to predict, (B, C, n, h, w).
        context: Number of latent frames at the start that are clean context, without loss.
    """

    latents: Tensor
    timestep: Tensor
    target: Tensor
    context: int


def noised(
    clean: Tensor,
    generator: torch.Generator,
    *,
    token_replace: bool,
    timesteps: Literal["logit-normal", "uniform"] = "logit-normal",
    shift: float = 1.0,
) -> Noised:
    """Mix latents with noise at random times.

    Args:
        clean: Latents (B, C, n, h, w).
        generator: A generator on the CPU, so that every device draws the same noise.
        token_replace: Whether the first two latent frames stay clean. The clip must have more than two.
        timesteps: Distribution of the times; logit-normal(0, 1) as released: the middle times more often.
        shift: Shift of the times; 1 is none, more means more noise.
    """
    if token_replace and clean.shape[2] <= CONTEXT_LATENTS:
        raise ValueError(f"token replace needs more than {CONTEXT_LATENTS} latent frames, not {clean.shape[2]}")
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    if timesteps == "uniform":
        index = torch.randint(1, TRAIN_STEPS + 1, (clean.shape[0],), generator=generator)
    else:
        index = torch.randn(clean.shape[0], generator=generator).sigmoid().mul(TRAIN_STEPS).ceil()
    time = index.double() / TRAIN_STEPS
    time = (shift * time / (1 + (shift - 1) * time)).float().to(clean.device)
    t = time.view(-1, 1, 1, 1, 1)
    latents = (1 - t) * clean + t * noise
    context = CONTEXT_LATENTS if token_replace else 0
    if context:
        latents = torch.cat([clean[:, :, :context], latents[:, :, context:]], dim=2)
    return Noised(latents, time * TRAIN_STEPS, noise - clean, context)


def flow_loss(velocity: Tensor, batch: Noised, weights: Tensor, mean: Literal["plain", "weighted"] = "plain") -> Tensor:
    """Squared error of the velocity (B, C, n, h, w), weighted by (B, 1, n, h, w), none in context frames.

    Args:
        velocity, batch, weights: What the network said, what it should have, and how much each latent pixel counts.
        mean: What the sum is divided by: "plain", all latent values, as released; "weighted", the sum of the weights
            that count.
    """
    error = (velocity.float() - batch.target.float()).square()
    is_generated = torch.arange(error.shape[2], device=error.device) >= batch.context
    weights = weights.to(error) * is_generated[:, None, None]
    total = (error * weights).sum()
    return total / (error.numel() if mean == "plain" else weights.sum().clamp_min(1e-6) * error.shape[1])


def region_weights(
    keypoints: NDArray,
    height: int,
    width: int,
    weight: float,
    body: float = 1.0,
    *,
    hands: bool = True,
    ignored: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Weights of one clip's latent pixels in the loss.

    Args:
        keypoints: Keypoints (T, 133, 3) in pixels of the clip, T = 4 (n - 1) + 1.
        height, width: Size of the clip in pixels.
        weight: Weight in the boxes of faces and hands.
        body: Weight of the pixels of `near_body`.
        hands: Whether hands weigh as much as faces.
        ignored: Pixels without weight in every frame, bool (height, width), such as subtitles.

    Returns:
        Weights, float32 (n, height / 8, width / 8), 1 elsewhere. A latent frame takes the largest of its frames'.
    """
    stride = SPATIAL_STRIDE
    weights = np.ones((len(keypoints), height // stride, width // stride), np.float32)
    for frame, points in zip(weights, keypoints, strict=True):
        if body != 1:
            frame[near_body(points, height, width)] = body
        for region in (kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND)[: 3 if hands else 1]:
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
    weights = np.concatenate([weights[:1], later])
    if ignored is not None:
        weights[:, _touched(ignored)] = 0
    return weights


def near_body(points: NDArray, height: int, width: int) -> NDArray[np.bool_]:
    """Latent pixels that limbs, trunk or head (hair included) touch, bool (height / 8, width / 8).

    Args:
        points: Keypoints (133, 3) in pixels.
        height, width: Size of the picture in pixels.
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
    return _touched(picture > 0)


def _touched(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Latent pixels that hold any of the pixels (height, width), bool (height / 8, width / 8)."""
    (height, width), stride = pixels.shape, SPATIAL_STRIDE
    return np.asarray(pixels.reshape(height // stride, stride, width // stride, stride).any(axis=(1, 3)))

"""Baselines for results: copies of the reference, the nearest training picture, and the truth through the VAE.

The first ones need no network. The last is a ceiling: no network can beat the truth, encoded and decoded.
"""

import cv2
import numpy as np
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.model.pixels import to_tensor, to_uint8
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_scene
from onetoall_cli.runtime.stills import restore

POOL = 512  # training puppets to choose the nearest from


def copied_reference(conditioning: Conditioning, frames: int) -> NDArray[np.uint8]:
    """The adjusted reference in every frame, black where unknown: (frames, H, W, 3)."""
    return np.repeat(conditioning.reference[None], frames, axis=0)


def filled_reference(conditioning: Conditioning, frames: int) -> NDArray[np.uint8]:
    """The same with one plain colour where unknown, which is harder to beat: (frames, H, W, 3).

    The colour is the median of the known pixels next to unknown ones; mostly it is the backdrop's.
    """
    known = (~conditioning.mask).astype(np.uint8)
    picture = conditioning.reference.copy()
    if conditioning.mask.any():
        edge = cv2.morphologyEx(known, cv2.MORPH_ERODE, np.ones((3, 3), np.uint8)) < known
        picture[conditioning.mask] = np.median(picture[edge], axis=0).astype(np.uint8)
    return np.repeat(picture[None], frames, axis=0)


class TrainingPictures:
    """One picture each of `count` training puppets, to find the one with the nearest pose."""

    def __init__(self, width: int, height: int, count: int = POOL) -> None:
        clips = [
            sample_scene("train", seed, width=width, height=height, frames=1).film(supersample=2)
            for seed in range(count)
        ]
        self.frames = np.concatenate([clip.frames for clip in clips])
        self.bodies = np.stack([clip.poses.keypoints[0, 0, kp.BODY] for clip in clips])  # (count, 17, 3)

    def nearest(self, conditioning: Conditioning) -> NDArray[np.uint8]:
        """For each frame of the motion the picture whose 17 body joints are nearest on average, (T, H, W, 3)."""
        motion = conditioning.motion.keypoints[:, 0, kp.BODY]
        apart = np.linalg.norm(motion[:, None, :, :2] - self.bodies[None, ..., :2], axis=-1).mean(axis=-1)
        return self.frames[apart.argmin(axis=1)]


def through_vae(frames: NDArray[np.uint8], vae: AutoencoderKLWan) -> NDArray[np.uint8]:
    """Pictures (T, H, W, 3), T = 4k + 1, encoded and decoded."""
    return to_uint8(restore(vae, to_tensor(frames[None]).to(vae.device))[0].transpose(0, 1))

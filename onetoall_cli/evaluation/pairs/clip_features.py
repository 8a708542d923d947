"""Feature vectors of clips and pictures for Frechet distances: FVD (I3D), FID-VID (3D ResNet-50), FID (Inception-v3).

Frames come one at a time. All but FVD over whole clips hold at most 16 of them.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from onetoall_cli.evaluation.networks import i3d, inception, resnet3d
from onetoall_cli.evaluation.pairs.picture_measures import Picture


class ClipFeatures(ABC):
    """Collects the vectors of one clip: `add` every frame, then `vectors`."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._waiting: list[Tensor] = []
        self._found: list[Tensor] = []

    @abstractmethod
    def add(self, frame: Picture) -> None:
        """Take the next frame."""

    @abstractmethod
    def vectors(self) -> NDArray[np.float32]:
        """The clip's vectors, (n, d)."""

    def _look(self) -> None:
        """Send the waiting frames through the network as one clip."""
        clip = torch.stack(self._waiting, dim=1)[None]
        self._found.append(self._network(clip)[0].float().cpu())
        self._waiting.clear()

    def _device(self) -> torch.device:
        return next(self._network.parameters()).device


class FIDVIDFeatures(ClipFeatures):
    """FID-VID: the mean vector of segments of 16 frames, the last filled up with the last frame; (1, 2048)."""

    def add(self, frame: Picture) -> None:
        self._waiting.append((resized(frame, resnet3d.SIZE) - resnet3d.MEAN[:, None, None]).to(self._device()))
        if len(self._waiting) == resnet3d.FRAMES:
            self._look()

    def vectors(self) -> NDArray[np.float32]:
        if self._waiting:
            self._waiting += [self._waiting[-1]] * (resnet3d.FRAMES - len(self._waiting))
            self._look()
        return torch.stack(self._found).mean(dim=0, keepdim=True).numpy()


class FVDFeatures(ClipFeatures):
    """FVD: a vector of 400 logits for each window of frames, (n, 400); frames left over after the first are dropped.

    Args:
        network: I3D.
        window: Frames of a window; None: the whole clip is one, and is held in memory.
    """

    def __init__(self, network: nn.Module, window: int | None) -> None:
        super().__init__(network)
        self._window = window

    def add(self, frame: Picture) -> None:
        self._waiting.append((resized(frame, i3d.SIZE) / 127.5 - 1).to(self._device()))
        if len(self._waiting) == self._window:
            self._look()

    def vectors(self) -> NDArray[np.float32]:
        if not self._found:
            short = (self._window or 0) - len(self._waiting)
            self._waiting += [self._waiting[-1]] * max(short, 0)
            self._look()
        return torch.stack(self._found).numpy()


class FIDFeatures(ClipFeatures):
    """FID as it was defined, on pictures resized with antialiasing: a vector a picture, (n, 2048)."""

    def add(self, frame: Picture) -> None:
        self._see(resized(frame, inception.SIZE) / 127.5 - 1)

    def _see(self, picture: Tensor) -> None:
        self._found.append(self._network(picture[None].to(self._device()))[0].float().cpu())

    def vectors(self) -> NDArray[np.float32]:
        return torch.stack(self._found).numpy()


class CFLDFeatures(FIDFeatures):
    """FID as DeepFashion's baseline computes it: bilinear without antialiasing, and its own shift of the channels."""

    def add(self, frame: Picture) -> None:
        picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        small = F.interpolate(picture, size=(inception.SIZE, inception.SIZE), mode="bilinear")[0]
        mean, deviation = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
        self._see(small * (deviation / 0.5)[:, None, None] + ((mean - 0.5) / 0.5)[:, None, None])


def resized(frame: Picture, size: int) -> Tensor:
    """A frame uint8 (H, W, 3) as float (3, size, size) in 0..255: bicubic with antialiasing, not rounded or clipped."""
    if frame.shape[:2] == (size, size):
        return torch.from_numpy(frame).permute(2, 0, 1).float()
    channels = [
        Image.fromarray(frame[..., channel].astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
        for channel in range(3)
    ]
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in channels]))

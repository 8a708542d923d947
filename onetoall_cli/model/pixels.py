"""Conversion of pictures between uint8 and the networks' floats in [-1, 1]."""

import numpy as np
import torch
from numpy.typing import NDArray


def to_tensor(clips: NDArray[np.uint8] | torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 (B, T, H, W, 3) as float32 (B, 3, T, H, W) in [-1, 1]."""
    pixels = torch.as_tensor(clips).to(device)
    return pixels.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)  # in place: a pose video is large


def to_uint8(pictures: torch.Tensor) -> NDArray[np.uint8]:
    """(..., 3, H, W) in [-1, 1] as uint8 (..., H, W, 3) on the CPU; values outside are clipped."""
    scaled = (pictures.detach().float() + 1) * 127.5
    return scaled.round().clamp(0, 255).byte().movedim(-3, -1).cpu().numpy()

"""Figures and sheets for eyes: PSNR, and grids of pictures as PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from onetoall_cli.media import write_picture


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]; infinite when they are equal."""
    error = float((a.float() - b.float()).square().mean())
    return float("inf") if error == 0 else float(10 * np.log10(4.0 / error))


def to_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (..., 3, H, W) in [-1, 1] as uint8 (..., H, W, 3)."""
    scaled = (pictures.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().movedim(-3, -1).cpu().numpy()


def write_sheet(path: Path, rows: list[list[NDArray[np.uint8]]]) -> None:
    """Write a grid of pictures (H, W, 3); all of one row have the same height, all of a column the same width."""
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, sheet)

"""Small pictures of a segment while it is denoised: the estimated clean latents, through a linear map to colours.

The map of a VAE is fitted by least squares to what it makes of a picture of random colours, so any VAE has one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray

from onetoall_cli.lattice import SPATIAL_STRIDE
from onetoall_cli.model.pixels import to_uint8
from onetoall_cli.runtime.vae import encode

SHARE = 0.01  # of a run's time that its previews may take
# The picture the map is fitted to: its side, and the distance of its random colours, in pixels. With `tiny`'s VAE, true
# frames come out at 26 to 28 dB (at a pixel a latent); a map fitted to those frames themselves gives 31 dB.
CHART_SIDE, PATCH = 96, 32
RIDGE = 1e-2  # of the least squares, relative to latents of deviation 1


@dataclass(frozen=True)
class Preview:
    """What a segment will look like, as far as it is known.

    Attributes:
        segment: Its number, from 0.
        step: Steps done.
        steps: All there are.
        frames: The estimate, uint8 (n, H/8, W/8, 3): the first frame of the segment, then one for each four.
    """

    segment: int
    step: int
    steps: int
    frames: NDArray[np.uint8]


class LatentColours:
    """A VAE's linear map from latents to colours.

    Args:
        vae: A VAE of Wan2.1's kind.
    """

    def __init__(self, vae: AutoencoderKLWan) -> None:
        chart = _random_colours()
        latents = encode(vae, chart[:, :, None])[:, :, 0].cpu()
        colours = torch.nn.functional.avg_pool2d(chart, SPATIAL_STRIDE)
        known, wanted = _rows(latents).double(), colours.movedim(1, -1).reshape(-1, 3).double()
        penalty = RIDGE * len(known) * torch.eye(known.shape[1], dtype=torch.float64)
        penalty[-1, -1] = 0  # of the constant
        self.map = torch.linalg.solve(known.T @ known + penalty, known.T @ wanted).float()  # (C + 1, 3)

    def frames(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Normalised latents (1, C, n, h, w) as pictures, uint8 (n, h, w, 3)."""
        n, h, w = latents.shape[2:]
        flat = latents[0].transpose(0, 1).float().cpu()  # (n, C, h, w)
        return to_uint8((_rows(flat) @ self.map).reshape(n, h, w, 3).movedim(-1, 1))


def _random_colours() -> torch.Tensor:
    """A picture (1, 3, H, W) in [-1, 1] of colours that run into each other."""
    points = torch.rand(1, 3, *(CHART_SIDE // PATCH + 1,) * 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(points, size=(CHART_SIDE,) * 2, mode="bilinear", align_corners=True)


def _rows(latents: torch.Tensor) -> torch.Tensor:
    """Latents (n, C, h, w) as rows (n h w, C + 1), each with a 1 behind it."""
    rows = latents.movedim(1, -1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)


class Previewer:
    """Shows a run's estimates as often as takes a hundredth of its time.

    Args:
        show: Called with each preview.
        clock: Seconds.
    """

    def __init__(self, show: Callable[[Preview], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._show, self._clock = show, clock
        self._began, self._spent = clock(), 0.0
        self._colours: LatentColours | None = None

    def __call__(self, vae: AutoencoderKLWan, clean: torch.Tensor, segment: int, step: int, steps: int) -> None:
        """Show the estimate of a segment's latents (1, 16, n, h, w) after a step, if it is time."""
        now = self._clock()
        if self._spent > SHARE * (now - self._began):
            return
        self._colours = self._colours or LatentColours(vae)
        self._show(Preview(segment, step, steps, self._colours.frames(clean)))
        self._spent += self._clock() - now

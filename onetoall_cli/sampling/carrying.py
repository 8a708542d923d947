"""How a segment continues the one before: by its last frames, by its last latents, or by latents held to a tone.

What is carried a little wrong is wrong a little more at each join; `bench.drift` measures the ways.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

Carry = Literal["toned", "latents", "frames", "none"]
CARRIES = get_args(Carry)

# Where the picture still shows what it showed: latents that differ by less, in units of their deviation. Of what a
# puppet's backdrop has become after a segment of `tiny`, three quarters do; other content differs by 1 and more.
SAME = 0.5
LEAST = 0.1  # of the picture must be the same, or nothing is known of the tone
PLAIN = 0.05  # a variance below which the contrast of a plain backdrop is noise


@dataclass(frozen=True)
class Carried:
    """The end of a segment or of a clip, which the next segment begins with; nothing in it: it begins by itself.

    Attributes:
        frames: (T, 3, H, W) in [-1, 1], T = 4k + 1, to be encoded again; as they were decoded, unrounded.
        latents: (1, 16, k + 1, h, w), in their place.
        first: The first latents that the run carried, in that form, whose tone is held.
    """

    frames: torch.Tensor | None = None
    latents: torch.Tensor | None = None
    first: torch.Tensor | None = None

    def context(self) -> dict[str, Any]:
        """The argument of `OneToAllPipeline.generate` that makes a segment continue this one."""
        if self.frames is not None:
            return {"context_frames": list(self.frames)}
        return {"context_latents": self.latents}

    def first_in(self, latents: torch.Tensor, count: int) -> torch.Tensor:
        """`first`; nothing carried before, the first `count` latents of the segment that begins with this."""
        return latents[:, :, :count] if self.first is None else self.first.to(latents.device)

    def eased(self, latents: torch.Tensor, count: int) -> torch.Tensor:
        """The latents of the segment that begins with this, each eased towards the tone of the first ones.

        Mean and deviation of each channel are compared where the picture still shows what it showed. Nothing changes at
        the join, each later latent a little more.

        Args:
            latents: As they were generated, (1, 16, n, h, w).
            count: How many of them were carried.
        """
        end, first = latents[:, :, -count:], self.first_in(latents, count)
        same = (end - first).square().mean(dim=1, keepdim=True).sqrt() < SAME
        if same.float().mean() < LEAST:
            return latents
        (mean, variance), (wanted_mean, wanted_variance) = _tone(end, same), _tone(first, same)
        part = torch.arange(1 - count, latents.shape[2] - count + 1, device=latents.device).clamp(min=0)
        part = (part / part[-1]).view(1, 1, -1, 1, 1)  # 0 in what was carried, 1 in the last
        gain = ((wanted_variance + PLAIN) / (variance + PLAIN)) ** (part / 2)
        return latents + (latents - mean) * (gain - 1) + part * (wanted_mean - mean)


def _tone(latents: torch.Tensor, where: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each channel of (1, C, n, h, w), where (1, 1, n, h, w) is true; (1, C, 1, 1, 1) each."""
    count, over = where.sum(), (0, 2, 3, 4)
    mean = (latents * where).sum(dim=over, keepdim=True) / count
    return mean, ((latents - mean).square() * where).sum(dim=over, keepdim=True) / count

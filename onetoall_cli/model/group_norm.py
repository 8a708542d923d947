"""Group norm in float32 for any input dtype, over a whole picture or video or over a video in chunks."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from onetoall_cli.model.blocks import widened


class Moments(NamedTuple):
    """Statistics of the channel groups over a whole video: float32 (B, groups), the variance biased."""

    mean: torch.Tensor
    variance: torch.Tensor


class WideGroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` with its factors and statistics in float32."""

    def forward(self, hidden_states: torch.Tensor, statistics: Moments | None = None) -> torch.Tensor:
        """Normalise (B, C, ...) by its own statistics, or a chunk of a video by the video's `statistics`."""
        wide = widened(hidden_states)
        if statistics is None:
            normalised = F.group_norm(wide, self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        else:
            normalised = self._by(statistics, wide)
        return normalised.to(hidden_states.dtype)

    def _by(self, statistics: Moments, chunk: torch.Tensor) -> torch.Tensor:
        """Group norm with given statistics: batch norm in evaluation mode, with samples folded into the channels."""
        batch, channels = chunk.shape[:2]
        mean, variance = (value.repeat_interleave(channels // self.num_groups, dim=1).flatten() for value in statistics)
        weight, bias = self.weight.float().repeat(batch), self.bias.float().repeat(batch)
        folded = F.batch_norm(chunk.flatten(0, 1)[None], mean, variance, weight, bias, eps=self.eps)
        return folded[0].unflatten(0, (batch, channels))

    def moments(self, chunks: Iterable[torch.Tensor]) -> Moments:
        """The statistics of a video in chunks, merged chunk by chunk (Chan et al. 1979)."""
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for chunk in chunks:
            groups = chunk.unflatten(1, (self.num_groups, -1)).flatten(2).float()  # (B, groups, values)
            chunk_count, chunk_mean = groups.shape[-1], groups.mean(dim=-1)
            chunk_squares = (groups - chunk_mean[..., None]).square_().sum(dim=-1)
            total, difference = count + chunk_count, chunk_mean - mean.to(chunk.device)
            squares = squares.to(chunk.device) + chunk_squares + difference.square() * (count * chunk_count / total)
            mean = chunk_mean if count == 0 else mean + difference * (chunk_count / total)
            count = total
        return Moments(mean, squares / count)

"""Sequence parallelism: each process has a range of the tokens, and self-attention exchanges tokens for heads.

This is Ulysses (Jacobs et al. 2023, https://arxiv.org/abs/2309.14509), for inference. diffusers' context parallelism
does not fit: its hooks split tensors among a module's arguments, not the ranges of `Modulation` or the rotary tables,
it would also split the attention to reference and text, which stay whole, and it needs shards of one size.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from onetoall_cli.model.attention import AttentionKernel


class Sharding(Protocol):
    """How the tokens of a sequence are spread over processes."""

    def own(self, length: int) -> tuple[int, int]:
        """First token and end of this process's range, of `length` tokens."""

    def attend(
        self, kernel: "AttentionKernel", query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attend to all tokens: own queries, keys and values (B, own, heads, D) to results (B, own, width)."""

    def joined(self, tokens: torch.Tensor) -> torch.Tensor:
        """Own results (B, own, C) to those of all tokens (B, L, C), the same in every process."""


class _Whole:
    """All tokens are here."""

    def own(self, length: int) -> tuple[int, int]:
        return 0, length

    def attend(
        self, kernel: "AttentionKernel", query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        return kernel(query, key, value)

    def joined(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens


WHOLE: Sharding = _Whole()


class TokenShards:
    """Consecutive ranges of a sequence, one for each process of a group, whose sizes differ by one at most.

    Args:
        group: The processes; their number divides that of the heads.
        length: All tokens.
    """

    def __init__(self, group: "dist.ProcessGroup", length: int) -> None:
        self.group = group
        self.rank, self.count = dist.get_rank(group), dist.get_world_size(group)
        self.bounds = [index * length // self.count for index in range(self.count + 1)]
        self.sizes = [stop - start for start, stop in pairwise(self.bounds)]

    def own(self, length: int) -> tuple[int, int]:
        """As `Sharding`."""
        assert length == self.bounds[-1]
        return self.bounds[self.rank], self.bounds[self.rank + 1]

    def attend(
        self, kernel: "AttentionKernel", query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """As `Sharding`: every process computes a share of the heads for all tokens."""
        batch, own, heads, dim = query.shape
        share = heads // self.count
        sent = torch.stack([query, key, value]).permute(3, 0, 1, 2, 4)  # (heads, 3, B, own, D)
        received = self._exchange(sent.chunk(self.count), [(share, 3, batch, size, dim) for size in self.sizes])
        query, key, value = torch.cat(received, dim=3).permute(1, 2, 3, 0, 4)  # (3, B, L, share, D)
        attended = kernel(query, key, value)  # (B, L, share * D)
        back = self._exchange(attended.split(self.sizes, dim=1), [(batch, own, share * dim)] * self.count)
        return torch.cat(back, dim=2)

    def joined(self, tokens: torch.Tensor) -> torch.Tensor:
        """As `Sharding`."""
        batch, _, width = tokens.shape
        return torch.cat(self._exchange([tokens] * self.count, [(batch, size, width) for size in self.sizes]), dim=1)

    def _exchange(
        self, parts: list[torch.Tensor] | tuple[torch.Tensor, ...], shapes: list[tuple[int, ...]]
    ) -> list[torch.Tensor]:
        """Send the n-th part to the n-th process; what they sent here has these shapes."""
        sent = torch.cat([part.reshape(-1) for part in parts])
        sizes = [torch.Size(shape).numel() for shape in shapes]
        received = sent.new_empty(sum(sizes))
        dist.all_to_all_single(received, sent, sizes, [part.numel() for part in parts], group=self.group)
        return [part.view(shape) for part, shape in zip(received.split(sizes), shapes, strict=True)]

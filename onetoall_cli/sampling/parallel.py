"""Several processes make one segment: each runs some of the passes of a step, has some of the tokens, or both.

The first process leads (`LedPipeline`), and the others follow it. All of them step the same latents.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist

from onetoall_cli.lattice import TEMPORAL_STRIDE
from onetoall_cli.runtime import processes
from onetoall_cli.runtime.parallel import Parallel
from onetoall_cli.runtime.vae import decode_frames, decode_tile, is_tiled, tiles_of
from onetoall_cli.sampling.guidance import FULL, POSE_ONLY, UNCONDITIONAL, Pass

# Passes with the same reference stay together where there are fewer processes than passes, as they share its features.
_ORDER = (FULL, POSE_ONLY, UNCONDITIONAL)


class PassSharing(Protocol):
    """Which passes of a step this process runs, and how it comes by the others' velocities."""

    def own(self, passes: Sequence[Pass]) -> Sequence[Pass]:
        """Those of `passes` that run here."""

    def all(
        self, passes: Sequence[Pass], own: Mapping[Pass, torch.Tensor], like: torch.Tensor
    ) -> Mapping[Pass, torch.Tensor]:
        """The velocities of all `passes`, from one's own; each has the shape and dtype of `like`."""


class _Alone:
    """All passes run here."""

    def own(self, passes: Sequence[Pass]) -> Sequence[Pass]:
        return passes

    def all(
        self, passes: Sequence[Pass], own: Mapping[Pass, torch.Tensor], like: torch.Tensor
    ) -> Mapping[Pass, torch.Tensor]:
        return own


ALONE: PassSharing = _Alone()


class SharedPasses:
    """Each process of a group runs the same passes at every step, so that step caches find their last values."""

    def __init__(self, group: "dist.ProcessGroup") -> None:
        self._group = group
        self._place, self._count = dist.get_rank(group), dist.get_world_size(group)

    def _owner(self, each: Pass) -> int:
        return min(_ORDER.index(each), self._count - 1)

    def own(self, passes: Sequence[Pass]) -> Sequence[Pass]:
        """As `PassSharing`."""
        return [each for each in passes if self._owner(each) == self._place]

    def all(
        self, passes: Sequence[Pass], own: Mapping[Pass, torch.Tensor], like: torch.Tensor
    ) -> Mapping[Pass, torch.Tensor]:
        """As `PassSharing`: the velocities themselves are sent, so that the result is that of one process."""
        velocities = {}
        for each in passes:
            velocities[each] = own[each].contiguous() if each in own else torch.empty_like(like)
            dist.broadcast(velocities[each], dist.get_global_rank(self._group, self._owner(each)), self._group)
        return velocities


class Team:
    """The processes of a run, which have met.

    Args:
        parallel: How they share a step.

    Attributes:
        parallel: As given.
        sharing: Of this process, for the pipeline.
        token_group: Of this process, for the network.
    """

    def __init__(self, parallel: Parallel) -> None:
        self.parallel = parallel
        numbers = range(parallel.passes * parallel.tokens)
        by_tokens = [[*numbers[first : first + parallel.tokens]] for first in numbers[:: parallel.tokens]]
        by_passes = [[*numbers[first :: parallel.tokens]] for first in numbers[: parallel.tokens]]
        own_tokens, own_passes = (dist.new_subgroups_by_enumeration(groups)[0] for groups in (by_tokens, by_passes))
        self.token_group = own_tokens if parallel.tokens > 1 else None
        self.sharing = SharedPasses(own_passes) if parallel.passes > 1 else ALONE

    def set_up(self, pipeline: Any) -> None:
        """Have a pipeline share its steps."""
        pipeline.sharing = self.sharing
        pipeline.transformer.token_group = self.token_group


class LedPipeline:
    """The first process's pipeline: the others run each call too. Only tiles are decoded by all.

    Args:
        pipeline: An `OneToAllPipeline`.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def encode_subject(self, *arguments: Any) -> Any:
        """As the pipeline's."""
        processes.send_order(("encode_subject", arguments, {}))
        return self._pipeline.encode_subject(*arguments)

    def generate(self, subject: Any, *, callback_on_step_end: Any = None, **options: Any) -> torch.Tensor:
        """As the pipeline's; `subject` is the last that was encoded."""
        processes.send_order(("generate", (), options))
        return self._pipeline.generate(subject, callback_on_step_end=callback_on_step_end, **options)

    def decode(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """As the pipeline's."""
        vae = self._pipeline.vae
        if not is_tiled(vae, latents):
            return self._pipeline.decode(latents)
        processes.send_order(("decode", (latents.cpu(),), {}))
        return decode_frames(vae, latents, share_tiles(vae, latents))


def share_tiles(vae: Any, latents: torch.Tensor) -> list[torch.Tensor]:
    """Decode the tiles of `latents`, every process its share; returns all in the first process, one's own in others."""
    rank, count = dist.get_rank(), dist.get_world_size()
    tiles = tiles_of(vae, latents)
    decoded = {index: decode_tile(vae, tile) for index, tile in enumerate(tiles) if index % count == rank}
    for index, tile in enumerate(tiles):
        owner = index % count
        if owner == rank != 0:
            dist.send(decoded[index].contiguous(), 0)
        elif owner != rank == 0:
            frames = TEMPORAL_STRIDE * (tile.shape[2] - 1) + 1
            sides = (side * vae.spatial_compression_ratio for side in tile.shape[3:])
            decoded[index] = torch.empty(tile.shape[0], 3, frames, *sides, dtype=vae.dtype, device=vae.device)
            dist.recv(decoded[index], owner)
    return [decoded[index] for index in sorted(decoded)]

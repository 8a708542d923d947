"""Rotary position embedding over frame, row and column: tables made once for a segment, applied in float32.

A head's channels have a temporal, a height and a width part (44 + 42 + 42 of 128, as in Wan2.1). A rotation in space
only leaves the temporal part unchanged, as frame index 0 does.
"""

from typing import NamedTuple

import numpy as np
import torch

from onetoall_cli.model.sharding import WHOLE, Sharding

THETA = 10000.0  # Wan2.1


class Rotation(NamedTuple):
    """Factors that rotate the channel pairs (2i, 2i + 1) of every head: see `rotate`.

    Attributes:
        cos: Each cosine twice, float32 (tokens, 1, head dim).
        sin: Each sine as -sin, +sin, likewise.
        sharding: How the sequence is spread whose tokens these are.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    sharding: Sharding = WHOLE

    def part(self, start: int, stop: int) -> "Rotation":
        """The rotation of the tokens from `start` up to `stop`."""
        return Rotation(self.cos[start:stop], self.sin[start:stop], self.sharding)

    def own(self, sharding: Sharding) -> "Rotation":
        """The rotation of this process's tokens."""
        return self._replace(sharding=sharding).part(*sharding.own(len(self.cos)))


class RotaryTables(NamedTuple):
    """The rotations of one segment of `frames` x `height` x `width` tokens (the prefix frame included).

    Attributes:
        full: Rotation of every token by frame, row and column, for self-attention.
        spatial: Rotation of every token by row and column only, for HRFA's query.
        reference: Rotation of one frame's tokens by row and column, for the reference extractor and HRFA's key.
    """

    full: Rotation
    spatial: Rotation
    reference: Rotation

    def own(self, sharding: Sharding) -> "RotaryTables":
        """The tables of this process's tokens; the reference stays whole."""
        return RotaryTables(self.full.own(sharding), self.spatial.own(sharding), self.reference)


def rotary_tables(
    frames: int, height: int, width: int, head_dim: int, device: torch.device | str | None = None
) -> RotaryTables:
    """Make the tables of a segment; sizes are in tokens along each axis.

    The angles are few (positions along an axis times channel pairs), so the CPU computes them in float64. The tables,
    which have a row for each token, are float32.
    """
    spatial_dim = 2 * (head_dim // 6)
    time = _angles(frames, head_dim - 2 * spatial_dim)
    rows, columns = _angles(height, spatial_dim), _angles(width, spatial_dim)
    full = _rotation(time, rows, columns, device)
    spatial = _rotation(np.zeros_like(time), rows, columns, device)
    one_frame = height * width
    return RotaryTables(full, spatial, Rotation(spatial.cos[:one_frame], spatial.sin[:one_frame]))


def rotate(heads: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Rotate the channel pairs of `heads`, float32 (B, tokens, heads, head dim), by the tables of the same tokens."""
    swapped = heads.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(heads * rotation.cos, swapped, rotation.sin)


def _angles(positions: int, dim: int) -> np.ndarray:
    """Angle of each position and channel pair, float64 (positions, dim / 2)."""
    frequencies = THETA ** (-np.arange(0, dim, 2) / dim)
    return np.outer(np.arange(positions), frequencies)


def _rotation(time: np.ndarray, rows: np.ndarray, columns: np.ndarray, device: torch.device | str | None) -> Rotation:
    """Spread the angles along the three axes over all tokens, frame by frame and row by row."""
    cos = _spread(*(np.repeat(np.cos(axis), 2, axis=1) for axis in (time, rows, columns)))
    sin = _spread(*(_signed_pairs(np.sin(axis)) for axis in (time, rows, columns)))
    return Rotation(cos.to(device), sin.to(device))


def _signed_pairs(sine: np.ndarray) -> np.ndarray:
    return np.stack([-sine, sine], axis=-1).reshape(len(sine), -1)


def _spread(time: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    """Combine rows per axis (positions, dim) into a float32 row per token: (frames * height * width, 1, head dim)."""
    grid = (len(time), len(rows), len(columns), -1)
    parts = [
        torch.from_numpy(time[:, None, None].astype(np.float32)).expand(grid),
        torch.from_numpy(rows[None, :, None].astype(np.float32)).expand(grid),
        torch.from_numpy(columns[None, None, :].astype(np.float32)).expand(grid),
    ]
    return torch.cat(parts, dim=-1).flatten(0, 2).unsqueeze(1)

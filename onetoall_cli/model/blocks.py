"""The transformer blocks and their modulation (adaLN-single with a table of six rows per block, as in Wan2.1)."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import nn

from onetoall_cli.model.attention import (
    ReferenceFusionAttention,
    SelfAttention,
    Text,
    TextAttention,
    join,
    pieces,
)
from onetoall_cli.model.rotary import RotaryTables, Rotation

# Tokens in a piece of the feed-forward on a CPU. Its hidden layer is the widest activation of a block; at this size
# matrix products still run at full speed.
CPU_FEED_FORWARD_PIECE = 1024


class Modulation(NamedTuple):
    """The times of the tokens: token ranges, each with its row of time embeddings.

    Without token replace there is one range. With it there are three (prefix, clean context at t = 0, and the rest), so
    that no table per token is needed.

    Attributes:
        embedding: Time embeddings for the output layer, float32 (B, times, width).
        projection: Time embeddings projected for the blocks, float32 (B, times, 6, width).
        ranges: First token, end and index into `times` of each range.
    """

    embedding: torch.Tensor
    projection: torch.Tensor
    ranges: tuple[tuple[int, int, int], ...]

    def part(self, start: int, stop: int) -> "Modulation":
        """The times of the tokens from `start` up to `stop`."""
        cut = ((max(a, start) - start, min(b, stop) - start, time) for a, b, time in self.ranges)
        return self._replace(ranges=tuple((a, b, time) for a, b, time in cut if a < b))


class TimeEmbedding(nn.Module):
    """Embeds the flow time; keys and structure are those of Wan's condition embedder without its text part."""

    def __init__(self, freq_dim: int, width: int) -> None:
        super().__init__()
        self.frequencies = Timesteps(num_channels=freq_dim, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedder = TimestepEmbedding(in_channels=freq_dim, time_embed_dim=width)
        self.time_proj = nn.Linear(width, 6 * width)

    def forward(self, timesteps: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed times, as float32 (B, times, width) and (B, times, 6, width).

        Args:
            timesteps: Times (B, times) on the scale 0..1000.
            dtype: Dtype of the projection; the layers before it run in their weights' dtype (float32).
        """
        frequencies = self.frequencies(timesteps.flatten())
        weight = self.time_embedder.linear_1.weight
        embedding = self.time_embedder(frequencies.to(weight.dtype if weight.is_floating_point() else dtype)).to(dtype)
        projection = self.time_proj(F.silu(embedding))
        shape = timesteps.shape
        return embedding.unflatten(0, shape).float(), projection.unflatten(0, shape).unflatten(-1, (6, -1)).float()


def widened(hidden_states: torch.Tensor) -> torch.Tensor:
    """The input of a norm with float32 factors.

    CPU kernels accept a narrower input and convert it inside; those of other devices need one dtype.
    """
    return hidden_states if hidden_states.device.type == "cpu" else hidden_states.float()


def norm_times(hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, eps: float) -> torch.Tensor:
    """Layer norm of (B, T, C), times 1 + `scale`, plus `shift` (float32 (B, C) each); rounded once at the end."""
    wide = widened(hidden_states)
    width = hidden_states.shape[-1:]
    parts = [
        F.layer_norm(wide[i : i + 1], width, 1 + scale[i], shift[i], eps).to(hidden_states.dtype)
        for i in range(hidden_states.shape[0])
    ]
    return join(parts, dim=0)


def modulated_norm(
    hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, eps: float, modulation: Modulation
) -> torch.Tensor:
    """Layer norm of (B, L, C), with each range of tokens modulated by its time's row of (B, times, C)."""
    parts = []
    for start, stop, time in modulation.ranges:
        for a, b in pieces(start, stop, hidden_states.device, cpu_size=stop - start):
            parts.append(norm_times(hidden_states[:, a:b], shift[:, time], scale[:, time], eps))
    return join(parts)


def add_gated(hidden_states: torch.Tensor, update: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """(B, T, C) plus an update times a gate (float32 (B, C)), computed in float32 and rounded once."""
    return torch.addcmul(hidden_states.float(), update.float(), gate[:, None]).to(hidden_states.dtype)


class WideLayerNorm(nn.Module):
    """Affine layer norm in float32 for any input dtype: the norm before the text attention."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, L, width) to the same."""
        length, parts = hidden_states.shape[1], []
        for a, b in pieces(0, length, hidden_states.device, cpu_size=length):
            wide = widened(hidden_states[:, a:b])
            normalised = F.layer_norm(wide, wide.shape[-1:], self.weight.float(), self.bias.float(), self.eps)
            parts.append(normalised.to(hidden_states.dtype))
        return join(parts)


class _ModulatedBlock(nn.Module):
    """The parts of all blocks: the modulation table and the modulated feed-forward."""

    def __init__(self, width: int, ffn_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.ffn = FeedForward(width, inner_dim=ffn_dim, activation_fn="gelu-approximate")
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, width) / width**0.5)

    def rows(self, modulation: Modulation) -> list[torch.Tensor]:
        """Shift, scale and gate of the attention, then of the feed-forward: six float32 (B, times, C)."""
        return list((self.scale_shift_table.float() + modulation.projection).unbind(dim=2))

    def gated_sum(
        self, hidden_states: torch.Tensor, update: torch.Tensor, gate: torch.Tensor, modulation: Modulation
    ) -> torch.Tensor:
        """`hidden_states` + `gate` * `update`, with each range of tokens gated by its time's row."""
        parts = []
        for start, stop, time in modulation.ranges:
            for a, b in pieces(start, stop, hidden_states.device):
                parts.append(add_gated(hidden_states[:, a:b], update[:, a:b], gate[:, time]))
        return join(parts)

    def feed_forward(
        self,
        hidden_states: torch.Tensor,
        shift: torch.Tensor,
        scale: torch.Tensor,
        gate: torch.Tensor,
        modulation: Modulation,
    ) -> torch.Tensor:
        """The feed-forward with its residual, a piece of the tokens at a time to limit the hidden layer."""
        parts = []
        for start, stop, time in modulation.ranges:
            for a, b in pieces(start, stop, hidden_states.device, CPU_FEED_FORWARD_PIECE):
                piece = hidden_states[:, a:b]
                update = self.ffn(norm_times(piece, shift[:, time], scale[:, time], self.eps))
                parts.append(add_gated(piece, update, gate[:, time]))
        return join(parts)


class PlainBlock(_ModulatedBlock):
    """Self-attention and feed-forward: a block of the reference extractor or of the pose refiner."""

    def __init__(self, heads: int, head_dim: int, ffn_dim: int, eps: float) -> None:
        super().__init__(heads * head_dim, ffn_dim, eps)
        self.self_attention = SelfAttention(heads, head_dim, eps)

    def forward(self, hidden_states: torch.Tensor, modulation: Modulation, rotation: Rotation) -> torch.Tensor:
        """(B, L, width) to the same shape."""
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = self.rows(modulation)
        attended = self.self_attention(modulated_norm(hidden_states, shift, scale, self.eps, modulation), rotation)
        hidden_states = self.gated_sum(hidden_states, attended, gate, modulation)
        return self.feed_forward(hidden_states, ffn_shift, ffn_scale, ffn_gate, modulation)


class DenoiserBlock(_ModulatedBlock):
    """HRFA, text attention and feed-forward; a pose residual is added at the end."""

    def __init__(self, heads: int, head_dim: int, ffn_dim: int, eps: float) -> None:
        super().__init__(heads * head_dim, ffn_dim, eps)
        self.self_attention = ReferenceFusionAttention(heads, head_dim, eps)
        self.text_norm = WideLayerNorm(heads * head_dim, eps)
        self.text_attention = TextAttention(heads, head_dim, eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        modulation: Modulation,
        rotary: RotaryTables,
        reference: torch.Tensor,
        text: Text,
        pose_residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`hidden_states` (B, L, width) to the same shape.

        Args:
            hidden_states: Tokens.
            modulation: Time embeddings of the token ranges.
            rotary: Rotary tables of the segment.
            reference: The block's reference feature, (B, h * w, width).
            text: Keys and values of the block's text attention.
            pose_residual: Added to the block's output, (B, L, width). It is an argument so that step caches, which
                replace blocks, include it.
        """
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = self.rows(modulation)
        normalised = modulated_norm(hidden_states, shift, scale, self.eps, modulation)
        hidden_states = self.gated_sum(
            hidden_states, self.self_attention(normalised, reference, rotary), gate, modulation
        )
        hidden_states = hidden_states + self.text_attention(self.text_norm(hidden_states), text)
        hidden_states = self.feed_forward(hidden_states, ffn_shift, ffn_scale, ffn_gate, modulation)
        return hidden_states if pose_residual is None else hidden_states + pose_residual


def run_block(owner: nn.Module, block: nn.Module, *arguments: Any) -> Any:
    """Run `block`, with gradient checkpointing if `owner` has it enabled."""
    if torch.is_grad_enabled() and owner.gradient_checkpointing:
        return owner._gradient_checkpointing_func(block, *arguments)  # type: ignore[operator]
    return block(*arguments)


# This tells diffusers' step caches (`enable_cache`) that a block takes and returns the hidden states.
TransformerBlockRegistry.register(DenoiserBlock, TransformerBlockMetadata(return_hidden_states_index=0))

"""The network's three attentions: self-attention, self-attention fused with the reference (HRFA), and text attention.

All call diffusers' attention dispatcher, so `set_attention_backend` chooses the kernel. Queries and keys are
RMS-normalised over all heads together and rotated in float32, a piece of the tokens at a time.
"""

import itertools
import math
from typing import NamedTuple

import torch
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import nn

from onetoall_cli.model.rotary import RotaryTables, Rotation, rotate

# Tokens in a piece of element-wise work in float32. On a CPU a piece fits the cache; elsewhere its temporaries are
# small compared with the weights.
CPU_PIECE = 256
DEVICE_PIECE = 4096

# Query rows that are attended at once: their logits fit the second-level caches of a few cores.
ATTENTION_ROWS = 512
FEWEST_BLOCKED_KEYS = 2048  # with fewer, torch's own kernel costs little of a step, and is more exact

# The least number of repeated text rows that are merged: with fewer the added keys cost as much as they save.
MERGE_FROM = 16


def pieces(start: int, stop: int, device: torch.device, cpu_size: int = CPU_PIECE) -> list[tuple[int, int]]:
    """Cut the token range [start, stop) into consecutive ranges; one range under a compiler, which fuses operations."""
    if torch.compiler.is_compiling():
        return [(start, stop)]
    size = cpu_size if device.type == "cpu" else DEVICE_PIECE
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]


def join(parts: list[torch.Tensor], dim: int = 1) -> torch.Tensor:
    """Concatenate tensors; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


class Text(NamedTuple):
    """Keys and values of one block's text attention; constant over a segment.

    Attributes:
        key, value: Keys and values, (B, rows, heads, head dim).
        log_weights: Logarithm of each row's weight, (1, 1, 1, rows); None where all weights are 1.
    """

    key: torch.Tensor
    value: torch.Tensor
    log_weights: torch.Tensor | None


class HeadsNorm(nn.Module):
    """RMS norm over all heads together, then a rotation for each table given. Weight as in Wan's `norm_q`, `norm_k`."""

    def __init__(self, heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(heads * head_dim))

    def forward(self, hidden_states: torch.Tensor, *rotations: Rotation | None) -> tuple[torch.Tensor, ...]:
        """(B, L, heads * head dim) to a tensor (B, L, heads, head dim) for each of `rotations`; None does not rotate.

        The norm is computed once for all of them.
        """
        results: list[list[torch.Tensor]] = [[] for _ in rotations]
        for start, stop in pieces(0, hidden_states.shape[1], hidden_states.device):
            heads = self._normalised(hidden_states[:, start:stop])
            for result, rotation in zip(results, rotations, strict=True):
                turned = heads if rotation is None else rotate(heads, rotation.part(start, stop))
                result.append(turned.to(hidden_states.dtype))
        return tuple(join(result) for result in results)

    def _normalised(self, hidden_states: torch.Tensor) -> torch.Tensor:
        wide = hidden_states.float()
        scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight.float()).unflatten(-1, (self.heads, -1))


class AttentionKernel:
    """Softmax attention by torch's own kernel, or by that of diffusers' `set_attention_backend`."""

    _attention_backend = AttentionBackendName.NATIVE

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        log_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Softmax attention.

        Args:
            query: Queries (B, L, heads, head dim).
            key, value: Keys and values (B, K, heads, head dim).
            log_weights: Added to the logits, broadcastable to (B, heads, L, K). Most fused kernels have no such term,
                so torch's own attention runs; it is used where keys are few.

        Returns:
            Attended values (B, L, width).
        """
        heads = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=log_weights,
            backend=self._attention_backend if log_weights is None else AttentionBackendName.NATIVE,
        )
        return heads.flatten(2, 3).type_as(query)


class BlockedAttention(AttentionKernel):
    """Softmax attention as matrix products over blocks of query rows, one head at a time.

    Logits and weights are rounded to the query's dtype, where torch's own kernel keeps them in float32. On CPUs whose
    bfloat16 instructions only matrix products use well, it is one and a half to three times as fast. With fewer than
    `FEWEST_BLOCKED_KEYS` keys, or with `log_weights`, torch's own runs.
    """

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        log_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """As `AttentionKernel`."""
        if log_weights is not None or key.shape[1] < FEWEST_BLOCKED_KEYS:
            return super().__call__(query, key, value, log_weights)
        attended = torch.empty_like(query, memory_format=torch.contiguous_format)
        for sample, head in itertools.product(range(query.shape[0]), range(query.shape[2])):
            keys, values = centred(key[sample, :, head]).T, value[sample, :, head].contiguous()
            self._attend_head(query[sample, :, head], keys, values, attended[sample, :, head])
        return attended.flatten(2, 3)

    @staticmethod
    def _attend_head(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, attended: torch.Tensor) -> None:
        """Queries (L, head dim), keys (head dim, K) and values (K, head dim) to `attended` (L, head dim)."""
        scale, nothing = query.shape[1] ** -0.5, query.new_zeros(1)
        for rows, result in zip(query.split(ATTENTION_ROWS), attended.split(ATTENTION_ROWS), strict=True):
            logits = torch.addmm(nothing, rows, keys, beta=0, alpha=scale)
            result.copy_(torch.softmax(logits, dim=-1) @ values)


def centred(keys: torch.Tensor) -> torch.Tensor:
    """Keys (K, head dim) without their mean, which changes no weight and makes logits smaller, so less is rounded."""
    wide = keys.float()
    return (wide - wide.mean(dim=0)).to(keys.dtype)


class _Attention(nn.Module, AttentionModuleMixin):
    """The parts of all attentions: query, output, and the kernel as `processor`, where diffusers expects it."""

    _default_processor_cls = AttentionKernel  # type: ignore[assignment]
    _supports_qkv_fusion = False
    processor: AttentionKernel  # type: ignore[assignment]

    def __init__(self, heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)
        self.norm_q = HeadsNorm(heads, head_dim, eps)
        self.processor = AttentionKernel()


class SelfAttention(_Attention):
    """Self-attention with rotary positions, of extractor and pose-refinement blocks."""

    def __init__(self, heads: int, head_dim: int, eps: float) -> None:
        super().__init__(heads, head_dim, eps)
        width = heads * head_dim
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.norm_k = HeadsNorm(heads, head_dim, eps)

    def forward(self, hidden_states: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """(B, L, width) to the same shape."""
        (query,) = self.norm_q(self.to_q(hidden_states), rotation)
        (key,) = self.norm_k(self.to_k(hidden_states), rotation)
        value = self.to_v(hidden_states).unflatten(-1, (self.heads, -1))
        return self.to_out(rotation.sharding.attend(self.processor, query, key, value))


class ReferenceFusionAttention(_Attention):
    """HRFA: self-attention plus attention to a reference feature, added before the shared output projection.

    The second attention reuses the block's normalised query, rotated by row and column only, so that all frames are
    equally near to the reference (paper, equation of z'_fusion).
    """

    def __init__(self, heads: int, head_dim: int, eps: float) -> None:
        super().__init__(heads, head_dim, eps)
        width = heads * head_dim
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.norm_k = HeadsNorm(heads, head_dim, eps)
        self.to_reference_k = nn.Linear(width, width)
        self.to_reference_v = nn.Linear(width, width)
        self.norm_reference_k = HeadsNorm(heads, head_dim, eps)

    def forward(self, hidden_states: torch.Tensor, reference: torch.Tensor, rotary: RotaryTables) -> torch.Tensor:
        """Fuse `hidden_states` (B, L, width) with a reference feature (B, h * w, width); returns (B, L, width)."""
        query, spatial_query = self.norm_q(self.to_q(hidden_states), rotary.full, rotary.spatial)
        (key,) = self.norm_k(self.to_k(hidden_states), rotary.full)
        value = self.to_v(hidden_states).unflatten(-1, (self.heads, -1))
        attended = rotary.full.sharding.attend(self.processor, query, key, value)
        del query, key, value
        (reference_key,) = self.norm_reference_k(self.to_reference_k(reference), rotary.reference)
        reference_value = self.to_reference_v(reference).unflatten(-1, (self.heads, -1))
        return self.to_out(attended + self.processor(spatial_query, reference_key, reference_value))


class TextAttention(_Attention):
    """Attention to the text. `TextKeys` computes its keys and values once for a segment."""

    def forward(self, hidden_states: torch.Tensor, text: Text) -> torch.Tensor:
        """(B, L, width) to the same shape."""
        (query,) = self.norm_q(self.to_q(hidden_states), None)
        return self.to_out(self.processor(query, *text))


class TextKeys(nn.Module):
    """Keys and values of one block's text attention, from the embedded text.

    A module of its own, so that blocks contain only what runs at every step.
    """

    def __init__(self, heads: int, head_dim: int, eps: float) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.norm_k = HeadsNorm(heads, head_dim, eps)

    def forward(self, text: torch.Tensor, log_weights: torch.Tensor | None) -> Text:
        """Embedded text (B, rows, width) to keys and values."""
        (key,) = self.norm_k(self.to_k(text), None)
        return Text(key, self.to_v(text).unflatten(-1, (self.heads, -1)), log_weights)


def merge_repeated_rows(text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Replace the identical rows at the end of `text` (B, L, C) by a few weighted rows; exact.

    UMT5's 512 rows are zero after the prompt's end, and they take part in the attention (no mask). c identical keys
    equal one key whose logit is larger by log(c).

    Returns:
        The rows (B, K, C), and their log weights (1, 1, 1, K) in the same dtype, or None where nothing was merged.
    """
    differs = (text != text[:, -1:]).any(dim=-1).any(dim=0)  # (L,)
    kept = int(differs.nonzero().max()) + 1 if bool(differs.any()) else 0
    repeated = text.shape[1] - kept
    if repeated < MERGE_FROM:
        return text, None
    log_weights = representable_log_weights(repeated)
    rows = torch.cat([text[:, :kept], text[:, -1:].expand(-1, len(log_weights), -1)], dim=1)
    weights = torch.tensor([0.0] * kept + log_weights, dtype=text.dtype, device=text.device)
    return rows, weights.view(1, 1, 1, -1)


def representable_log_weights(count: int) -> list[float]:
    """Multiples of 1/16 whose exponentials sum to `count`, up to a relative error of 1e-7.

    Kernels need the term in the query's dtype. Multiples of 1/16 are exact in bfloat16, log(count) is not. Each is the
    largest that fits the remainder, so that a few suffice.
    """
    logs: list[float] = []
    rest = float(count)
    while rest > 1e-7 * count:
        logs.append(math.floor(math.log(rest) * 16) / 16)
        rest -= math.exp(logs[-1])
    return logs

"""A plain implementation of the network on the same weights, to compare ours with.

Each pass computes everything again (pose encoder, prefix, extractor, text keys and values, rotary tables). All 512 text
rows are keys. Rotation uses complex128 and attention float32. Modulation under token replace is a table with a row for
each token. The pass without a pose runs the pose branch on black frames. The rest is in the same dtype as ours.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from onetoall_cli.model import OneToAllTransformer3DModel

THETA = 10000.0  # Wan2.1


class PlainNetwork:
    """Runs a network's modules in the plain way.

    Args:
        network: The network, which is not changed.
        attention_dtype: Dtype of queries, keys and values.
    """

    def __init__(self, network: OneToAllTransformer3DModel, attention_dtype: torch.dtype = torch.float32) -> None:
        self.network = network
        self.attention_dtype = attention_dtype

    @torch.no_grad()
    def __call__(
        self,
        hidden_states: torch.Tensor,
        timestep: float,
        encoder_hidden_states: torch.Tensor,
        reference_latents: torch.Tensor,
        pose_video: torch.Tensor,
        reference_pose: torch.Tensor,
        pose_scale: float = 1.0,
        num_context_frames: int = 0,
    ) -> torch.Tensor:
        """The velocity (1, 16, n, h, w), with the arguments of `OneToAllTransformer3DModel.forward`."""
        network: Any = self.network
        prefix = network.prefix_encoder(reference_latents)
        latents = torch.cat([prefix, hidden_states], dim=2)
        frames, rows, columns = latents.shape[2], latents.shape[3] // 2, latents.shape[4] // 2
        tokens = network.patch_embedding(latents).flatten(2).transpose(1, 2)  # (1, L, width)
        head_dim = network.config["attention_head_dim"]
        full = complex_rotary(head_dim, frames, rows, columns, tokens.device)
        still = complex_rotary(head_dim, frames, rows, columns, tokens.device, in_space_only=True)
        one_frame = rows * columns

        times = torch.full((1, tokens.shape[1] if num_context_frames else 1), float(timestep), device=tokens.device)
        times[:, one_frame : one_frame * (1 + num_context_frames)] = 0.0
        embedding, modulation = network.time_embedding(times, tokens.dtype)  # (1, L or 1, width), (1, L or 1, 6, width)
        features = self._reference_features(reference_latents, timestep, still[:one_frame])
        pose = torch.cat([self._encode_pose(reference_pose), self._encode_pose(pose_video)], dim=2)
        pose = pose.flatten(2).transpose(1, 2)
        text = network.text_embedding(encoder_hidden_states)

        residuals: list[torch.Tensor] = []
        per_feature = -(-len(network.blocks) // len(features))
        for index, block in enumerate(network.blocks):
            tokens = self._denoiser_block(
                block, network.text_keys[index], tokens, modulation, full, still, features[index // per_feature], text
            )
            if 1 <= index <= len(residuals):
                tokens = tokens + residuals[index - 1]
            if index == 0:
                refined = tokens + pose
                for each, project in zip(network.pose_refiner.blocks, network.pose_refiner.projections, strict=True):
                    refined = self._plain_block(each, refined, modulation, full)
                    residuals.append(project(refined) * pose_scale)
        head = network.output_head
        shift, scale = (head.scale_shift_table.float()[:, None] + embedding.unsqueeze(2)).unbind(dim=2)
        patches = head.projection(_modulated(tokens, shift, scale, head.eps))
        return network._unpatchify(patches[:, one_frame:], [frames, rows, columns])

    def _reference_features(self, latents: torch.Tensor, timestep: float, rotary: torch.Tensor) -> list[torch.Tensor]:
        extractor: Any = self.network.reference_extractor
        tokens = extractor.patch_embedding(latents).flatten(2).transpose(1, 2)
        time = torch.full((1, 1), float(timestep), device=tokens.device)
        _, modulation = extractor.time_embedding(time, tokens.dtype)
        features = [extractor.projections[0](tokens)]
        for block, project in zip(extractor.blocks, list(extractor.projections)[1:], strict=True):
            tokens = self._plain_block(block, tokens, modulation, rotary)
            features.append(project(tokens))
        return features

    def _encode_pose(self, video: torch.Tensor) -> torch.Tensor:
        """(1, 3, T, H, W) to (1, width, n, H/16, W/16), the whole video at once."""
        encoder: Any = self.network.pose_encoder
        hidden = _causal(encoder.conv_in, video)
        for stage in encoder.stages:
            update = _causal(stage.conv1, F.silu(_group_norm(stage.norm1, hidden)))
            update = _causal(stage.conv2, F.silu(_group_norm(stage.norm2, update)))
            hidden = _causal(stage.downsample, hidden + update)
        return _causal(encoder.conv_out, hidden)

    def _denoiser_block(
        self,
        block: Any,
        text_keys: Any,
        tokens: torch.Tensor,
        modulation: torch.Tensor,
        full: torch.Tensor,
        still: torch.Tensor,
        feature: torch.Tensor,
        text: torch.Tensor,
    ) -> torch.Tensor:
        shift, scale, gate, *rest = _rows(block, modulation)
        attention = block.self_attention
        query, key, value = _projected(attention, _modulated(tokens, shift, scale, block.eps))
        attended = self._attend(attention.heads, query, key, value, full, full)
        reference_key = _normed(attention.norm_reference_k, attention.to_reference_k(feature))
        reference_value = attention.to_reference_v(feature)
        attended = attended + self._attend(
            attention.heads, query, reference_key, reference_value, still, still[: feature.shape[1]]
        )
        tokens = (tokens.float() + attention.to_out(attended).float() * gate).type_as(tokens)
        norm, attention = block.text_norm, block.text_attention
        hidden = F.layer_norm(tokens.float(), tokens.shape[-1:], norm.weight.float(), norm.bias.float(), norm.eps)
        query = _normed(attention.norm_q, attention.to_q(hidden.type_as(tokens)))
        key = _normed(text_keys.norm_k, text_keys.to_k(text))
        attended = self._attend(attention.heads, query, key, text_keys.to_v(text), None, None)
        return self._feed_forward(block, tokens + attention.to_out(attended), *rest)

    def _plain_block(
        self, block: Any, tokens: torch.Tensor, modulation: torch.Tensor, rotary: torch.Tensor
    ) -> torch.Tensor:
        shift, scale, gate, *rest = _rows(block, modulation)
        attention = block.self_attention
        query, key, value = _projected(attention, _modulated(tokens, shift, scale, block.eps))
        attended = self._attend(attention.heads, query, key, value, rotary, rotary)
        tokens = (tokens.float() + attention.to_out(attended).float() * gate).type_as(tokens)
        return self._feed_forward(block, tokens, *rest)

    def _feed_forward(
        self, block: Any, tokens: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, gate: torch.Tensor
    ) -> torch.Tensor:
        update = block.ffn(_modulated(tokens, shift, scale, block.eps))
        return (tokens.float() + update.float() * gate).type_as(tokens)

    def _attend(
        self,
        heads: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        query_rotary: torch.Tensor | None,
        key_rotary: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attention of (1, L, width) to (1, K, width)."""
        split = [each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (query, key, value)]  # (1, heads, L, dim)
        if query_rotary is not None and key_rotary is not None:
            split[:2] = _rotated(split[0], query_rotary), _rotated(split[1], key_rotary)
        attended = F.scaled_dot_product_attention(*(each.to(self.attention_dtype) for each in split))
        return attended.transpose(1, 2).flatten(2).type_as(query)


def complex_rotary(
    head_dim: int,
    frames: int,
    rows: int,
    columns: int,
    device: torch.device,
    *,
    in_space_only: bool = False,
) -> torch.Tensor:
    """Unit complex numbers that rotate the channel pairs of every token, complex128 (tokens, dim / 2)."""
    spatial = 2 * (head_dim // 6)
    parts = []
    for axis, (size, dim) in enumerate(((frames, head_dim - 2 * spatial), (rows, spatial), (columns, spatial))):
        frequencies = THETA ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        positions = torch.zeros(size) if in_space_only and axis == 0 else torch.arange(size)
        angles = torch.outer(positions.double(), frequencies)
        shape = [size if index == axis else 1 for index in range(3)]
        parts.append(angles.view(*shape, -1).expand(frames, rows, columns, -1))
    angles = torch.cat(parts, dim=-1).flatten(0, 2)
    return torch.polar(torch.ones_like(angles), angles).to(device)


def _rotated(heads: torch.Tensor, rotary: torch.Tensor) -> torch.Tensor:
    pairs = torch.view_as_complex(heads.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotary).flatten(-2).type_as(heads)


def _normed(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    """RMS norm over all heads together, in float32."""
    wide = hidden.float()
    scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + norm.eps)
    return (wide * scale * norm.weight.float()).type_as(hidden)


def _projected(attention: Any, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, key and value of self-attention, (1, L, width) each."""
    query = _normed(attention.norm_q, attention.to_q(hidden))
    return query, _normed(attention.norm_k, attention.to_k(hidden)), attention.to_v(hidden)


def _rows(block: Any, modulation: torch.Tensor) -> list[torch.Tensor]:
    return list((block.scale_shift_table.float()[:, None] + modulation).unbind(dim=2))


def _modulated(tokens: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, eps: float) -> torch.Tensor:
    normed = F.layer_norm(tokens.float(), tokens.shape[-1:], eps=eps)
    return (normed * (1 + scale) + shift).type_as(tokens)


def _group_norm(norm: nn.GroupNorm, video: torch.Tensor) -> torch.Tensor:
    return F.group_norm(video.float(), norm.num_groups, norm.weight.float(), norm.bias.float(), norm.eps).type_as(video)


def _causal(conv: nn.Conv3d, video: torch.Tensor) -> torch.Tensor:
    return conv(F.pad(video, (1, 1, 1, 1, 2, 0), mode="replicate"))

"""The One-to-All network: a Wan2.1 video transformer guided by a reference picture and a pose video.

Read `_denoise` first: it is one step. Values that do not change between steps are prepared once for a segment.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import PixArtAlphaTextProjection
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn

from onetoall_cli.model.attention import Text, TextKeys, merge_repeated_rows
from onetoall_cli.model.blocks import (
    DenoiserBlock,
    Modulation,
    PlainBlock,
    TimeEmbedding,
    modulated_norm,
    run_block,
)
from onetoall_cli.model.pose import PoseEncoder, PoseRefiner
from onetoall_cli.model.prepared import Prepared
from onetoall_cli.model.published import KeyMapping, key_mapping, load_published
from onetoall_cli.model.reference import PrefixEncoder, ReferenceExtractor
from onetoall_cli.model.rotary import RotaryTables, rotary_tables
from onetoall_cli.model.sharding import WHOLE, TokenShards

PREFIX_STAGES = 3  # released prefix encoder

REPEATED_BLOCKS = [DenoiserBlock.__name__, PlainBlock.__name__]
# Parts of the names of small and sensitive parameters, as in diffusers' Wan model.
KEPT_IN_FLOAT32 = ["time_embedder", "scale_shift_table", "text_norm", "norm1", "norm2"]


class OutputHead(nn.Module):
    """Modulated norm and projection from tokens to latent patches."""

    def __init__(self, width: int, out_features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, width) / width**0.5)
        self.projection = nn.Linear(width, out_features)

    def forward(self, hidden_states: torch.Tensor, modulation: Modulation) -> torch.Tensor:
        """(B, L, width) to (B, L, out_features)."""
        shift, scale = (self.scale_shift_table.float()[:, None] + modulation.embedding.unsqueeze(2)).unbind(dim=2)
        return self.projection(modulated_norm(hidden_states, shift, scale, self.eps, modulation))


class OneToAllTransformer3DModel(  # type: ignore[misc]
    ModelMixin, ConfigMixin, PeftAdapterMixin, CacheMixin, AttentionMixin
):
    """Predicts the flow velocity of video latents from a reference picture, a pose video and a text.

    In the shapes below, B is the batch, n the segment's latent frames, h x w the latent size (pixels / 8) and
    T = 4 (n - 1) + 1 its frames.

    Args:
        patch_size: Latent frames (always 1), rows and columns per token.
        num_attention_heads, attention_head_dim: Their product is the width of every block.
        in_channels, out_channels: Latent channels; the reference has twice `in_channels` (picture and mask).
        text_dim: Channels of the text encoder's output.
        freq_dim: Sinusoidal channels of the time embedding.
        ffn_dim: Hidden width of the feed-forwards.
        num_layers: Denoiser blocks (N).
        num_reference_layers: Reference extractor blocks (M).
        num_pose_layers: Pose refinement blocks; fewer than `num_layers`.
        eps: Epsilon of all norms of the transformer blocks.
        pose_channels, prefix_channels: Widths of the two convolutional encoders.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = REPEATED_BLOCKS  # type: ignore[assignment]
    _repeated_blocks: ClassVar = REPEATED_BLOCKS
    _keep_in_fp32_modules: ClassVar = KEPT_IN_FLOAT32  # type: ignore[assignment]
    _skip_layerwise_casting_patterns = ("patch_embedding", "time_embedding", "text_embedding", "norm")  # type: ignore
    # Modules that run outside `forward`, once for a segment or step; the others are loaded when `forward` starts.
    _group_offload_block_modules = (
        "text_embedding",
        "prefix_encoder",
        "pose_encoder",
        "reference_extractor",
        "pose_refiner",
    )

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 12,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 8960,
        num_layers: int = 30,
        num_reference_layers: int = 14,
        num_pose_layers: int = 2,
        eps: float = 1e-6,
        pose_channels: int = 16,
        prefix_channels: int = 16,
    ) -> None:
        super().__init__()
        if patch_size[0] != 1:
            raise ValueError(f"A token spans one latent frame, so patch_size cannot be {tuple(patch_size)}.")
        if num_pose_layers >= num_layers:
            raise ValueError(f"{num_pose_layers} pose layers need more than {num_layers} denoiser layers to feed.")
        heads, head_dim = num_attention_heads, attention_head_dim
        width = heads * head_dim
        reference_channels = 2 * in_channels

        self.patch_embedding = nn.Conv3d(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.time_embedding = TimeEmbedding(freq_dim, width)
        self.text_embedding = PixArtAlphaTextProjection(text_dim, width, act_fn="gelu_tanh")
        self.text_keys = nn.ModuleList([TextKeys(heads, head_dim, eps) for _ in range(num_layers)])
        self.prefix_encoder = PrefixEncoder(reference_channels, in_channels, prefix_channels, PREFIX_STAGES)
        self.reference_extractor = ReferenceExtractor(
            reference_channels, heads, head_dim, ffn_dim, freq_dim, patch_size, num_reference_layers, eps
        )
        self.pose_encoder = PoseEncoder(pose_channels, width)
        self.pose_refiner = PoseRefiner(heads, head_dim, ffn_dim, num_pose_layers, eps)
        self.blocks = nn.ModuleList([DenoiserBlock(heads, head_dim, ffn_dim, eps) for _ in range(num_layers)])
        self.output_head = OutputHead(width, out_channels * math.prod(patch_size), eps)
        self.gradient_checkpointing = False
        self.token_group: dist.ProcessGroup | None = None  # the processes that share a pass's tokens

    # ---- once per segment -------------------------------------------------------------------------------------

    @apply_forward_hook
    def encode_text(self, encoder_hidden_states: torch.Tensor) -> tuple[Text, ...]:
        """Text embeddings (B, rows, text_dim), padded or not, to every block's text keys and values.

        Identical rows at the end (the padding) are merged into a few with the same total weight, which is exact.
        """
        rows, log_weights = merge_repeated_rows(encoder_hidden_states)
        embedded = self.text_embedding(rows)
        return tuple(keys(embedded, log_weights) for keys in self.text_keys)

    @apply_forward_hook
    def encode_prefix(self, reference_latents: torch.Tensor) -> torch.Tensor:
        """Reference latents (B, 2 * in_channels, 1, h, w) to the prefix frame (B, in_channels, 1, h, w)."""
        return self.prefix_encoder(reference_latents)

    @apply_forward_hook
    def encode_pose(self, pose_video: torch.Tensor, reference_pose: torch.Tensor) -> torch.Tensor:
        """Drawn poses to pose tokens (B, (n + 1) * h/2 * w/2, width), the reference's first.

        Args:
            pose_video: Driving poses, (B, 3, T, H, W) in [-1, 1].
            reference_pose: The reference's pose, (B, 3, 1, H, W) in [-1, 1].
        """
        features = torch.cat([self.pose_encoder(reference_pose), self.pose_encoder(pose_video)], dim=2)
        return features.flatten(2).transpose(1, 2).contiguous()

    def rotary_tables(self, n: int, h: int, w: int, device: torch.device | str | None = None) -> RotaryTables:
        """Rotary tables for n latent frames, the prefix included, of h x w latent pixels."""
        frames, rows, columns = (
            size // patch for size, patch in zip((n, h, w), self.config["patch_size"], strict=True)
        )
        return rotary_tables(frames, rows, columns, self.config["attention_head_dim"], device or self.device)

    # ---- once per step and reference ---------------------------------------------------------------------------

    @apply_forward_hook
    def extract_reference(
        self, reference_latents: torch.Tensor, timestep: torch.Tensor | float, rotary: RotaryTables
    ) -> tuple[torch.Tensor, ...]:
        """Reference latents (B, 2 * in_channels, 1, h, w) at a time to M + 1 features (B, h/2 * w/2, width)."""
        timestep = _per_sample(timestep, reference_latents)
        return self.reference_extractor(reference_latents, timestep, rotary.reference)

    # ---- once per step and pass --------------------------------------------------------------------------------

    def denoise(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor | float,
        *,
        text: tuple[Text, ...],
        reference_features: tuple[torch.Tensor, ...],
        prefix: torch.Tensor,
        rotary: RotaryTables,
        pose: torch.Tensor | None = None,
        pose_scale: float = 1.0,
        num_context_frames: int = 0,
    ) -> torch.Tensor:
        """`forward` with prepared values; latents (B, in_channels, n, h, w) to velocities of the same size."""
        prepared = Prepared(text, reference_features, prefix, rotary, pose)
        return self(
            hidden_states,
            timestep,
            pose_scale=pose_scale,
            num_context_frames=num_context_frames,
            return_dict=False,
            prepared=prepared,
        )[0]

    def forward(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | None = None,
        reference_latents: torch.Tensor | None = None,
        pose_video: torch.Tensor | None = None,
        reference_pose: torch.Tensor | None = None,
        pose_scale: float = 1.0,
        num_context_frames: int = 0,
        return_dict: bool = True,
        prepared: Prepared | None = None,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        """Predict the velocity of the noisy latents.

        Args:
            hidden_states: Noisy latents, (B, in_channels, n, h, w).
            timestep: Flow time on the scale 0..1000, one number or (B,).
            encoder_hidden_states: Text embeddings, (B, rows, text_dim).
            reference_latents: Latents of the reference picture and of its mask, (B, 2 * in_channels, 1, h, w).
            pose_video: Driving poses, (B, 3, T, 8 h, 8 w) in [-1, 1]; not needed if `pose_scale` is 0.
            reference_pose: The reference's pose, (B, 3, 1, 8 h, 8 w) in [-1, 1].
            pose_scale: Weight of the pose branch; at 0 it does not run.
            num_context_frames: Latent frames at the start that are clean context, at t = 0 (token replace).
            return_dict: Whether to return an object with `.sample` instead of a tuple.
            prepared: Replaces the four conditions above; the sampler prepares them once (see `denoise`).

        Returns:
            The velocity (B, out_channels, n, h, w), as `.sample` or as a tuple of one.
        """
        if prepared is None:
            pose_inputs = (pose_video, reference_pose) if pose_scale != 0 else None
            prepared = self._prepare(hidden_states, timestep, encoder_hidden_states, reference_latents, pose_inputs)
        velocity = self._denoise(hidden_states, timestep, prepared, pose_scale, num_context_frames)
        return Transformer2DModelOutput(sample=velocity) if return_dict else (velocity,)

    def _prepare(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor | None,
        reference_latents: torch.Tensor | None,
        pose_inputs: tuple[torch.Tensor | None, torch.Tensor | None] | None,
    ) -> Prepared:
        """Prepare the inputs of a pass."""
        if encoder_hidden_states is None or reference_latents is None:
            raise ValueError("forward needs encoder_hidden_states and reference_latents, or prepared values.")
        pose = None
        if pose_inputs is not None:
            pose_video, reference_pose = pose_inputs
            if pose_video is None or reference_pose is None:
                raise ValueError("forward needs pose_video and reference_pose unless pose_scale is 0.")
            pose = self.encode_pose(pose_video, reference_pose)
        _, _, n, h, w = hidden_states.shape
        rotary = self.rotary_tables(n + 1, h, w, hidden_states.device)
        return Prepared(
            text=self.encode_text(encoder_hidden_states),
            reference_features=self.extract_reference(reference_latents, timestep, rotary),
            prefix=self.encode_prefix(reference_latents),
            rotary=rotary,
            pose=pose,
        )

    def _denoise(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor | float,
        prepared: Prepared,
        pose_scale: float,
        num_context_frames: int,
    ) -> torch.Tensor:
        """One pass of one step. Latents (B, in_channels, n, h, w) to velocities (B, out_channels, n, h, w)."""
        text, features, prefix, rotary, pose = prepared
        latents = torch.cat([prefix, hidden_states], dim=2)  # (B, C, n + 1, h, w)
        grid = [size // patch for size, patch in zip(latents.shape[2:], self.config["patch_size"], strict=True)]
        _check_size(latents, self.config["patch_size"], num_context_frames)
        prepared.check_fit(grid)
        tokens = self.patch_embedding(latents).flatten(2).transpose(1, 2).contiguous()  # (B, L, width)
        modulation = self._modulation(_per_sample(timestep, tokens), tokens, grid, num_context_frames)

        length = tokens.shape[1]
        sharding = WHOLE if self.token_group is None else TokenShards(self.token_group, length)
        start, stop = sharding.own(length)
        tokens, modulation, rotary = tokens[:, start:stop], modulation.part(start, stop), rotary.own(sharding)
        pose = None if pose is None else pose[:, start:stop]

        residuals: tuple[torch.Tensor, ...] = ()
        blocks_per_feature = math.ceil(len(self.blocks) / len(features))
        for index, block in enumerate(self.blocks):
            residual = residuals[index - 1] if 1 <= index <= len(residuals) else None
            feature = features[index // blocks_per_feature]
            tokens = run_block(self, block, tokens, modulation, rotary, feature, text[index], residual)
            if index == 0 and pose is not None and pose_scale != 0:
                residuals = self.pose_refiner(tokens + pose, modulation, rotary.full, pose_scale)

        one_frame = grid[1] * grid[2]
        patches = sharding.joined(self.output_head(tokens, modulation))
        return self._unpatchify(patches[:, one_frame:], grid)  # the prefix frame's output is dropped

    def _modulation(
        self, timestep: torch.Tensor, tokens: torch.Tensor, grid: list[int], num_context_frames: int
    ) -> Modulation:
        """Time embeddings (B,) for the token ranges; context frames, after the prefix, are at t = 0."""
        end, frame = tokens.shape[1], grid[1] * grid[2]
        if num_context_frames == 0:
            embedding, projection = self.time_embedding(timestep[:, None], tokens.dtype)
            return Modulation(embedding, projection, ((0, end, 0),))
        times = torch.stack([timestep, torch.zeros_like(timestep)], dim=1)
        embedding, projection = self.time_embedding(times, tokens.dtype)
        context_end = frame * (1 + num_context_frames)
        ranges = ((0, frame, 0), (frame, context_end, 1), (context_end, end, 0))
        return Modulation(embedding, projection, ranges)

    def _unpatchify(self, patches: torch.Tensor, grid: list[int]) -> torch.Tensor:
        """Tokens (B, n * rows * columns, patch * out_channels) to latents (B, out_channels, n, h, w)."""
        frames, rows, columns = grid[0] - 1, grid[1], grid[2]
        p_t, p_h, p_w = self.config["patch_size"]
        patches = patches.unflatten(1, (frames, rows, columns)).unflatten(-1, (p_t, p_h, p_w, -1))
        return patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    # ---- weights -----------------------------------------------------------------------------------------------

    def published_key_mapping(self) -> KeyMapping:
        """Mapping of this network's tensor names to those of the released checkpoints and back."""
        return key_mapping(self.state_dict())

    @classmethod
    def from_published(
        cls,
        source: Mapping[str, torch.Tensor] | str | Path,
        *,
        torch_dtype: torch.dtype | None = None,
        **config: Any,
    ) -> "OneToAllTransformer3DModel":
        """Build the network from released weights; every tensor must be present, with its shape, and no others.

        Args:
            source: A state dict, a safetensors file, or a folder of shards with or without an index.
            torch_dtype: Dtype of the weights; None keeps the stored one. Modulation tables, norms and the time
                embedding are always float32.
            config: The constructor's arguments, such as `CONFIG_1_3B`.

        Raises:
            CheckpointMismatch: Tensors are missing, unexpected or of another shape; the message names them.
            CheckpointUnreadable: A file is missing or damaged; the message names it.
        """
        with torch.device("meta"):
            model = cls(**config)

        def dtype_of(name: str, stored: torch.dtype) -> torch.dtype:
            wide = any(part in KEPT_IN_FLOAT32 for part in name.split("."))
            return torch.float32 if wide else torch_dtype or stored

        load_published(model, source, dtype_of)
        return model.eval()


def _per_sample(timestep: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """A time, one number or (B,), as float32 (B,) on the device of `like` (B, ...)."""
    timestep = torch.as_tensor(timestep, dtype=torch.float32, device=like.device)
    return timestep.expand(like.shape[0])


def _check_size(latents: torch.Tensor, patch_size: tuple[int, int, int], num_context_frames: int) -> None:
    """Raise ValueError for latents (with the prefix) that do not fit the patches, or are all context."""
    frames, h, w = latents.shape[2:]
    if h % patch_size[1] or w % patch_size[2]:
        raise ValueError(f"Latents of {h} x {w} cannot be cut into patches of {patch_size[1]} x {patch_size[2]}.")
    if not 0 <= num_context_frames < frames - 1:
        raise ValueError(f"{num_context_frames} context frames of {frames - 1} latent frames leave none to generate.")

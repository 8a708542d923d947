"""Encoders of the reference picture: features for the denoiser's blocks (extractor), and a latent frame (prefix)."""

import torch
import torch.nn.functional as F
from torch import nn

from onetoall_cli.model.blocks import Modulation, PlainBlock, TimeEmbedding, run_block
from onetoall_cli.model.group_norm import WideGroupNorm
from onetoall_cli.model.rotary import Rotation

NORM_GROUPS = 4  # released prefix and pose encoders
NORM_EPS = 1e-6


class ReferenceExtractor(nn.Module):
    """A transformer that turns the reference latents into a feature for each group of denoiser blocks."""

    def __init__(
        self,
        in_channels: int,
        heads: int,
        head_dim: int,
        ffn_dim: int,
        freq_dim: int,
        patch_size: tuple[int, int, int],
        num_layers: int,
        eps: float,
    ) -> None:
        super().__init__()
        width = heads * head_dim
        self.patch_embedding = nn.Conv3d(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.time_embedding = TimeEmbedding(freq_dim, width)
        self.blocks = nn.ModuleList([PlainBlock(heads, head_dim, ffn_dim, eps) for _ in range(num_layers)])
        self.projections = nn.ModuleList([zero_linear(width) for _ in range(num_layers + 1)])
        self.gradient_checkpointing = False

    def forward(
        self, reference_latents: torch.Tensor, timestep: torch.Tensor, rotation: Rotation
    ) -> tuple[torch.Tensor, ...]:
        """Latents (B, in_channels, 1, h, w) at times (B,) to num_layers + 1 features (B, h/2 * w/2, width).

        The features are the inputs of all blocks and the last one's output, each through a linear layer of its own.
        """
        tokens = self.patch_embedding(reference_latents).flatten(2).transpose(1, 2).contiguous()
        embedding, projection = self.time_embedding(timestep[:, None], tokens.dtype)
        modulation = Modulation(embedding, projection, ((0, tokens.shape[1], 0),))
        features = [self.projections[0](tokens)]
        for block, project in zip(self.blocks, list(self.projections)[1:], strict=True):
            tokens = run_block(self, block, tokens, modulation, rotation)
            features.append(project(tokens))
        return tuple(features)


class PrefixEncoder(nn.Module):
    """A small residual convolutional network: reference latents to the latent frame in front of the noisy ones."""

    def __init__(self, in_channels: int, out_channels: int, channels: int, num_stages: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.stages = nn.ModuleList([_ResidualStage(channels) for _ in range(num_stages)])
        self.conv_out = nn.Conv2d(channels, out_channels, 3, padding=1)

    def forward(self, reference_latents: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, 1, h, w) to (B, out_channels, 1, h, w)."""
        picture = self.conv_in(reference_latents.squeeze(2))
        for stage in self.stages:
            picture = stage(picture)
        return self.conv_out(picture).unsqueeze(2)


class _ResidualStage(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = WideGroupNorm(NORM_GROUPS, channels, NORM_EPS)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = WideGroupNorm(NORM_GROUPS, channels, NORM_EPS)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        update = self.conv1(F.silu(self.norm1(picture)))
        update = self.conv2(F.silu(self.norm2(update)))
        return picture + update


def zero_linear(width: int) -> nn.Linear:
    """A linear layer with zero weights, so that a new branch has no effect before it is trained."""
    linear = nn.Linear(width, width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear

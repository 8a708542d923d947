"""A small network that separates puppets from their backdrop.

It was trained on the training split of the puppet world, whose masks are exact, with degraded pictures
(`segmenter_training`). No result of a measured model was used.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from numpy.typing import NDArray
from torch import Tensor

from onetoall_cli.hub.location import SHIPPED
from onetoall_cli.model.pixels import to_tensor

SEGMENTER = SHIPPED / "segmenter"
_BLOCK = 2  # the network takes blocks of 2 x 2 pixels, and halves the size three times more


def fresh_network() -> UNet2DModel:
    """A network with random weights."""
    return UNet2DModel(
        in_channels=3 * _BLOCK**2,
        out_channels=_BLOCK**2,
        block_out_channels=(16, 32, 48, 64),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * 4,
        up_block_types=("UpBlock2D",) * 4,
        add_attention=False,
    )


def logits(network: UNet2DModel, pictures: Tensor) -> Tensor:
    """Log odds that each pixel is puppet, (B, H, W), for pictures (B, 3, H, W) in [-1, 1]."""
    blocks = F.pixel_unshuffle(pictures, _BLOCK)
    return F.pixel_shuffle(network(blocks, 0).sample, _BLOCK)[:, 0]


@cache
def shipped_network() -> UNet2DModel:
    """The network in the package."""
    network = UNet2DModel.from_pretrained(SEGMENTER, local_files_only=True, use_safetensors=True)
    return network.float().eval().requires_grad_(False)


@torch.no_grad()
def puppet_logits(frames: NDArray[np.uint8], network: UNet2DModel | None = None) -> NDArray[np.float32]:
    """Log odds that each pixel is puppet, float32 (T, H, W).

    Args:
        frames: Pictures (T, H, W, 3), whose sides are multiples of 16.
        network: A segmenter; the shipped one by default.
    """
    return logits(network or shipped_network(), to_tensor(frames[:, None])[:, :, 0]).numpy()

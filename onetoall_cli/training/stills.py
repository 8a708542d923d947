"""An exact shortcut for one-frame passes through a Wan VAE: its causal 3D convolutions as 2D ones.

For a single frame a causal convolution sees only zeros before it, so only the last time slice of its kernel counts.
Leaving the other slices out saves two thirds of the work, and 2D convolutions are better optimised on CPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from torch import Tensor


@contextmanager
def stills_as_2d(vae: AutoencoderKLWan) -> Iterator[None]:
    """While active, passes of one frame through `vae` use 2D convolutions; longer clips run as ever."""
    changed = [module for module in vae.modules() if isinstance(module, WanCausalConv3d)]
    for module in changed:
        module.forward = partial(_convolve, module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward  # the class's own method shows again


def _convolve(module: WanCausalConv3d, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
    """`module(x, cache_x)` for x (B, C, T, H, W)."""
    if x.shape[2] > 1 or cache_x is not None:
        return WanCausalConv3d.forward(module, x, cache_x)
    width_padding, height_padding = module._padding[0], module._padding[2]  # (left, right, top, ...)
    weight = module.weight[:, :, -1]
    padding = (height_padding, width_padding)
    return F.conv2d(x[:, :, 0], weight, module.bias, module.stride[1:], padding)[:, :, None]

"""Stills in a Wan VAE: an exact shortcut for one-frame passes, and encoders whose latent frames are stills.

For a single frame a causal convolution sees only zeros before it, so only the last time slice of its kernel counts.
Leaving the other slices out saves two thirds of the work, and 2D convolutions are better optimised on CPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample
from torch import Tensor

from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import TEMPORAL_STRIDE
from onetoall_cli.runtime.vae import encode


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


@torch.no_grad()
def encode_last_frames(vae: AutoencoderKLWan) -> None:
    """Let the encoder see the last of a latent frame's frames and nothing else, just as it sees a still.

    Raises:
        BadInput: The VAE is a residual one (Wan2.2's), which passes means of frames by its convolutions.
    """
    if vae.config.is_residual:
        raise BadInput("A residual VAE cannot encode the last frames alone.", "Leave `latent_frame` as it is.")
    for kernel in _kernels_of_the_past(vae):
        kernel.zero_()
    for mixing, bias in _mixing_in_time(vae):
        mixing.copy_(torch.eye(len(mixing)))
        bias.zero_()


@torch.no_grad()
def encodes_last_frames(vae: AutoencoderKLWan) -> bool:
    """Whether a latent frame is what a still of the last of its frames would be."""
    if vae.config.is_residual or any(kernel.any() for kernel in _kernels_of_the_past(vae)):
        return False
    return all(
        torch.equal(mixing, torch.eye(len(mixing)).to(mixing)) and not bias.any()
        for mixing, bias in _mixing_in_time(vae)
    )


def _kernels_of_the_past(vae: AutoencoderKLWan) -> Iterator[Tensor]:
    """What the encoder's causal convolutions do with frames before the present one."""
    for module in vae.encoder.modules():
        if isinstance(module, WanCausalConv3d):
            yield module.weight[:, :, :-1]


def _mixing_in_time(vae: AutoencoderKLWan) -> Iterator[tuple[Tensor, Tensor]]:
    """What the layers that halve the frame rate do with the present frame, and their bias; stills do not pass them."""
    for module in vae.encoder.modules():
        if isinstance(module, WanResample) and hasattr(module, "time_conv"):
            yield module.time_conv.weight[:, :, -1, 0, 0], module.time_conv.bias


@torch.no_grad()
def encode_sparingly(vae: AutoencoderKLWan, pictures: Tensor) -> Tensor:
    """`encode`, the same but for rounding: stills by 2D convolutions, and clips as stills where the encoder allows it.

    The latter takes a quarter of the time.
    """
    if pictures.shape[2] > 1 and encodes_last_frames(vae):
        stills = pictures[:, :, ::TEMPORAL_STRIDE]
        apart = encode_sparingly(vae, stills.transpose(1, 2).flatten(0, 1)[:, :, None])
        return apart[:, :, 0].unflatten(0, (len(stills), -1)).transpose(1, 2)
    with stills_as_2d(vae):
        return encode(vae, pictures)


@torch.no_grad()
def restore(vae: AutoencoderKLWan, clips: Tensor) -> Tensor:
    """Encode (posterior mode) and decode clips (B, 3, T, H, W) in [-1, 1]."""
    with stills_as_2d(vae):
        return vae.decode(vae.encode(clips.to(vae.dtype)).latent_dist.mode()).sample.float()

"""Encoding of frames and decoding of latents by a Wan VAE.

Decoding goes one latent frame at a time, so that frames can be written before the others exist. The VAE is causal: of
the past, its decoder needs only the last two frames before each convolution.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify
from diffusers.utils.accelerate_utils import apply_forward_hook

from onetoall_cli.lattice import TEMPORAL_STRIDE


def arrange_for_cpu(vae: AutoencoderKLWan) -> None:
    """Store the weights of convolutions with the channels last, as CPU kernels in bfloat16 compute them.

    Activations follow, so nothing is rearranged between layers: decoding is about a sixth faster, and as exact.
    """
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.contiguous(memory_format=torch.channels_last_3d)


def latent_statistics(vae: AutoencoderKLWan) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the VAE's latents by channel, (1, C, 1, 1, 1) each, on its device."""
    mean, std = torch.tensor([vae.config.latents_mean, vae.config.latents_std], device=vae.device)
    return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)


@torch.no_grad()
def encode(vae: AutoencoderKLWan, pictures: torch.Tensor) -> torch.Tensor:
    """Encode frames (B, 3, T, H, W) in [-1, 1], T = 4k + 1, to normalised latents (B, C, n, H/8, W/8), the mode."""
    latents = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode().float()
    mean, std = latent_statistics(vae)
    return (latents - mean) / std


@torch.no_grad()
def decode_frames(
    vae: AutoencoderKLWan, latents: torch.Tensor, tiles: Sequence[torch.Tensor] | None = None
) -> Iterator[torch.Tensor]:
    """Decode normalised latents; the concatenated results are exactly `vae.decode`'s.

    With `vae.enable_tiling()` each tile is decoded over all frames, as in diffusers, and the frames are yielded
    afterwards. Decoding all tiles frame by frame would need the past of each tile, which takes more memory than the
    frames of a segment: at 81 frames of 832 x 480 in bfloat16, 1.4 GB instead of 0.2 GB.

    Args:
        vae: A VAE of Wan2.1's kind, of any size.
        latents: Latents (B, C, n, h, w), normalised to mean 0 and deviation 1.
        tiles: With tiling: the results of `decode_tile` for `tiles_of`, in their order; None: they are made here.

    Yields:
        Frames in [-1, 1], float32: (B, 3, 1, H, W) from the first latent frame, (B, 3, 4, H, W) from each other.
    """
    latents = _as_encoded(vae, latents)
    if is_tiled(vae, latents):
        with nullcontext() if tiles is None else _replaying(vae, tiles):
            frames = vae.decode(latents, return_dict=False)[0]
        first, later = frames[:, :, :1], frames[:, :, 1:]
        chunks: Iterator[torch.Tensor] = iter([first, *later.split(TEMPORAL_STRIDE, dim=2)])
    else:
        chunks = _decoded_in_turn(vae, vae.post_quant_conv(latents).split(1, dim=2))
    for chunk in chunks:
        if chunk.shape[2]:  # one latent frame leaves nothing after the first
            yield chunk.float().clamp(-1, 1)


def _as_encoded(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents as the VAE's encoder gives them."""
    mean, std = latent_statistics(vae)
    return (latents.to(vae.device, torch.float32) * std + mean).to(vae.dtype)


def is_tiled(vae: AutoencoderKLWan, latents: torch.Tensor) -> bool:
    """Whether tiling is on and a tile smaller than the picture, as `AutoencoderKLWan._decode` decides."""
    height, width = (size * vae.spatial_compression_ratio for size in latents.shape[-2:])
    return vae.use_tiling and (height > vae.tile_sample_min_height or width > vae.tile_sample_min_width)


def tiles_of(vae: AutoencoderKLWan, latents: torch.Tensor) -> list[torch.Tensor]:
    """The parts of normalised latents that are decoded by themselves, as in `AutoencoderKLWan.tiled_decode`."""
    sizes = (vae.tile_sample_min_height, vae.tile_sample_min_width)
    strides = (vae.tile_sample_stride_height, vae.tile_sample_stride_width)
    (height, width), (down, across) = (
        [each // vae.spatial_compression_ratio for each in pair] for pair in (sizes, strides)
    )
    rows, columns = range(0, latents.shape[3], down), range(0, latents.shape[4], across)
    return [latents[..., top : top + height, left : left + width] for top in rows for left in columns]


@torch.no_grad()
def decode_tile(vae: AutoencoderKLWan, tile: torch.Tensor) -> torch.Tensor:
    """One of `tiles_of` as the decoder's output for all its frames (B, 3, T, h, w), not clamped."""
    frames = _as_encoded(vae, tile).split(1, dim=2)
    return torch.cat(list(_decoded_in_turn(vae, map(vae.post_quant_conv, frames))), dim=2)


@contextmanager
def _replaying(vae: AutoencoderKLWan, tiles: Sequence[torch.Tensor]) -> Iterator[None]:
    """While the block lasts, the decoder gives what it gave for each latent frame of each tile."""
    decoder = vae.decoder
    frames = iter([part for tile in tiles for part in (tile[:, :, :1], *tile[:, :, 1:].split(TEMPORAL_STRIDE, dim=2))])
    vae.decoder = _Replay(frames)
    try:
        yield
    finally:
        vae.decoder = decoder


class _Replay(torch.nn.Module):
    """A decoder that takes its results from a list."""

    def __init__(self, frames: Iterator[torch.Tensor]) -> None:
        super().__init__()
        self._frames = frames

    def forward(self, latents: torch.Tensor, **_: object) -> torch.Tensor:
        return next(self._frames)


@apply_forward_hook
def _decoded_in_turn(vae: AutoencoderKLWan, features: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Decode latent frames (behind `post_quant_conv`) as `AutoencoderKLWan._decode`, but yield them one by one."""
    # The past frames of each causal convolution; the decoder reads and replaces them.
    past: list = [None] * sum(isinstance(module, WanCausalConv3d) for module in vae.decoder.modules())
    for index, frame in enumerate(features):
        decoded = vae.decoder(frame, feat_cache=past, feat_idx=[0], first_chunk=index == 0)
        yield decoded if vae.config.patch_size is None else unpatchify(decoded, vae.config.patch_size)

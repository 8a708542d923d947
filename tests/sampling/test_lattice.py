"""Sizes and lengths agree with what a Wan VAE and the network's patches really do."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.lattice import (
    CONTEXT_FRAMES,
    CONTEXT_LATENTS,
    SIZE_MULTIPLE,
    floored,
    is_clip_length,
    latent_frames,
    latent_shape,
    rounded,
)


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_latents_have_the_shape_the_vae_gives_them(frames) -> None:
    vae = AutoencoderKLWan(z_dim=16, base_dim=8, num_res_blocks=1, dim_mult=[1, 1, 1, 1]).eval()
    with torch.no_grad():
        latents = vae.encode(torch.zeros(1, 3, frames, 32, 48)).latent_dist.mode()
    assert tuple(latents.shape[2:]) == latent_shape(frames, 32, 48)


def test_what_is_carried_over_is_whole_latent_frames() -> None:
    assert is_clip_length(CONTEXT_FRAMES) and latent_frames(CONTEXT_FRAMES) == CONTEXT_LATENTS
    assert [frames for frames in range(-3, 14) if is_clip_length(frames)] == [1, 5, 9, 13]


@pytest.mark.parametrize(("side", "down", "nearest"), [(47.9, 32, 48), (48, 48, 48), (55, 48, 48), (3, 16, 16)])
def test_sides_become_what_the_network_takes(side, down, nearest) -> None:
    assert (floored(side), rounded(side)) == (down, nearest)
    assert down % SIZE_MULTIPLE == nearest % SIZE_MULTIPLE == 0

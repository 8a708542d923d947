"""Frames come out of the VAE as they are decoded, exactly as from decoding all at once; tiles join without a step."""

import gc
import weakref

import pytest
import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.runtime.vae import arrange_for_cpu, decode_frames, latent_statistics

SIZES = {
    "wan": {"base_dim": 8, "num_res_blocks": 1, "dim_mult": [1, 2, 2, 2]},
    "patched": {
        "base_dim": 8,
        "num_res_blocks": 1,
        "dim_mult": [1, 2, 2],
        "temperal_downsample": [True, True],
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
    },
}


def new_vae(kind: str = "wan") -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(**SIZES[kind]).to(torch.bfloat16).eval()


def latents(frames: int, height: int = 4, width: int = 6) -> torch.Tensor:
    return torch.randn(1, 16, frames, height, width, generator=torch.Generator().manual_seed(frames))


@torch.no_grad()
def decoded_at_once(vae: AutoencoderKLWan, values: torch.Tensor) -> torch.Tensor:
    mean, std = latent_statistics(vae)
    return vae.decode((values * std + mean).to(vae.dtype)).sample.float()


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_streamed_frames_are_exactly_those_decoded_at_once(kind, frames):
    vae = new_vae(kind)
    chunks = list(decode_frames(vae, latents(frames)))
    assert [chunk.shape[2] for chunk in chunks] == [1, *[4] * (frames - 1)]
    assert torch.equal(torch.cat(chunks, dim=2), decoded_at_once(vae, latents(frames)))


def test_a_latent_frame_is_decoded_when_its_frames_are_wanted_and_then_forgotten():
    vae, runs = new_vae(), []
    vae.decoder.register_forward_hook(lambda *_: runs.append(1))
    frames = decode_frames(vae, latents(4))
    seen = [weakref.ref(next(frames)), weakref.ref(next(frames))]
    assert len(runs) == 2
    next(frames)
    gc.collect()
    assert all(reference() is None for reference in seen)


def test_two_decodings_at_a_time_do_not_disturb_each_other():
    vae = new_vae()
    pairs = list(zip(decode_frames(vae, latents(3)), decode_frames(vae, latents(3) * 0.5), strict=True))
    assert torch.equal(torch.cat([a for a, _ in pairs], dim=2), decoded_at_once(vae, latents(3)))


@pytest.mark.parametrize("kind", SIZES)
def test_tiles_give_every_frame_and_join_without_a_step(kind):
    """How far a trained VAE's tiles are from the whole picture is in its manual; an untrained one's differ more."""
    vae = new_vae(kind)
    values = latents(2, 8, 12)
    whole = decoded_at_once(vae, values)
    vae.enable_tiling(48, 48, 32, 32)
    tiled = list(decode_frames(vae, values))
    assert [chunk.shape for chunk in tiled] == [(1, 3, 1, 64, 96), (1, 3, 4, 64, 96)]
    joined = torch.cat(tiled, dim=2)
    assert not torch.equal(joined, whole)  # it is tiled
    steps = joined.diff(dim=-1).abs()
    at_borders = steps[..., [31, 63]].mean()  # from the last column of a tile to the first of the next
    assert at_borders < 1.3 * whole.diff(dim=-1).abs().mean()


def test_a_picture_smaller_than_a_tile_is_decoded_as_a_whole():
    vae = new_vae()
    whole = decoded_at_once(vae, latents(2))
    vae.enable_tiling()
    assert torch.equal(torch.cat(list(decode_frames(vae, latents(2))), dim=2), whole)


def test_weights_arranged_for_cpus_decode_as_exactly():
    def error(vae):
        return (torch.cat(list(decode_frames(vae, latents(2))), dim=2) - exact).norm().item()

    vae = new_vae()
    exact = torch.cat(list(decode_frames(new_vae().float(), latents(2))), dim=2)
    before = error(vae)
    arrange_for_cpu(vae)
    assert vae.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert 0 < error(vae) < 1.2 * before

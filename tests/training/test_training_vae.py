"""VAE training: the still-frame shortcut is exact, time starts neutral, runs continue exactly, statistics are unit."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.errors import BadInput
from onetoall_cli.runtime.stills import encode_last_frames, encode_sparingly, encodes_last_frames, stills_as_2d
from onetoall_cli.runtime.vae import latent_statistics
from onetoall_cli.training.latents import encode_reference, no_reference
from onetoall_cli.training.settings import dump_settings, load_settings, read_settings
from onetoall_cli.training.vae import (
    build_vae,
    export_vae,
    learning_rate,
    measure_vae,
    reconstruction_loss,
    train_vae,
)
from onetoall_cli.training.vae_data import Phase, VaeBatches, VaeNetworkSettings, VaeSettings, sample_pictures
from onetoall_cli.weights import load_vae

MICRO = {"base_dim": 8, "num_res_blocks": 1, "dim_mult": [1, 1, 1, 1]}
PATCHED = {
    "base_dim": 8,
    "num_res_blocks": 1,
    "dim_mult": [1, 1, 1],
    "temperal_downsample": [True, True],
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
}


def settings(tmp_path, **options) -> VaeSettings:
    quick = {"warmup": 1, "threads": 1, "checkpoint_every": 2, "sample_every": 0, "bf16": False, "statistics": 4}
    phases = (Phase(steps=2, batch=2, crop=32), Phase(steps=2, batch=1, crop=32, frames=5))
    options["model"] = read_settings(VaeNetworkSettings, options.get("model", MICRO), "model")
    return VaeSettings(**{"output": tmp_path / "run", "phases": phases, **quick, **options})


@pytest.mark.parametrize("model", [MICRO, PATCHED, {**MICRO, "is_residual": True}])
def test_stills_as_2d_changes_nothing_but_the_time_it_takes(model) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(z_dim=16, **model).eval()
    still, clip = torch.rand(2, 3, 1, 32, 48) * 2 - 1, torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        for pictures in (still, clip):
            expected = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
            with stills_as_2d(vae):
                result = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
            torch.testing.assert_close(result, expected, atol=2e-5, rtol=1e-4)
    assert not any("forward" in module.__dict__ for module in vae.modules())


@pytest.mark.parametrize("model", [MICRO, PATCHED])
def test_a_fresh_vae_sees_a_film_as_stills(tmp_path, model) -> None:
    """Four equal frames give the latent of one of them, whatever came before; so stills teach clips."""
    vae = build_vae(settings(tmp_path, model=model)).eval()
    first, second = torch.rand(2, 1, 3, 1, 32, 32) * 2 - 1
    clip = torch.cat([first] + [second] * 4, dim=2)
    with torch.no_grad():
        film = vae.encode(clip).latent_dist.mode()
        still = vae.encode(second).latent_dist.mode()
        torch.testing.assert_close(film[:, :, 1:], still, atol=1e-5, rtol=1e-4)
        frames = vae.decode(film).sample
        torch.testing.assert_close(
            frames[:, :, 1:], vae.decode(still).sample.expand(-1, -1, 4, -1, -1), atol=1e-4, rtol=1e-3
        )


def test_the_samples_hold_masks_black_and_masked_puppets() -> None:
    rng = np.random.default_rng(0)
    clips = [sample_pictures("train", rng, 1, (64, 96), 0) for _ in range(150)]
    binary = [clip for clip in clips if set(np.unique(clip)) <= {0, 255}]
    assert any((clip == 0).all() for clip in clips)
    assert sum(0.03 < (clip == 255).mean() < 0.97 for clip in binary) >= 5
    black_round = [clip for clip in clips if (clip == 0).mean() > 0.1 and len(np.unique(clip)) > 20]
    assert len(black_round) >= 6
    assert sample_pictures("train", rng, 5, (64, 96), 32).shape == (5, 32, 32, 3)


def test_batches_are_fixed_by_seed_and_step(tmp_path) -> None:
    first, second = VaeBatches(settings(tmp_path)), VaeBatches(settings(tmp_path))
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], first[1])
    assert first[0].shape == (2, 3, 1, 32, 32) and first[2].shape == (1, 3, 5, 32, 32)
    assert first[0].min() >= -1 and first[0].max() <= 1


def test_whole_pictures_have_about_the_short_side_asked_for(tmp_path) -> None:
    sizes = {}
    for side in (64, 192):
        batches = VaeBatches(settings(tmp_path, phases=(Phase(steps=8, batch=1, crop=0),), short_side=side))
        sizes[side] = [tuple(batches[step].shape[-2:]) for step in range(8)]
    assert all(72 >= min(size) >= 64 for size in sizes[64]) and len(set(sizes[64])) > 2
    assert sizes[192] == [(3 * height, 3 * width) for height, width in sizes[64]]
    with pytest.raises(ValueError, match="multiple of 64"):
        settings(tmp_path, short_side=100)


def test_moving_crops_show_more_change_than_others(tmp_path) -> None:
    def change(moving: bool) -> float:
        run = settings(tmp_path, phases=(Phase(steps=12, batch=1, crop=32, frames=5, moving=moving),))
        return float(np.mean([VaeBatches(run)[step].diff(dim=2).abs().mean() for step in range(12)]))

    assert change(moving=True) > 1.5 * change(moving=False) > 0
    again = VaeBatches(settings(tmp_path, phases=(Phase(steps=12, batch=2, crop=32, frames=5, moving=True),)))
    assert again[3].shape == (2, 3, 5, 32, 32) and torch.equal(again[3], again[3])


@pytest.mark.parametrize("phase", [{"frames": 1, "crop": 32}, {"frames": 5, "crop": 0}])
def test_moving_chooses_among_crops_of_clips_only(phase) -> None:
    with pytest.raises(ValueError, match="only for crops of clips"):
        Phase(steps=1, batch=1, moving=True, **phase)


def test_phases_follow_each_other(tmp_path) -> None:
    run = settings(tmp_path)
    assert run.steps == 4
    assert [run.phase_at(step).frames for step in range(4)] == [1, 1, 5, 5]
    with pytest.raises(ValueError, match="after the last phase"):
        run.phase_at(4)


def test_the_learning_rate_falls_and_warms_up_in_every_phase(tmp_path) -> None:
    run = settings(
        tmp_path, phases=(Phase(steps=60, batch=1), Phase(steps=40, batch=1)), lr=1.0, final_lr=0.1, warmup=10
    )
    rates = [learning_rate(run, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1, rel=0.01) and rates[9] == max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[60] < 0.1 * rates[59] * 1.1 and rates[70] > 5 * rates[60]
    assert rates[99] == pytest.approx(0.1, abs=0.01)


def test_the_loss_is_zero_for_the_truth_and_sees_blur() -> None:
    torch.manual_seed(0)
    truth = (torch.rand(1, 3, 2, 16, 16) > 0.5).float() * 2 - 1
    assert reconstruction_loss(truth, truth, 1.0) == 0
    brighter, grey = truth * 0.9, torch.zeros_like(truth)
    assert reconstruction_loss(grey, truth, 1.0) > reconstruction_loss(brighter, truth, 1.0) > 0


def test_a_run_that_was_interrupted_continues_exactly(tmp_path) -> None:
    whole = settings(tmp_path, output=tmp_path / "whole")
    folder = train_vae(whole)
    broken = whole.changed(output=tmp_path / "broken")

    class Interrupted(Exception):
        pass

    def stop(step: int, total: int | None) -> None:
        if step == 3:  # after the checkpoint of step 2
            raise Interrupted

    with pytest.raises(Interrupted):
        train_vae(broken, stop)
    other = train_vae(broken)
    columns = [
        [row.rsplit(",", 1)[0] for row in (run.output / "loss.csv").read_text().splitlines()] for run in (whole, broken)
    ]
    assert columns[0] == columns[1] and len(columns[0]) == 5
    first, second = (AutoencoderKLWan.from_pretrained(path).state_dict() for path in (folder, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_settings(VaeSettings, whole.output / "settings.yaml") == whole
    assert dump_settings(whole) == (whole.output / "settings.yaml").read_text()


def test_the_finished_vae_has_unit_latents_and_encodes_references(tmp_path) -> None:
    folder = train_vae(settings(tmp_path, phases=(Phase(steps=1, batch=1, crop=32),), statistics=12))
    assert export_vae(settings(tmp_path, phases=(Phase(steps=1, batch=1, crop=32),), statistics=12)) == folder
    vae = load_vae(folder, torch.float32)
    assert len(vae.config.latents_mean) == 16
    rng = np.random.default_rng(5)
    pictures = torch.from_numpy(np.stack([sample_pictures("train", rng, 1, (128, 192), 0) for _ in range(10)]))
    latents = encode_sparingly(vae, pictures.permute(0, 4, 1, 2, 3).float() / 127.5 - 1)
    assert latents.shape == (10, 16, 1, 24, 16)
    assert latents.std() == pytest.approx(1, abs=0.35) and abs(latents.mean()) < 0.3
    reference = torch.full((2, 3, 1, 32, 32), -1.0)
    mask = torch.zeros(2, 1, 1, 32, 32, dtype=torch.bool)
    known = encode_reference(vae, reference, mask)
    assert known.shape == (2, 32, 1, 4, 4)
    torch.testing.assert_close(known, no_reference(vae, known), atol=1e-4, rtol=1e-4)  # all black, all known
    assert not torch.allclose(encode_reference(vae, reference, ~mask)[:, 16:], known[:, 16:])


def test_exporting_needs_a_checkpoint(tmp_path) -> None:
    with pytest.raises(BadInput, match="no checkpoint"):
        export_vae(settings(tmp_path))


@pytest.mark.slow
def test_measuring_gives_stills_and_clips(micro_vae) -> None:
    figures = measure_vae(load_vae(micro_vae, torch.float32), split="validation", count=8)
    assert set(figures) == {"stills", "clips"} and all(0 < value < 60 for value in figures.values())


def test_a_latent_frame_can_be_a_still_of_its_last_frame(tmp_path) -> None:
    phases = (
        Phase(steps=1, batch=1, crop=32),
        Phase(steps=2, batch=2, crop=32, frames=5),
    )  # only clips teach an encoder about the past
    first = train_vae(settings(tmp_path, phases=phases, model=PATCHED))
    decoder_only = {"init_from": first, "train": "decoder", "latent_frame": "last"}
    second = train_vae(settings(tmp_path, phases=phases, output=tmp_path / "last", **decoder_only))
    before, after = (AutoencoderKLWan.from_pretrained(folder) for folder in (first, second))
    clip = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    with torch.no_grad():
        stills = [before.encode(clip[:, :, frame : frame + 1]).latent_dist.mode() for frame in (0, 4, 8)]
        free, last = (vae.encode(clip).latent_dist.mode() for vae in (before, after))
        pictures = [vae.decode(last).sample for vae in (before, after)]
    torch.testing.assert_close(last, torch.cat(stills, dim=2), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(free, last, atol=1e-3) and not torch.equal(*pictures)
    assert before.config.latents_mean == after.config.latents_mean
    with pytest.raises(ValueError, match="decoder"):
        settings(tmp_path, latent_frame="last")


def test_the_loss_sees_moves() -> None:
    """A film that stands still in the middle errs where it should move, and more so if moves count."""
    truth = torch.zeros(1, 3, 3, 16, 16)
    truth[:, :, 1] = 1
    still = truth.mean(dim=2, keepdim=True).expand_as(truth)
    assert reconstruction_loss(still, truth, 1.0) > 1.5 * reconstruction_loss(still, truth, 0.0)
    assert reconstruction_loss(truth + 0.5, truth, 1.0) == reconstruction_loss(truth + 0.5, truth, 0.0)


def test_a_decoder_is_trained_without_touching_the_latents(tmp_path) -> None:
    first = train_vae(settings(tmp_path))
    second = train_vae(settings(tmp_path, output=tmp_path / "decoder", init_from=first, train="decoder", model={}))
    before, after = (AutoencoderKLWan.from_pretrained(folder) for folder in (first, second))
    clip = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = [vae.encode(clip).latent_dist.mode() for vae in (before, after)]
        pictures = [vae.decode(latents[0]).sample for vae in (before, after)]
    assert torch.equal(*latents) and not torch.equal(*pictures)
    assert before.config.latents_mean == after.config.latents_mean
    assert before.config.latents_std == after.config.latents_std
    with pytest.raises(ValueError, match="init_from"):
        settings(tmp_path, train="decoder")


def test_clips_of_latent_frames_that_are_stills_are_encoded_as_stills(micro_vae, monkeypatch) -> None:
    vae = load_vae(micro_vae, torch.float32)
    clips = torch.rand(2, 3, 9, 32, 32) * 2 - 1
    passes = []
    whole = vae.encode
    monkeypatch.setattr(vae, "encode", lambda pictures: passes.append(pictures.shape[2]) or whole(pictures))

    def expected() -> torch.Tensor:
        mean, std = latent_statistics(vae)
        with torch.no_grad():
            return (whole(clips).latent_dist.mode() - mean) / std

    assert not encodes_last_frames(vae)  # trained on stills alone, but it takes the mean of two frames
    torch.testing.assert_close(encode_sparingly(vae, clips), expected())
    encode_last_frames(vae)
    assert encodes_last_frames(vae)
    torch.testing.assert_close(encode_sparingly(vae, clips), expected(), atol=1e-5, rtol=1e-4)
    assert passes == [9, 1]


def test_a_residual_vae_cannot_encode_last_frames() -> None:
    vae = AutoencoderKLWan(z_dim=16, **MICRO, is_residual=True)
    assert not encodes_last_frames(vae)
    with pytest.raises(BadInput, match="residual"):
        encode_last_frames(vae)

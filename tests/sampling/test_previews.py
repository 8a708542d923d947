"""Previews: colours of latents by a fitted map, and pictures as often as takes a hundredth of the time."""

import numpy as np
import pytest
import torch

from onetoall_cli import load
from onetoall_cli.evaluation.puppets.cases import make_case
from onetoall_cli.runtime.vae import encode
from onetoall_cli.sampling.previews import LatentColours, Previewer


@pytest.fixture(scope="module")
def vae():
    return load("tiny", device="cpu").engine.vae


def test_the_map_of_a_vae_gives_the_colours_of_its_latents(vae):
    case = make_case("misaligned", "test", 3, width=64, height=96, frames=5, canvas_short_side=96)
    video = torch.from_numpy(case.truth.frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    made = LatentColours(vae).frames(encode(vae, video)).astype(float)
    true = case.truth.frames[[0, 4]].reshape(2, 12, 8, 8, 8, 3).mean(axis=(2, 4))
    assert made.shape == (2, 12, 8, 3)
    assert 20 * np.log10(255 / np.sqrt(np.mean((made - true) ** 2))) > 22


def test_previews_take_a_hundredth_of_the_time_however_long_each_takes(vae):
    now, shown = [0.0], []

    def show(preview) -> None:
        now[0] += 3.0  # seconds of each preview
        shown.append((preview.segment, preview.step, preview.steps, now[0]))

    previewer = Previewer(show, clock=lambda: now[0])
    for step in range(1000):
        now[0] += 1.0
        previewer(vae, torch.zeros(1, 16, 2, 4, 4), 0, step + 1, 1000)
    assert shown[0][:3] == (0, 1, 1000)
    assert len(shown) == 4  # 12 of 1012 seconds: no more than one above the hundredth
    assert all(3.0 * number <= 0.01 * time for number, (*_, time) in enumerate(shown[:-1]))

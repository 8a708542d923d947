"""The segmenter knows puppets from backdrops; its training is repeatable and learns."""

import numpy as np
import pytest
import torch

from onetoall_cli.evaluation.metrics import overlap
from onetoall_cli.evaluation.puppets.foreground import differing_figure, found_figure, true_figure
from onetoall_cli.evaluation.puppets.segmenter import SEGMENTER, puppet_logits
from onetoall_cli.evaluation.puppets.segmenter_training import Puppets, degraded, train_segmenter
from onetoall_cli.hub.location import SHIPPED
from onetoall_cli.model.pixels import to_uint8
from onetoall_cli.puppets import sample_scene
from onetoall_cli.weights import load_vae


@pytest.fixture(scope="module")
def vae():
    return load_vae(SHIPPED / "tiny" / "vae", torch.bfloat16)


def test_it_finds_unseen_puppets_in_good_and_in_bad_pictures(vae) -> None:
    pictures, coverage = Puppets("validation", 8, 1)[0]
    bad = degraded(pictures, vae, torch.Generator().manual_seed(0))
    assert not torch.equal(bad, pictures)
    for shown, least in ((pictures, 0.85), (bad, 0.82)):
        found = puppet_logits(to_uint8(shown)) > 0
        assert overlap(found, coverage.numpy() >= 0.5) > least


def test_a_backdrop_that_is_not_reproduced_is_no_puppet(case) -> None:
    figure = true_figure(case)
    result = case.truth.frames.copy()
    result[~figure] = np.broadcast_to(255 - case.backdrop, result.shape)[~figure]
    differing = differing_figure(result, case)
    assert overlap(differing, figure) < 0.75 < 0.85 < overlap(found_figure(result, differing), figure)


def test_what_is_missing_is_not_found_by_its_surroundings(case, legless) -> None:
    figure = true_figure(case)

    def found(frames: np.ndarray) -> float:
        return overlap(found_figure(frames, differing_figure(frames, case)), figure)

    assert found(legless) < found(case.truth.frames) - 0.08
    assert found(np.broadcast_to(case.backdrop, legless.shape).copy()) < 0.2


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SEGMENTER.iterdir()) < 2e6


def test_training_is_repeatable_and_learns(vae) -> None:
    scene = sample_scene("validation", 1, width=128, height=192, frames=1).film()
    first, second = (train_segmenter(vae, steps=2, batch=2) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    longer = train_segmenter(vae, steps=24, batch=2)
    found = [overlap(puppet_logits(scene.frames, network) > 0, scene.masks >= 128) for network in (first, longer)]
    assert found[1] > max(0.2, found[0])

"""The statistics of 2000 draws are those of the released training code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.training.enhancement import enhance, face_factors
from onetoall_cli.training.examples import draw_mask, draw_zoomed_side
from onetoall_cli.training.losses import noised
from onetoall_cli.training.recipe import NetworkSettings, TrainingSettings, plan_batch
from onetoall_cli.training.sources import TrainingClip, puppet_pool

DRAWS = 2000
WIDTH, HEIGHT = 72, 128


def settings(stage: int) -> TrainingSettings:
    return TrainingSettings(output=Path("o"), stage=stage, vae=Path("v"), steps=1, model=NetworkSettings())


def half_body(*, same_picture: bool = False, face: tuple[float, float] | None = (0.16, 0.35)) -> TrainingClip:
    """A clip whose face lies between two parts of the height, as in a half-length picture."""
    points = np.zeros((1, 1, kp.COUNT, 3), np.float32)
    if face:
        high = np.linspace(face[0] * HEIGHT, face[1] * HEIGHT, 68)
        points[0, 0, kp.FACE] = np.stack([np.linspace(0.4, 0.6, 68) * WIDTH, high, np.ones(68)], axis=-1)
    pose = PoseSequence(points, WIDTH, HEIGHT)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return TrainingClip(picture[None], None, pose, picture, pose, None, same_picture)


def masks(stage: int, clip: TrainingClip, frames: int = 29) -> list[np.ndarray]:
    run, rng = settings(stage), np.random.default_rng(stage)
    plans = [replace(plan_batch(run, rng, frames), width=WIDTH, height=HEIGHT) for _ in range(DRAWS)]
    return [draw_mask(clip, plan, run.conditions_of_stage, run, rng) for plan in plans]


def masked_share(found: list[np.ndarray]) -> float:
    """Share of the masks that leave only a box."""
    return float(np.mean([mask.mean() > 0.1 for mask in found]))  # a hole has less


@pytest.mark.parametrize(("stage", "share"), [(2, 0.49), (3, 0.31)])
def test_masked_share_of_all_samples(stage, share) -> None:
    found = masks(stage, half_body())
    assert masked_share(found) == pytest.approx(share, abs=0.035)
    known = np.mean([(~mask).mean() for mask in found if mask.mean() > 0.1])
    assert known == pytest.approx(0.41, abs=0.03)


def test_pictures_are_always_masked_with_themselves_and_never_with_others() -> None:
    same, other = (masks(2, half_body(same_picture=each), frames=1) for each in (True, False))
    assert masked_share(same) == pytest.approx(0.8, abs=0.03)  # the others are given no reference
    assert not any(mask.any() for mask in other)


def test_without_a_face_pictures_keep_their_middle_and_clips_have_at_most_a_hole() -> None:
    faceless = half_body(same_picture=True, face=None)
    middles = [mask for mask in masks(2, faceless, frames=1) if mask.any()]
    assert all((~mask).mean() == pytest.approx(0.49, abs=0.03) for mask in middles)
    holes = [mask.mean() for mask in masks(2, faceless)]
    assert max(holes) < 0.06 and np.mean([hole > 0 for hole in holes]) == pytest.approx(0.8 * 0.2, abs=0.03)


def test_times_prefer_the_middle() -> None:
    times = noised(torch.zeros(DRAWS, 1, 1, 1, 1), torch.Generator().manual_seed(0), token_replace=False).timestep
    assert times.min() >= 1 and times.max() <= 1000
    assert ((times > 250) & (times < 750)).float().mean() == pytest.approx(0.73, abs=0.02)


def dances() -> list[PoseSequence]:
    with np.load(Path(__file__).parents[1] / "data" / "poses_real.npz") as data:
        names = ("dance_full", "dance_small", "dance_crouch")
        return [PoseSequence(data[name][:, None], *map(int, data[f"{name}_size"]), 25.0) for name in names]


def test_faces_change_as_much_from_frame_to_frame() -> None:
    rng, pool = np.random.default_rng(0), puppet_pool("train")
    widths = [
        face_factors(dance.keypoints[0, 0], pool.draw(dance, rng), rng, len(dance))[:, 0]
        for dance in dances()
        for _ in range(DRAWS // 60)
    ]
    assert np.mean([clip.std() for clip in widths]) == pytest.approx(0.095, abs=0.02)
    assert (np.abs(np.concatenate(widths) - 1) < 0.05).mean() == pytest.approx(0, abs=0.02)


def test_changed_faces_and_heads_are_dim() -> None:
    rng, pool = np.random.default_rng(0), puppet_pool("train")
    motion = dances()[0][:1]
    drawn = [enhance(motion, pool, rng, probability=1.0, hide=0.0) for _ in range(DRAWS)]
    assert np.mean([each.face == "light" for each in drawn]) == pytest.approx(0.82, abs=0.025)
    assert np.mean([each.head == "light" for each in drawn]) == pytest.approx(0.41, abs=0.03)


def test_one_side_of_a_tenth_of_the_samples_is_enlarged() -> None:
    rng, stage = np.random.default_rng(0), settings(2).conditions_of_stage
    sides = [draw_zoomed_side(stage, rng) for _ in range(DRAWS)]
    for side in ("reference", "clip"):
        assert sides.count(side) / DRAWS == pytest.approx(0.05, abs=0.015)


def test_half_of_the_batches_have_a_noisy_reference() -> None:
    rng = np.random.default_rng(0)
    sigmas = np.array([plan_batch(settings(2), rng, 29).reference_noise for _ in range(DRAWS)])
    assert (sigmas > 0).mean() == pytest.approx(0.5, abs=0.035)
    assert sigmas[sigmas > 0].mean() == pytest.approx(0.056, abs=0.004)

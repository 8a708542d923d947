"""Rectified flow: the path, the target, who counts in the loss and how much."""

import numpy as np
import pytest
import torch

from onetoall_cli.evaluation.puppets.cases import region_maps
from onetoall_cli.lattice import CONTEXT_LATENTS
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_scene
from onetoall_cli.training.losses import Noised, flow_loss, near_body, noised, region_weights


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_latents_lie_on_the_straight_path_that_the_target_points_along() -> None:
    clean = torch.randn(3, 4, 5, 6, 2, generator=generator(1))
    batch = noised(clean, generator(), token_replace=False)
    time = (batch.timestep / 1000).view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(batch.latents - time * batch.target, clean)  # back along the velocity lies the data
    noise = batch.latents + (1 - time) * batch.target  # and forward the noise
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert batch.context == 0


def test_times_are_uniform_over_a_thousand_on_request_and_shifted_too() -> None:
    clean = torch.zeros(4000, 1, 1, 1, 1)
    times = noised(clean, generator(), token_replace=False, timesteps="uniform").timestep
    assert times.min() >= 1 and times.max() <= 1000
    assert torch.histc(times, 4, 0, 1000).sub(1000).abs().max() < 110
    shifted = noised(clean, generator(), token_replace=False, timesteps="uniform", shift=3.0).timestep / 1000
    torch.testing.assert_close(shifted, 3 * (times / 1000) / (1 + 2 * times / 1000))


def test_the_same_generator_gives_the_same_noise() -> None:
    clean = torch.zeros(2, 3, 3, 2, 2)
    first, second = (noised(clean, generator(5), token_replace=True) for _ in range(2))
    assert torch.equal(first.latents, second.latents) and torch.equal(first.timestep, second.timestep)


def test_token_replace_keeps_two_latent_frames_clean_and_out_of_the_loss() -> None:
    clean = torch.randn(2, 4, 5, 3, 3, generator=generator(1))
    batch = noised(clean, generator(), token_replace=True)
    assert batch.context == CONTEXT_LATENTS == 2
    assert torch.equal(batch.latents[:, :, :2], clean[:, :, :2])
    assert not torch.equal(batch.latents[:, :, 2:], clean[:, :, 2:])
    weights = torch.ones(2, 1, 5, 3, 3)
    velocity = batch.target.clone()
    velocity[:, :, :2] += 100
    assert flow_loss(velocity, batch, weights) == 0
    velocity.requires_grad_(True)
    flow_loss(velocity + 1, batch, weights).backward()
    assert velocity.grad is not None
    assert velocity.grad[:, :, :2].abs().sum() == 0 and (velocity.grad[:, :, 2:] != 0).all()


def test_token_replace_needs_a_frame_to_generate() -> None:
    with pytest.raises(ValueError, match="more than 2"):
        noised(torch.zeros(1, 4, 2, 3, 3), generator(), token_replace=True)


def test_the_loss_is_a_mean_of_all_values_or_of_the_weights_that_count() -> None:
    target = torch.zeros(1, 2, 1, 1, 2)
    velocity = torch.tensor([[1.0, 3.0], [1.0, 3.0]]).view(1, 2, 1, 1, 2)
    weights = torch.tensor([1.0, 3.0]).view(1, 1, 1, 1, 2)
    batch = Noised(target, torch.zeros(1), target, 0)
    assert flow_loss(velocity, batch, weights) == pytest.approx((1 * 1 + 3 * 9) / 2)
    assert flow_loss(velocity, batch, weights, "weighted") == pytest.approx((1 * 1 + 3 * 9) / 4)
    for mean in ("plain", "weighted"):
        assert flow_loss(velocity, batch, torch.ones_like(weights), mean) == pytest.approx(5)


def test_a_plain_mean_counts_context_frames_as_right() -> None:
    target = torch.zeros(1, 1, 4, 1, 1)
    batch = Noised(target, torch.zeros(1), target, 2)
    weights = torch.ones(1, 1, 4, 1, 1)
    assert flow_loss(target + 1, batch, weights) == pytest.approx(0.5)
    assert flow_loss(target + 1, batch, weights, "weighted") == pytest.approx(1)


def test_what_is_to_be_ignored_has_no_weight_and_hands_only_on_request() -> None:
    points = np.zeros((5, kp.COUNT, 3), np.float32)
    points[:, kp.LEFT_HAND] = (40, 40, 1)
    points[:, kp.LEFT_HAND.start : kp.LEFT_HAND.start + 5] = (44, 44, 1)
    ignored = np.zeros((64, 96), bool)
    ignored[57, 17] = True
    weights = region_weights(points, 64, 96, 3.0, hands=False, ignored=ignored)
    assert (weights[:, 7, 2] == 0).all() and weights.sum() == 2 * (8 * 12 - 1)
    assert (region_weights(points, 64, 96, 3.0, ignored=ignored)[:, 5, 5] == 3).all()


def test_faces_and_hands_weigh_more_in_every_frame_they_are_in() -> None:
    points = np.zeros((5, kp.COUNT, 3), np.float32)
    face = np.random.default_rng(0).uniform((34, 34), (45, 45), (68, 2))
    points[3, kp.FACE] = np.concatenate([face, np.ones((68, 1))], axis=1)  # frame 3 belongs to latent frame 1
    points[0, kp.LEFT_HAND, :2], points[0, kp.LEFT_HAND, 2] = (90, 60), 0.1  # not seen: does not count
    weights = region_weights(points, 64, 96, 3.0)
    assert weights.shape == (2, 8, 12) and set(np.unique(weights)) == {1.0, 3.0}
    assert (weights[0] == 1).all()
    assert (weights[1, 4:6, 4:6] == 3).all()
    assert weights[1].sum() == 8 * 12 + 2 * 4  # the face with its margin touches 2 x 2 latent pixels
    assert (region_weights(points, 64, 96, 1.0) == 1).all()


def part_within(near: np.ndarray, pixels: np.ndarray) -> float:
    """How much of a set of pixels lies within latent pixels."""
    return float(near.repeat(8, axis=0).repeat(8, axis=1)[pixels].mean())


def test_limbs_weigh_more_with_what_is_beside_them() -> None:
    clip = sample_scene("train", 0, width=128, height=192, frames=1).film(supersample=1)
    points, figure = clip.poses.keypoints[:, 0], clip.masks[0] >= 128
    near = near_body(points[0], 192, 128)
    assert near.shape == (24, 16) and near.mean() < 2 * figure.mean()
    assert part_within(near, figure) > 0.9
    weights = region_weights(points, 192, 128, 3.0, 2.0)[0]
    assert set(np.unique(weights)) == {1.0, 2.0, 3.0}
    assert (weights[near] >= 2).all() and (weights[~near] != 2).all()
    hidden = np.zeros_like(points[0])
    assert not near_body(hidden, 192, 128).any()


def test_hair_and_hats_weigh_more_too() -> None:
    covered = []
    for seed in range(12):
        scene = sample_scene("train", seed, width=192, height=288, frames=1)
        regions = region_maps(scene)
        crown = (regions["hair"] | regions["hat"])[0]
        near = near_body(scene.film(supersample=1).poses.keypoints[0, 0], 288, 192)
        if crown.any():
            covered.append(part_within(near, crown))
    assert len(covered) > 8 and np.mean(covered) > 0.85


def test_regions_outside_the_picture_weigh_nothing() -> None:
    points = np.zeros((1, kp.COUNT, 3), np.float32)
    points[0, kp.RIGHT_HAND] = (-200, -100, 1)
    points[0, kp.RIGHT_HAND.start : kp.RIGHT_HAND.start + 5] = (-250, -150, 1)
    assert (region_weights(points, 64, 96, 3.0) == 1).all()

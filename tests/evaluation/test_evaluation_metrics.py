"""The measures on pictures whose answer is known without them."""

import numpy as np
import pytest

from onetoall_cli.evaluation import metrics

RNG = np.random.default_rng(0)


def picture(height: int = 64, width: int = 64) -> np.ndarray:
    """Blocks of random colours, uint8 (height, width, 3)."""
    blocks = RNG.integers(40, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def test_psnr_follows_its_definition_and_weighs_frames_alike() -> None:
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    result = truth.copy()
    result[0] += 10
    result[1] += 20
    wanted = np.mean([20 * np.log10(255 / 10), 20 * np.log10(255 / 20)])
    assert metrics.psnr(result, truth) == pytest.approx(wanted, abs=1e-4)


def test_equal_pictures_are_as_good_as_bytes_can_tell() -> None:
    truth = picture()[None]
    assert metrics.psnr(truth, truth) == pytest.approx(10 * np.log10(255**2 * 12))
    assert metrics.ssim(truth, truth) == pytest.approx(1, abs=1e-5)


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    a, b = (np.full((1, 24, 24, 3), value, np.uint8) for value in (100, 140))
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(a, b) == pytest.approx((2 * 100 * 140 + c1) / (100**2 + 140**2 + c1), abs=1e-4)


def test_ssim_falls_with_noise_and_with_blur() -> None:
    truth = picture()[None]
    noisy = np.clip(truth + RNG.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    flat = np.broadcast_to(truth.mean(axis=(1, 2), keepdims=True), truth.shape).astype(np.uint8)
    assert metrics.ssim(truth, truth) > metrics.ssim(noisy, truth) > metrics.ssim(flat, truth)


def test_errors_count_inside_the_boxes_only() -> None:
    truth = picture()[None].repeat(3, axis=0)
    result = truth.copy()
    result[0, :10] += 50
    result[1, 20:30, 20:30] += 10
    boxes = [(20, 20, 30, 30), (20, 20, 30, 30), None]
    wanted = np.mean([10 * np.log10(255**2 * 12), 20 * np.log10(255 / 10)])
    assert metrics.psnr_within(result, truth, boxes) == pytest.approx(wanted, abs=1e-4)
    assert np.isnan(metrics.psnr_within(result, truth, [None] * 3))


def test_nearer_tells_which_of_two_pictures_is_meant() -> None:
    own, other = picture()[None].astype(float), picture()[None].astype(float)
    boxes = [(0, 0, 64, 64)]
    own, other, mostly_own = (each.astype(np.uint8) for each in (own, other, 0.8 * own + 0.2 * other))
    assert metrics.nearer_by(mostly_own, own, other, boxes) == pytest.approx(20 * np.log10(4), abs=0.2)
    assert metrics.nearer_by(mostly_own, other, own, boxes) < -10


def test_overlap() -> None:
    found, true = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    found[0, :2], true[0, 1:3] = True, True
    assert metrics.overlap(found, true) == pytest.approx(1 / 3)
    assert np.isnan(metrics.overlap(found[1:], true[1:]))


def test_colour_error_compares_mean_colours_and_skips_frames_without_the_region() -> None:
    truth = picture()[None].repeat(2, axis=0)
    region = np.zeros((2, 64, 64), bool)
    region[0, :8, :8] = True
    result = truth.copy()
    result[0] += 51  # a fifth of the range
    result[1] = 0
    assert metrics.colour_error(result, truth, region) == pytest.approx(20)
    assert np.isnan(metrics.colour_error(result, truth, region & False))


def test_joints_are_found_where_they_went_whatever_the_colours() -> None:
    truth = np.full((64, 64, 3), 220, np.uint8)
    truth[20:44, 28:34] = (60, 90, 140)  # a limb that ends at (31, 43)
    result = np.full((64, 64, 3), 90, np.uint8)
    result[23:47, 32:38] = (230, 200, 30)  # 4 to the right and 3 down, in other colours
    joints = np.array([[31.0, 43.0]])
    assert metrics.joint_errors(result, truth, joints, radius=7, reach=9) == pytest.approx([5.0])
    assert metrics.joint_errors(truth, truth, joints, radius=7, reach=9) == pytest.approx([0.0])


def test_a_joint_that_is_not_there_counts_as_far_as_was_searched() -> None:
    truth = np.full((64, 64, 3), 220, np.uint8)
    truth[20:44, 28:34] = 60
    noise = RNG.integers(0, 256, truth.shape, dtype=np.uint8)
    joints = np.array([[31.0, 43.0]])
    for nothing in (np.full_like(truth, 128), noise):
        assert metrics.joint_errors(nothing, truth, joints, radius=7, reach=9) == pytest.approx([9.0])


def test_joints_at_the_pictures_edge_are_left_out() -> None:
    truth = picture()
    assert len(metrics.joint_errors(truth, truth, np.array([[3.0, 30.0], [30.0, 61.0]]), radius=7, reach=9)) == 0


def test_border_ratio_compares_with_the_median_change_within() -> None:
    steps = np.array([2, 2, 6, 2, 2, 9, 2], np.uint8)  # the third and sixth change cross a border
    levels = np.concatenate([[0], np.cumsum(steps)]).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (8, 4, 4, 3)).copy()
    assert metrics.border_ratio(frames, [3, 6]) == pytest.approx(7.5 / 2)
    assert metrics.border_ratio(frames, [1]) == pytest.approx(2 / 2)
    assert metrics.border_ratio(frames, [3], others=[3, 6]) == pytest.approx(6 / 9)

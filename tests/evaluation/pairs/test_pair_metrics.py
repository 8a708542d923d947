"""The arithmetic of `evaluate --pairs`: against other implementations, formulas written out, and known answers."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy.linalg import sqrtm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from onetoall_cli.evaluation.pairs import picture_measures
from onetoall_cli.evaluation.pairs.clip_features import CFLDFeatures, FIDVIDFeatures, FVDFeatures, resized
from onetoall_cli.evaluation.pairs.frechet import confidence, frechet_distance


def picture(seed: int, height: int = 70, width: int = 64) -> np.ndarray:
    """A smooth picture, uint8 (height, width, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def noisy(true: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, true.shape)
    return np.clip(np.round(true + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pair():
    true = picture(1)
    return noisy(true, 12), true


def written_out_ssim(x: np.ndarray, y: np.ndarray, window: int) -> float:
    """Mean over all whole windows of one channel, with sample variances: Wang et al.'s formula, nothing else."""
    a, b = (sliding_window_view(each.astype(float), (window, window)).reshape(-1, window**2) for each in (x, y))
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    both = ((a - mean_a[:, None]) * (b - mean_b[:, None])).sum(axis=1) / (window**2 - 1)
    variances = a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(
        ((2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))).mean()
    )


def test_psnr_and_gaussian_ssim_equal_another_implementation(pair):
    made, true = pair
    assert picture_measures.psnr(made, true) == pytest.approx(peak_signal_noise_ratio(true, made), abs=1e-6)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(made, true, channel_axis=2, **gaussian)
    assert picture_measures.ssim(made, true) == pytest.approx(expected, abs=1e-6)


def test_uniform_ssims_equal_the_formula_written_out(pair):
    made, true = pair
    grey = [np.asarray(Image.fromarray(each).convert("L")) for each in pair]  # the same luma weights, rounded
    assert picture_measures.grey_ssim(made, true) == pytest.approx(written_out_ssim(*grey, 7), abs=2e-4)
    expected = np.mean([written_out_ssim(made[..., channel], true[..., channel], 51) for channel in range(3)])
    assert picture_measures.wide_ssim(made, true) == pytest.approx(expected, abs=1e-6)


def test_grey_pictures_give_the_grey_ssim_exactly(pair):
    made, true = (np.repeat(each[..., :1], 3, axis=2) for each in pair)
    expected = written_out_ssim(made[..., 0], true[..., 0], 7)
    assert picture_measures.grey_ssim(made, true) == pytest.approx(expected, abs=1e-6)


def test_equal_pictures_and_noise_of_known_variance_have_known_answers():
    true = np.full((200, 200, 3), 128, np.uint8)
    assert picture_measures.psnr(true, true) == 100
    for measure in (picture_measures.ssim, picture_measures.grey_ssim, picture_measures.wide_ssim):
        assert measure(true, true) == pytest.approx(1)
    deviation = 10.0
    variance = deviation**2 + 1 / 12  # of the noise, and of rounding to a byte
    assert picture_measures.psnr(noisy(true, deviation), true) == pytest.approx(
        10 * np.log10(255**2 / variance), abs=0.05
    )
    # on a flat picture the structure is all noise: C2 / (variance + C2)
    c2 = (0.03 * 255) ** 2
    assert picture_measures.wide_ssim(noisy(true, deviation), true) == pytest.approx(c2 / (variance + c2), abs=0.01)


def test_a_shift_by_one_pixel_costs_a_checkerboard_everything_and_a_ramp_its_slope():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    board = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    assert picture_measures.psnr(np.roll(board, 1, axis=1), board) == pytest.approx(0)
    assert picture_measures.ssim(np.roll(board, 1, axis=1), board) < -0.9
    ramp = np.repeat(np.tile(np.arange(0, 192, 3, np.uint8), (64, 1))[..., None], 3, axis=2)
    shifted = np.clip(ramp.astype(int) - 3, 0, None).astype(np.uint8)
    error = 9 * 63 / 64
    assert picture_measures.psnr(shifted, ramp) == pytest.approx(10 * np.log10(255**2 / error))


def released_frechet(a: np.ndarray, b: np.ndarray) -> float:
    """As the released scripts write it, with scipy's matrix root."""
    apart = a.mean(axis=0) - b.mean(axis=0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(apart @ apart + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(sqrtm(cov_a @ cov_b)).real)


def test_the_frechet_distance_equals_the_released_formula_where_covariances_are_regular():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(60, 8)), rng.normal(1, 2, size=(50, 8)) @ rng.normal(size=(8, 8))
    assert frechet_distance(a, b) == pytest.approx(released_frechet(a, b), rel=1e-9)


def test_the_frechet_distance_is_exact_for_fewer_vectors_than_dimensions():
    """Ten vectors of 400: where a matrix root has only noise to work on."""
    rng = np.random.default_rng(4)
    a = rng.normal(size=(10, 400)).astype(np.float32)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * 400, rel=1e-6)
    mean, trace = a.mean(axis=0, dtype=np.float64), a.var(axis=0, ddof=1, dtype=np.float64).sum()
    assert frechet_distance(a, 3 * a) == pytest.approx(4 * mean @ mean + 4 * trace, rel=1e-6)
    b = np.concatenate([np.zeros((10, 200)), rng.normal(size=(10, 200))], axis=1)
    a[:, 200:] = 0  # nothing shared: the traces add up
    traces = a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum()
    assert frechet_distance(a, b) == pytest.approx(np.square(a.mean(0) - b.mean(0)).sum() + traces, rel=1e-6)


def test_the_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(5).normal(20, 3, 400)
    low, high = confidence(values)
    error = values.std(ddof=1) / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.05)
    assert confidence(np.append(values, np.nan)) == (low, high)
    assert np.isnan(confidence(values[:4])).all() and not np.isnan(confidence(values[:5])).any()


class Recorder(torch.nn.Module):
    """Stands in for a network: keeps what it sees; its features are the means of the first channel by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return x[:, 0].flatten(2).mean(dim=2) if x.ndim == 5 else x[:, 0].flatten(1).mean(dim=1, keepdim=True)


def flat(value: int) -> np.ndarray:
    return np.full((40, 50, 3), value, np.uint8)


@torch.no_grad()
def test_fid_vid_averages_segments_of_sixteen_and_fills_the_last_with_its_last_frame():
    network = Recorder()
    features = FIDVIDFeatures(network)
    for number in range(20):
        features.add(flat(number))
    vectors = features.vectors()
    assert [tuple(each.shape) for each in network.seen] == [(1, 3, 16, 112, 112)] * 2
    segments = [np.arange(16), np.array([16, 17, 18, 19, *[19] * 12])]
    assert vectors == pytest.approx(np.mean(segments, axis=0)[None] - 114.7748, abs=1e-4)


@torch.no_grad()
def test_fvd_sees_the_whole_clip_or_windows_of_it():
    whole, windows, short = Recorder(), Recorder(), Recorder()
    collectors = [FVDFeatures(whole, None), FVDFeatures(windows, 16), FVDFeatures(short, 16)]
    for number in range(35):
        for collector in collectors[:2]:
            collector.add(flat(number))
    for number in range(9):
        collectors[2].add(flat(number))
    scaled = np.arange(35) / 127.5 - 1
    assert collectors[0].vectors() == pytest.approx(scaled[None], abs=1e-5)
    assert collectors[1].vectors() == pytest.approx(np.stack([scaled[:16], scaled[16:32]]), abs=1e-5)
    assert collectors[2].vectors() == pytest.approx(scaled[[*range(9), *[8] * 7]][None], abs=1e-5)
    assert whole.seen[0].shape == (1, 3, 35, 224, 224)


def test_pictures_for_video_networks_are_resized_as_the_released_scripts_do(pair):
    made, _ = pair
    channel = Image.fromarray(made[..., 1].astype(np.float32), mode="F").resize((112, 112), Image.Resampling.BICUBIC)
    assert np.array_equal(resized(made, 112)[1].numpy(), np.asarray(channel))


@torch.no_grad()
def test_deepfashions_fid_shifts_the_channels_as_its_baseline_does():
    network = Recorder()
    CFLDFeatures(network).add(flat(255))
    seen = network.seen[0][0, :, 5, 5].numpy()
    assert seen == pytest.approx([0.229 / 0.5 - 0.03, 0.224 / 0.5 - 0.088, 0.225 / 0.5 - 0.188], abs=1e-6)

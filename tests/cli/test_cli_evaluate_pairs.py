"""`onetoall evaluate --pairs` from files to tables, with small stand-ins for the networks."""

import csv
import json

import numpy as np
import pytest
import torch

from onetoall_cli.evaluation.pairs import metrics as pair_metrics
from onetoall_cli.media import FrameFolderWriter, read_picture


class StandIn(torch.nn.Module):
    """Random features of whatever it is given; the distance of two pictures for LPIPS."""

    def __init__(self, entry: str) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
        self._is_distance = entry.startswith("lpips")

    def forward(self, *pictures: torch.Tensor) -> torch.Tensor:
        means = [picture.flatten(2).mean(dim=2) @ self.weight.T for picture in pictures]
        return (means[0] - means[1]).abs().mean(dim=1) if self._is_distance else means[0]


@pytest.fixture
def networks(monkeypatch, machine, seeing):
    """Every metric network but that of faces, as a stand-in, and a detector that sees nobody in noise."""
    monkeypatch.setattr(pair_metrics.stored, "is_installed", lambda entry: not entry.startswith("face"))
    monkeypatch.setattr(pair_metrics.stored, "load_network", lambda entry, device: StandIn(entry))


@pytest.fixture
def clips(tmp_path):
    """Folders `truth` and `results` of clips of noise; the results drift away from the truth."""
    rng = np.random.default_rng(0)
    for name, length in (("one", 9), ("two", 12), ("three", 4), ("four", 2), ("five", 2)):
        truth = rng.integers(60, 180, (length, 48, 64, 3), np.uint8)
        for side, step in (("truth", 0), ("results", 2)):
            (tmp_path / side).mkdir(exist_ok=True)
            with FrameFolderWriter(tmp_path / side / name) as folder:
                for number, frame in enumerate(truth):
                    folder.write(frame + np.uint8(step * number))
    return ("evaluate", "--pairs", "results", "truth")


def test_every_metric_with_its_interval_or_its_number_of_vectors(onetoall, clips, networks) -> None:
    shown = onetoall(*clips, "--metrics", "psnr,ssim,lpips,fvd,fid-vid")
    assert shown.exit_code == 0, shown.err
    for words in ("5 clips, 29 frames, 64 x 48", "PSNR dB", " to ", "higher", "FVD", "N = 5", "lower", "three"):
        assert words in shown.out
    result = onetoall(*clips, "--metrics", "psnr,ssim,lpips,fvd,fid-vid", "--json").json
    metrics = result["metrics"]
    assert metrics["fvd"]["vectors"] == metrics["fid-vid"]["vectors"] == 5 and metrics["fvd"]["value"] > 0
    low, high = metrics["psnr"]["interval"]
    assert low < metrics["psnr"]["mean"] < high
    drift = result["clips"][2]["per_frame"]["psnr"]
    assert drift[0] == 100 and drift == sorted(drift, reverse=True)


def test_equal_results_are_perfect_in_every_protocol(onetoall, clips, networks) -> None:
    for protocol in ("default", "disco"):
        result = onetoall("evaluate", "--pairs", "truth", "truth", "--protocol", protocol, "--json")
        assert result.exit_code == 0, result.err
        metrics = result.json["metrics"]
        assert metrics["psnr"]["mean"] == 100 and metrics["ssim"]["mean"] == pytest.approx(1)
        assert metrics["lpips"]["mean"] == 0
        for name in ("fvd", "fid-vid"):
            assert metrics[name]["value"] == pytest.approx(0, abs=1e-6)


def test_tables_sheet_and_plot_are_written(onetoall, clips, networks, tmp_path) -> None:
    written = ("--csv", "t.csv", "--markdown", "t.md", "--sheet", "worst.png", "--plot", "drift.png")
    result = onetoall(*clips, "--metrics", "psnr,ssim", *written)
    assert result.exit_code == 0, result.err
    with open(tmp_path / "t.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["clip"] for row in rows] == ["five", "four", "one", "three", "two"] and rows[3]["frames"] == "4"
    assert "| PSNR dB |" in (tmp_path / "t.md").read_text()
    assert (
        read_picture(tmp_path / "worst.png").shape[0] > 5 * 320
    )  # a frame of each clip, which lasts less than a second
    plot = read_picture(tmp_path / "drift.png")
    assert plot.shape == (440, 900, 3) and (plot != 255).any(axis=2).mean() > 0.01


def test_pictures_get_the_metrics_of_pictures(onetoall, clips, networks) -> None:
    result = onetoall("evaluate", "--pairs", "results/one", "truth/one", "--pictures", "--json")
    assert result.exit_code == 0, result.err
    assert result.json["kind"] == "pictures" and result.json["metrics"]["fid"]["vectors"] == 9
    assert "fvd" not in result.json["metrics"]


def test_missing_networks_are_named_and_skipped_or_an_error_if_asked_for(onetoall, clips, machine, seeing) -> None:
    result = onetoall(*clips)
    assert result.exit_code == 0, result.err
    for metric, entry in (("LPIPS", "lpips-vgg"), ("FVD", "i3d"), ("FID-VID", "resnet3d"), ("CSIM", "face")):
        assert f"Without {metric}: {metric} needs the network '{entry}'. Run `onetoall fetch {entry}`." in result.out
    asked = onetoall(*clips, "--metrics", "psnr,fvd")
    assert asked.exit_code == 3 and "onetoall fetch i3d" in asked.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--metrics", "psnr,sharpness"), "no metric 'sharpness'"),
        (("--metrics", "fid"), "FID is not for videos"),
        (("--metrics", "fvd", "--sheet", "s.png"), "need a metric of frames"),
        (("--count", "4"), "--count does not go with --pairs"),
        (("--csv", "table.txt"), "table.txt"),
    ],
)
def test_options_that_do_not_fit_are_refused(onetoall, clips, networks, options, words) -> None:
    result = onetoall(*clips, *options)
    assert result.exit_code == 2 and words in result.err


def test_options_of_pairs_are_refused_for_puppets(onetoall) -> None:
    result = onetoall("evaluate", "tiny", "--protocol", "disco")
    assert result.exit_code == 2 and "--protocol does not go with an evaluation on puppets" in result.err


def test_what_cannot_be_measured_is_null_and_not_nan_in_json(onetoall, clips, networks) -> None:
    result = onetoall(*clips, "--metrics", "psnr,apd-body", "--json")
    read = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert read["metrics"]["apd-body"]["mean"] is None
    assert "People found by test." in read["notes"]
    shown = onetoall(*clips, "--metrics", "psnr,apd-body").out
    assert "APD-body: nothing to measure in 29 of 29 frames." in shown

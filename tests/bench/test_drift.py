"""Drift: what is measured of results whose faults are known."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner
from untrained_model import build_untrained_model

from onetoall_cli.bench.chart import COLOURS, PANEL, line_charts
from onetoall_cli.bench.drift import TITLES, Drift, _measured, worsening
from onetoall_cli.cli import app
from onetoall_cli.evaluation.puppets.cases import make_case
from onetoall_cli.media import read_picture


@pytest.fixture(scope="module")
def case():
    return make_case("aligned", "test", 1, width=96, height=144, frames=3, canvas_short_side=96)


def measured(result, case) -> Drift:
    return _measured(result, case, slice(0, 3))


def test_the_truth_has_no_error(case):
    drift = measured(case.truth.frames, case)
    assert drift.colour == 0
    assert drift.backdrop < 0.5
    assert drift.contrast == drift.sharpness == 1
    assert drift.face > 50


def test_a_tint_counts_in_percent_of_the_range_and_nowhere_else(case):
    tinted = np.clip(case.truth.frames + np.array([13, 0, 0]), 0, 255).astype(np.uint8)
    drift = measured(tinted, case)
    assert drift.colour == pytest.approx(13 / 255 / 3 * 100, rel=0.25)
    assert drift.backdrop == pytest.approx(13 / 255 / 3 * 100, rel=0.25)
    assert drift.contrast == pytest.approx(1, abs=0.05) and drift.sharpness == pytest.approx(1, abs=0.05)


def test_faded_and_blurred_pictures_lose_contrast_sharpness_and_face(case):
    faded = (128 + 0.5 * (case.truth.frames.astype(float) - 128)).astype(np.uint8)
    assert measured(faded, case).contrast == pytest.approx(0.5, abs=0.02)
    blurred = np.stack([frame.reshape(48, 3, 32, 3, 3).mean(axis=(1, 3)) for frame in case.truth.frames])
    blurred = blurred.repeat(3, axis=1).repeat(3, axis=2).astype(np.uint8)
    assert measured(blurred, case).sharpness < 0.8
    assert measured(blurred, case).face < measured(case.truth.frames, case).face - 10


def test_worsening_compares_the_last_segment_with_the_second():
    figures = zip((9.0, 2.0, 5.0, 3.0), (1.0, 0.8, 1.0, 1.5), strict=True)
    drift = [Drift(colour, 0, contrast, 1, 30, 1) for colour, contrast in figures]
    assert worsening(drift) == {"colour": 1.5, "contrast": pytest.approx(1.5 * 0.8)}


def test_a_jump_where_a_segment_begins_is_a_border(case):
    jumping = case.truth.frames.copy()
    jumping[1:] = np.clip(jumping[1:].astype(int) + 40, 0, 255)
    assert _measured(jumping, case, slice(1, 3)).border > 2 * _measured(case.truth.frames, case, slice(1, 3)).border
    assert np.isnan(_measured(jumping, case, slice(0, 1)).border)


def test_a_rising_line_is_drawn_from_the_lower_left_to_the_upper_right():
    picture = line_charts({"up": {"a": [1, 2, 3], "b": [3, float("nan"), 3]}, "down": {"a": [3, 2, 1]}})
    assert picture.shape == (2 * PANEL[1], PANEL[0], 3)
    colour = [int(COLOURS[0][at : at + 2], 16) for at in (1, 3, 5)]
    for top, sign in ((0, -1), (PANEL[1], 1)):
        y, x = np.nonzero((picture[top + 40 : top + PANEL[1]] == colour).all(axis=-1))
        assert len(x) > 200
        assert np.sign(np.corrcoef(x, y)[0, 1]) == sign


def test_the_command_writes_table_figures_and_plot(tmp_path):
    model = build_untrained_model(tmp_path / "model")
    arguments = ["--drift", "--model", model, "--segments", 3, "--count", 1, "--steps", 1, "--device", "cpu"]
    arguments += ["--carry", "frames", "--carry", "toned"]
    files = ["-o", tmp_path / "drift.json", "--plot", tmp_path / "drift.png"]
    result = CliRunner().invoke(app, ["bench", *(str(each) for each in (*arguments, *files))])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "drift.json").read_text())
    for way in ("frames", "toned"):
        segments, worse = (figures["ways"][way][name] for name in ("segments", "worsening"))
        assert len(segments) == 3 and segments[0]["border"] is None and segments[1]["border"] > 0
        assert worse["colour"] == segments[2]["colour"] / segments[1]["colour"]
        assert f"{segments[2]['colour']:.2f}" in result.output and f"colour {worse['colour']:.2f}" in result.output
    assert read_picture(tmp_path / "drift.png").shape == (len(TITLES) * PANEL[1], PANEL[0], 3)


def test_drift_needs_a_model_and_a_way_that_there_is():
    result = CliRunner().invoke(app, ["bench", "--drift"])
    assert result.exit_code == 2
    assert "needs a trained model" in result.output
    result = CliRunner().invoke(app, ["bench", "--drift", "--model", "tiny", "--carry", "pixels"])
    assert result.exit_code == 2 and "toned, latents, frames" in result.output

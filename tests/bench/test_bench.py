"""The measuring commands measure what they say."""

import json

import pytest
import torch
from diffusers import AutoencoderKLWan
from typer.testing import CliRunner
from untrained_model import build_untrained_model

from onetoall_cli.animator import load
from onetoall_cli.bench.long_video import long_video
from onetoall_cli.bench.measure import BenchJob, run
from onetoall_cli.bench.networks import random_inputs, random_network
from onetoall_cli.bench.quality import EXACT, approximations, compare, held_out_inputs
from onetoall_cli.bench.scaling import series
from onetoall_cli.bench.steps import WORKS, vae_work, work
from onetoall_cli.cli import app
from onetoall_cli.runtime.peak_memory import read_peak, start_peak

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "ffn_dim": 96,
    "text_dim": 24,
    "num_layers": 3,
    "num_reference_layers": 1,
    "num_pose_layers": 1,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_untrained_model(tmp_path_factory.mktemp("model"))


def bench(*arguments: object):
    return CliRunner().invoke(app, ["bench", *(str(each) for each in arguments)])


def test_every_piece_of_work_runs():
    network = random_network(SMALL, torch.bfloat16)
    inputs = random_inputs(network, 32, 32, 5)
    for name in WORKS:
        assert work(name, network, inputs)() is not None


def test_the_vae_is_measured_on_the_segment():
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1)
    inputs = random_inputs(random_network(SMALL, torch.bfloat16), 32, 32, 5)
    assert vae_work("VAE decode", vae, inputs)().sample.shape == (1, 3, 5, 32, 32)
    assert len(vae_work("VAE encode", vae, inputs)()) == 3


def test_the_peak_sees_memory_that_is_gone_again():
    cpu = torch.device("cpu")
    before = start_peak(cpu)
    torch.ones(60_000_000).sum()
    assert read_peak(cpu) - before == pytest.approx(240e6, rel=0.2)


def test_a_measurement_counts_the_weights():
    found = run(BenchJob("text keys", "tiny", None, 16, 16, 1, dtype="bfloat16"))
    network = random_network("tiny", torch.bfloat16)
    assert found.weights == sum(parameter.nbytes for parameter in network.parameters())
    assert found.peak > found.weights and found.seconds > 0


def check_figures(tmp_path):
    size = ("--width", 16, "--height", 16, "--frames", 1)
    only = ("--only", "pass", "--only", "plain pass")
    result = bench("--random", "tiny", *size, *only, "--device", "cpu", "-o", tmp_path / "figures.json")
    assert result.exit_code == 0, result.stderr
    stored = json.loads((tmp_path / "figures.json").read_text())
    measured = stored["measured"]
    assert next(iter(stored["ratios"].values())) == measured["plain pass"]["seconds"] / measured["pass"]["seconds"]
    assert "times faster" in result.stdout


def test_the_command_prints_a_table_and_writes_the_same_as_json(tmp_path, monkeypatch):
    monkeypatch.setattr("onetoall_cli.bench.measure.measure", run)
    check_figures(tmp_path)


@pytest.mark.slow
def test_measurements_run_in_processes_of_their_own(tmp_path):
    check_figures(tmp_path)


@pytest.mark.parametrize(
    "options",
    [("--width", 20), ("--frames", 8), ("--only", "magic"), ("--random", "tiny", "--model", "x"), ("--quality",)],
)
def test_what_cannot_be_measured_is_bad_input(options):
    assert bench(*options).exit_code == 2


def test_a_long_video_is_generated_segment_by_segment():
    network = random_network(SMALL, torch.bfloat16)
    assert long_video(network, 32, 32, 21)() == 21


def test_scaling_varies_one_thing_at_a_time():
    jobs = [job for name, _, job in series(BenchJob("step", "tiny", None, 384, 256, 29)) if name == "frames"]
    assert [job.frames for job in jobs] == [17, 33, 49, 65, 81]
    assert len({(job.width, job.height) for job in jobs}) == 1


def test_approximations_are_compared_with_the_exact_frames(model):
    subject = load(model, device="cpu", dtype="bfloat16")
    inputs = held_out_inputs(subject, 2, 5)
    ways = {
        EXACT: {},
        "same": {"cache": "taylor", "cache_strength": 1.0},
        "one": {"steps": 1},
    }
    exact, same, one = compare(subject, inputs, ways)
    assert (exact.name, exact.speed, exact.ssim) == ("exact", 1.0, pytest.approx(1.0))
    assert same.psnr == pytest.approx(exact.psnr)
    assert one.worst_psnr < exact.psnr
    assert (exact.network_runs, one.network_runs) == (6, 3)
    assert {"--fast both", EXACT} < set(approximations(30))

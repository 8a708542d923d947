"""The speed options: what they change, what the record says of them, and clear errors where they cannot work."""

import pytest
import torch
from safetensors.torch import save_file

from onetoall_cli.media import read_metadata, read_picture


@pytest.fixture
def lora(tmp_path):
    path = tmp_path / "lora.safetensors"
    name = "diffusion_model.blocks.0.self_attn.q"
    save_file({f"{name}.lora_down.weight": torch.ones(2, 64), f"{name}.lora_up.weight": torch.ones(64, 2)}, path)
    return path


def plan(onetoall, model, reference, dance_poses, *options) -> dict:
    result = onetoall("animate", reference, dance_poses, "--model", model, *options, "--dry-run", "--json")
    assert result.exit_code == 0, result.err
    return result.json


def test_the_plan_counts_the_runs_that_are_left(onetoall, model, reference, dance_poses, lora):
    def runs(*options):
        fields = plan(onetoall, model, reference, dance_poses, *options)
        return fields["network_runs"] / len(fields["segments"])

    assert runs("--steps", 12) == 36
    assert runs("--steps", 12, "--fast", "guidance") == 12 + 2 * 4
    assert runs("--steps", 12, "--fast", "guidance", "--guidance-every", 2) == 12 + 2 * 6  # explicit wins
    assert runs("--steps", 12, "--guidance-interval", "0.25-0.75") == 12 + 2 * 6
    assert runs("--preset", "lightning", "--lora", lora) == 4 + 2  # the first half with the reference's guidance
    assert runs("--preset", "lightning", "--lora", lora, "--ref-guidance", 1) == 4
    assert runs("--preset", "lightning", "--lora", lora, "--steps", 6, "--ref-guidance", 2) == 12


def test_a_fast_run_with_a_lora_is_recorded_so_that_it_can_be_made_again(
    onetoall, model, reference, ref_pose, dance_poses, lora, tmp_path
):
    common = ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.5)
    fast = ("--fast", "both", "--sampler", "unipc", "--steps", 12, "--lora", f"{lora}:0.5", "--lora", lora)
    assert onetoall(*common, "--steps", 12, "--frames", "plain", "-o", "plain.mp4").exit_code == 0
    result = onetoall(*common, *fast, "--frames", "fast", "-o", "fast.mp4")
    assert result.exit_code == 0, result.err
    arguments = read_metadata(tmp_path / "fast.mp4")["arguments"]
    said = " ".join(arguments)
    for part in ("--sampler unipc", "--guidance-every 2", "--cache taylor", f"--lora {lora}:0.5 --lora {lora}"):
        assert part in said
    again = onetoall(*arguments, "--frames", "again", "-o", "again.mp4")
    assert again.exit_code == 0, again.err
    pictures = {name: read_picture(sorted((tmp_path / name).glob("*.png"))[-1]) for name in ("plain", "fast", "again")}
    assert (pictures["fast"] == pictures["again"]).all()
    assert (pictures["fast"] != pictures["plain"]).any()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--preset", "lightning"), "No step-distillation LoRA is known for the model"),
        (("--ref-guidance", "2@0.5-1,3@0-0.5"), "no scale"),
        (("--pose-guidance", "much"), "no scale"),
        (("--guidance-interval", "0.8-0.2"), "no part of the steps"),
        (("--cache", "taylor", "--cache-strength", 0.5), "at least 1"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(onetoall, model, reference, dance_poses, options, problem):
    result = onetoall("animate", reference, dance_poses, "--model", model, *options, "--dry-run")
    assert result.exit_code == 2
    assert problem in result.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--attention", "sage"), "runs on CUDA only"),
        (("--lora", "nowhere.safetensors"), "no LoRA file"),
        (("--lora", "hf:only-an-owner"), "names no file on the hub"),
    ],
)
def test_what_is_not_here_is_said(onetoall, model, reference, ref_pose, dance_poses, options, problem, tmp_path):
    common = ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.2)
    result = onetoall(*common, "--device", "cpu", *options, "-o", "out.mp4")
    assert result.exit_code == 2
    assert problem in result.err
    assert not (tmp_path / "out.mp4").exists()


def test_a_dry_run_opens_the_loras(onetoall, model, reference, dance_poses, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"<html>")
    command = ("animate", reference, dance_poses, "--model", model, "--dry-run")
    for name in ("broken.safetensors", "missing.safetensors"):
        result = onetoall(*command, "--lora", name)
        assert (result.exit_code, name in result.err) == (2, True)

"""Several seeds in one run, and progress that programs can read."""

import json

import pytest

from onetoall_cli.animator.settings import (
    AlignSettings,
    GenerationSettings,
    ModelSettings,
    MotionSettings,
    as_arguments,
)
from onetoall_cli.cli.options import OPTIONS, Seeds, declared_names
from onetoall_cli.errors import BadInput
from onetoall_cli.media import read_metadata, read_picture


@pytest.fixture
def common(reference, dance_poses, ref_pose, model) -> tuple:
    return ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.3)


def test_several_seeds_are_outputs_named_by_them_and_a_contact_sheet(onetoall, common, tmp_path) -> None:
    result = onetoall(*common, "--seed", "7,9", "-o", "out.mp4", "--frames", "frames", "--json")
    assert result.exit_code == 0, result.err
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"out-7.mp4", "out-9.mp4", "out-seeds.png", "frames-7", "frames-9"}
    assert [each["seed"] for each in result.json["outputs"]] == [7, 9]
    for seed in (7, 9):
        arguments = read_metadata(tmp_path / f"out-{seed}.mp4")["arguments"]
        assert arguments[arguments.index("--seed") + 1] == str(seed)
    first, second = ((tmp_path / f"frames-{seed}" / "000000.png").read_bytes() for seed in (7, 9))
    assert first != second
    alone = onetoall(*common, "--seed", 9, "-o", "alone.mp4", "--frames", "alone")
    assert alone.exit_code == 0
    one, other = (read_picture(tmp_path / folder / "000000.png") for folder in ("alone", "frames-9"))
    assert (one == other).all()


def test_seeds_counts_from_the_first_and_poses_are_detected_once(
    onetoall, reference, dance, model, seeing, tmp_path
) -> None:
    command = ("animate", reference, dance, "--model", model, "--duration", 0.3, "--seed", 5, "--seeds", 3)
    result = onetoall(*command, "-o", "out.gif")
    assert result.exit_code == 0, result.err
    assert {path.name for path in tmp_path.iterdir()} == {"out-5.gif", "out-6.gif", "out-7.gif", "out-seeds.png"}
    assert result.err.count("Detecting poses") == 1


def test_an_existing_output_of_one_seed_is_said_before_any_work(onetoall, common, tmp_path) -> None:
    (tmp_path / "out-9.mp4").touch()
    result = onetoall(*common, "--seed", "7,9", "-o", "out.mp4")
    assert (result.exit_code, "out-9.mp4 already exists" in result.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["out-9.mp4"]


@pytest.mark.parametrize("seeds", [Seeds("seven"), Seeds("-1"), Seeds("1,2", 2), Seeds("1,,2")])
def test_seeds_that_cannot_be_are_refused(seeds) -> None:
    with pytest.raises(BadInput):
        seeds.numbers()


def test_progress_json_makes_every_line_of_stderr_an_object(onetoall, common) -> None:
    result = onetoall(*common, "--progress", "json")
    assert result.exit_code == 0, result.err
    lines = [json.loads(line) for line in result.err.splitlines()]
    steps = [line for line in lines if line.get("stage") == "Denoising"]
    assert steps[-1]["done"] == steps[-1]["total"] and set(steps[-1]) == {
        "stage",
        "done",
        "total",
        "unit",
        "seconds_left",
    }
    assert {"Denoising", "Writing frames"} <= {line.get("stage") for line in lines}
    assert any("Model" in line.get("note", "") for line in lines)


def test_progress_json_makes_an_error_an_object_too(onetoall, common) -> None:
    result = onetoall(*common, "--progress", "json", "--width", 64, "--short-side", 64)
    *_, last = [json.loads(line) for line in result.err.splitlines()]
    assert (last["exit_code"], "contradict" in last["error"]) == (2, True)


@pytest.mark.parametrize("group", OPTIONS)
def test_the_record_says_every_setting_as_the_option_is_called(group) -> None:
    """`info` gives the record back as a command, so `as_arguments` must write what the command line reads."""
    for name, option in OPTIONS[group].items():
        info = option if hasattr(option, "param_decls") else option.__metadata__[0]
        long = [part for each in declared_names(name, info) for part in each.split("/") if part.startswith("--")]
        assert f"--{name.replace('_', '-')}" in long


def test_settings_become_arguments_with_every_value_said() -> None:
    groups = (MotionSettings(smooth=False), AlignSettings(anchor=3), ModelSettings(model="tiny", lora=("a", "b:0.5")))
    said = " ".join(as_arguments(*groups))
    assert "--no-smooth" in said and "--anchor 3" in said and "--lora a --lora b:0.5" in said
    assert "--auto-fetch" not in said and "--tiling" not in said and "--compile" not in said
    assert "--seed 42" in " ".join(as_arguments(GenerationSettings()))

"""How the commands say and record how the model is made to fit, and what they do when it does not."""

import os
from types import SimpleNamespace

import pytest

from onetoall_cli.media import open_video, read_metadata
from onetoall_cli.runtime import machine

GB = 10**9


@pytest.fixture
def free(monkeypatch):
    """Set how much main memory is free."""

    def set_free(size: float) -> None:
        memory = machine.Memory("CPU", 64 * GB, int(size))
        monkeypatch.setattr(machine, "system_memory", lambda: memory)

    return set_free


def test_a_dry_run_shows_the_plan_and_the_estimate_of_each_phase(onetoall, model, reference, dance):
    command = ("animate", reference, dance, "--model", model, "--dry-run", "--device", "cpu", "--dtype", "bfloat16")
    memory = onetoall(*command, "--json").json["memory"]
    assert set(memory["phases"]) == {"conditions", "pose", "denoising", "decoding"}
    assert memory["peak"] == max(memory["phases"].values()) > memory["weights"] > 0
    assert (memory["quantize"], memory["offload"], memory["tiling"]) == ("none", "none", False)
    assert "Memory: bfloat16, about 0.0 GB" in onetoall(*command).out


def test_options_override_the_plan_and_the_record_has_what_was_decided(
    onetoall, model, reference, ref_pose, dance_poses, tmp_path
):
    command = ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.3)
    done = onetoall(*command, "--device", "cpu", "--quantize", "int8", "-o", "out.mp4")
    assert done.exit_code == 0, done.err
    arguments = read_metadata(tmp_path / "out.mp4")["arguments"]
    for option, value in {"--memory": "auto", "--quantize": "int8"}.items():
        assert arguments[arguments.index(option) + 1] == value
    assert "--no-tiling" in arguments


def test_a_job_that_cannot_fit_ends_before_anything_is_loaded(onetoall, model, reference, dance, free, monkeypatch):
    free(1000)
    monkeypatch.setattr("onetoall_cli.animator.engine.load_pipeline", lambda *_, **__: pytest.fail("loaded"))
    result = onetoall("animate", reference, dance, "--model", model, "--device", "cpu", "--dry-run")
    assert result.exit_code == 4
    assert "does not fit the 0.0 GB that are free (CPU)" in result.err


def test_a_level_that_may_not_fit_is_tried_with_a_warning(onetoall, model, reference, dance, free):
    free(1000)
    command = ("animate", reference, dance, "--model", model, "--device", "cpu", "--dry-run", "--memory", "high")
    result = onetoall(*command)
    assert (result.exit_code, "This may not fit" in result.err) == (0, True)


def test_that_others_are_at_work_is_said_since_the_plan_cannot_know_what_they_will_take(
    onetoall, model, reference, dance, monkeypatch
):
    commands = [
        ["/usr/bin/python3", "/usr/bin/onetoall", "animate", "a.png"],
        ["python", "-m", "onetoall_cli", "train", "config.yaml"],
        ["python", "-m", "onetoall_cli", "fetch", "1.3b"],
        ["vim", "onetoall"],
        [],
    ]
    others = [SimpleNamespace(pid=-index, info={"cmdline": command}) for index, command in enumerate(commands, 1)]
    monkeypatch.setattr("psutil.process_iter", lambda _: [*others, SimpleNamespace(pid=os.getpid(), info={})])
    result = onetoall("animate", reference, dance, "--model", model, "--device", "cpu", "--dry-run")
    assert "2 other run(s) of onetoall are at work here" in result.err


def test_when_memory_runs_out_the_segment_is_made_with_a_smaller_plan_and_it_says_so(
    onetoall, model, reference, ref_pose, dance_poses, tmp_path, monkeypatch
):
    from onetoall_cli.model import OneToAllTransformer3DModel

    original, calls = OneToAllTransformer3DModel.denoise, []

    def fail_once(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise MemoryError
        return original(self, *args, **kwargs)

    monkeypatch.setattr(OneToAllTransformer3DModel, "denoise", fail_once)
    command = ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--device", "cpu")
    done = onetoall(*command, "-o", "out.mp4")
    assert done.exit_code == 0, done.err
    assert "Memory ran out. Segment 2 is tried again with" in done.err
    assert len(list(open_video(tmp_path / "out.mp4"))) == 20

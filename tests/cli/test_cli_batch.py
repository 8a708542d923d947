"""`onetoall batch`: checked before anything is made, goes on wherever it ended, and failures do not stop the others."""

import json
import shutil
from pathlib import Path

import pytest
from command_fixtures import real_poses

from onetoall_cli.animator import engine
from onetoall_cli.cli.batch_rows import COMMANDS, _parameters
from onetoall_cli.media import open_video

SMALL = ("--short-side", 32, "--steps", 1)


@pytest.fixture
def inputs(tmp_path, reference, ref_pose) -> Path:
    """Two references with their poses, two motions, and one that is damaged."""
    for name in ("refs", "dances"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        shutil.copy(reference, tmp_path / "refs" / f"{name}.png")
    shutil.copy(ref_pose, tmp_path / "ref.json")
    for name, frames in (("one", 5), ("two", 3)):
        real_poses("dance_full", frames).save(tmp_path / "dances" / f"{name}.json")
    (tmp_path / "dances" / "broken.json").write_text("{")
    return tmp_path


def lines(result) -> list[dict]:
    return [json.loads(line) for line in result.out.splitlines()]


def test_every_reference_with_every_dance_and_a_broken_one_does_not_stop_the_others(
    onetoall, inputs, model, monkeypatch
) -> None:
    loaded = []
    load = engine.load_pipeline
    monkeypatch.setattr(engine, "load_pipeline", lambda *a, **k: loaded.append(1) or load(*a, **k))
    command = ("batch", "refs", "dances", "-o", "out", "--model", model, "--ref-pose", "ref.json", *SMALL)
    first = onetoall(*command, "--json")
    assert first.exit_code == 5 and loaded == [1]
    *jobs, summary = lines(first)
    assert (summary["jobs"], summary["done"], summary["failed"]) == (6, 4, 2)
    assert [job["event"] for job in jobs].count("failed") == 2
    assert "is not JSON" in next(job["error"] for job in jobs if job["event"] == "failed")
    assert sorted(path.name for path in (inputs / "out").glob("*.mp4")) == [
        "a-one.mp4",
        "a-two.mp4",
        "b-one.mp4",
        "b-two.mp4",
    ]
    again = onetoall(*command, "--json")
    assert again.exit_code == 5 and len(lines(again)) == 1, "nothing is made twice"
    retried = onetoall(*command, "--json", "--retry-failed")
    assert retried.exit_code == 5 and len(lines(retried)) == 3
    assert onetoall(*command, "--retry-failed", "--fail-fast").exit_code == 2
    real_poses("dance_full", 3).save(inputs / "dances" / "broken.json")
    (inputs / "out" / "a-one.mp4").unlink()
    mended = onetoall(*command, "--json")
    assert mended.exit_code == 0 and len(lines(mended)) == 4  # two that are mended, one that was gone
    shutil.move(inputs / "out" / "a-two.mp4", inputs / "before.mp4")
    alone = next(job["arguments"] for job in jobs if job["output"].endswith("a-two.mp4"))
    assert onetoall(*alone).exit_code == 0
    assert (inputs / "before.mp4").read_bytes() == (inputs / "out" / "a-two.mp4").read_bytes()
    page = (inputs / "out" / "report.html").read_text()
    assert page.count('"state": "done"') == 6 and "data:image/jpeg" in page


def test_every_fault_is_told_before_anything_is_made(onetoall, inputs) -> None:
    (inputs / "jobs.yaml").write_text(
        "defaults: {model: tiny, short_sid: 32}\n"
        "jobs:\n"
        "  - {command: animate, reference: refs/a.png, driving: gone.mp4}\n"
        "  - {command: animate, reference: refs/a.png, driving: dances/one.json, steps: 0}\n"
        "  - {command: animate, reference: refs/a.png, driving: dances/one.json, stepps: 2}\n"
        "  - {command: transfer, reference: refs/a.png, pose: dances/one.json, output: x.png}\n"
        "  - {command: transfer, reference: refs/b.png, pose: dances/one.json, output: x.png}\n"
        "  - {command: transfer, reference: refs/b.png, pose: dances/one.json, output: y.mp4}\n"
        "  - {command: dance}\n"
        "  - {command: transfer, reference: refs/b.png, pose: dances/one.json, guidance_interval: 3-1}\n"
    )
    result = onetoall("batch", "jobs.yaml")
    assert result.exit_code == 2
    for fault in (
        "jobs.yaml: there is no option 'short_sid' (in defaults).",
        "jobs.yaml, line 3: gone.mp4 does not exist.",
        "jobs.yaml, line 4: steps should be greater than or equal to 1, not 0.",
        "jobs.yaml, line 5: stepps is no known key (did you mean 'steps'?).",
        "jobs.yaml, line 7: x.png is the output of jobs.yaml, line 6 too.",
        "jobs.yaml, line 8: y.mp4 cannot be written as .mp4.",
        "jobs.yaml, line 9: command should be animate or transfer or extend, not 'dance'.",
        "jobs.yaml, line 10: --guidance-interval 3-1 is no part of the steps.",
        "Nothing was done.",
    ):
        assert fault in result.err, result.err
    assert not (inputs / "jobs-out").exists()


def test_a_manifest_has_defaults_and_paths_of_its_own_place(onetoall, inputs, model) -> None:
    (inputs / "deep").mkdir()
    (inputs / "deep" / "jobs.csv").write_text(
        "command,reference,driving,pose,ref_pose,seed,output,lora\n"
        "animate,../refs/a.png,../dances/one.json,,../ref.json,8,made/new.webm,\n"
        "transfer,../refs/b.png,,../dances/two.json,../ref.json,,,\n"
    )
    command = ("batch", "deep/jobs.csv", "--model", model, *SMALL)
    plan = onetoall(*command, "--dry-run")
    assert plan.exit_code == 0 and "2 jobs, 2 segments, 6 network runs" in plan.out
    assert not (inputs / "deep" / "made").exists()
    made = onetoall(*command)
    assert made.exit_code == 0, made.err
    plan = onetoall(*command, "--dry-run", "--json")
    assert lines(plan)[-1]["seconds_left"] == 0 and lines(plan)[-1]["segments"] == 2
    assert sum(1 for _ in open_video(inputs / "deep" / "made" / "new.webm")) == 5
    assert (inputs / "deep" / "jobs-out" / "b-two.png").exists()


def test_a_batch_that_is_ended_goes_on_at_its_segment(onetoall, inputs, model, monkeypatch) -> None:
    from onetoall_cli.animator import kept_segments
    from onetoall_cli.batch.leases import Lease

    (inputs / "dances" / "broken.json").unlink()
    real_poses("dance_full", 13).save(inputs / "dances" / "two.json")
    size = (*SMALL, "--segment-frames", 9)
    command = ("batch", "--pairs", "refs", "dances", "-o", "out", "--model", model, "--ref-pose", "ref.json", *size)
    shutil.move(inputs / "dances" / "one.json", inputs / "dances" / "a.json")
    shutil.move(inputs / "dances" / "two.json", inputs / "dances" / "b.json")
    finish = kept_segments.KeptSegments.finish

    def finish_and_end(self, state) -> None:
        finish(self, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kept_segments.KeptSegments, "finish", finish_and_end)
        ended = onetoall(*command)
    assert ended.exit_code == 130 and (inputs / "out" / "a-a.mp4").exists()

    def end(self, event) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:  # it ends between an output and the line that says so
        patched.setattr(Lease, "end", end)
        again = onetoall(*command)
    assert again.exit_code == 130 and "at segment 2" in again.err
    assert sum(1 for _ in open_video(inputs / "out" / "b-b.mp4")) == 13
    assert onetoall(*command).exit_code == 0
    assert not list((inputs / "out").glob(".*leases*")), "the batch is over"


def test_rows_take_every_option_of_their_command() -> None:
    assert set(COMMANDS) == {"animate", "transfer", "extend"}
    assert {"reference", "driving", "from", "steps", "lora", "crf", "frames", "output"} <= set(_parameters("animate"))
    assert {"pose_frame", "detector"} <= set(_parameters("transfer")) and "crf" not in _parameters("transfer")
    assert {"clip", "clip_pose"} <= set(_parameters("extend"))

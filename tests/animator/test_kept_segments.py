"""A run of several segments that ends at any moment goes on at its segment, and gives the frames of a whole one."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_fixtures import real_poses
from PIL import Image

import onetoall_cli as onetoall
from onetoall_cli.animator import kept_segments
from onetoall_cli.animator.kept_segments import read_unfinished
from onetoall_cli.animator.progress import WRITING
from onetoall_cli.errors import BadInput
from onetoall_cli.media import open_video
from onetoall_cli.media.lossless import LosslessWriter, read_lossless

SMALL = {"short_side": 32, "steps": 1, "segment_frames": 9}  # 17 frames: 3 segments


class Ended(Exception):
    """What stands for the end of the process."""


@pytest.fixture
def inputs(reference, ref_pose, tmp_path) -> dict:
    poses = tmp_path / "dance.json"
    real_poses("dance_full", 17).save(poses)
    picture = Path(shutil.copy(reference, tmp_path / "ref.png"))
    return {"reference": picture, "driving": poses, "ref_pose": ref_pose, **SMALL}


@pytest.fixture(scope="module")
def tiny(model) -> onetoall.Animator:
    return onetoall.load(model, device="cpu")


def ended_after(frames: int, model: Path, inputs: dict, output: Path) -> Path:
    """Begin a run and end it after so many frames; where it is kept."""

    def progress(stage, done, total) -> None:
        if stage is WRITING and done == frames:
            raise Ended

    animator = onetoall.load(model, device="cpu", listener=onetoall.Listener(progress=progress))
    with pytest.raises(Ended):
        animator.animate(**inputs).save(output)
    assert not output.exists()
    return output.with_name(output.name + ".unfinished")


def frames_in(path: Path) -> np.ndarray:
    return np.stack([frame.image for frame in open_video(path)])


def test_a_run_goes_on_at_its_segment_and_gives_the_frames_of_a_whole_one(model, tiny, inputs, tmp_path) -> None:
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    tiny.animate(**inputs).save(whole)
    folder = ended_after(14, model, inputs, resumed)
    kept = read_unfinished(folder)
    assert kept is not None and kept.done == 2 and kept.record.arguments[0] == "animate"
    damaged = tmp_path / "damaged.mp4"
    copy = shutil.copytree(folder, damaged.with_name("damaged.mp4.unfinished"))
    (copy / "1.mkv").write_bytes((folder / "1.mkv").read_bytes()[:-100])
    told: list[tuple] = []
    notes: list[str] = []
    listener = onetoall.Listener(notes.append, lambda *each: told.append(each))
    assert onetoall.load(model, device="cpu", listener=listener).animate(**inputs).save(resumed) == 17
    assert f"Continuing {resumed} at segment 3; those before it are in out.mp4.unfinished." in notes
    assert ("Denoising", 2, 3) in [(stage.title, done, total) for stage, done, total in told]
    assert ("Denoising", 1, 3) not in [(stage.title, done, total) for stage, done, total in told]
    assert whole.read_bytes() == resumed.read_bytes()
    tiny.animate(**inputs).save(damaged)  # a segment that is not whole is made again, and those after it
    assert whole.read_bytes() == damaged.read_bytes()
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize("door", ["animate", "info"])
def test_what_a_run_killed_behind_its_output_left_goes_when_it_is_seen(
    door, onetoall, model, tiny, inputs, tmp_path, monkeypatch
) -> None:
    output, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.unfinished"
    result = tiny.animate(**inputs)
    with monkeypatch.context() as killed:
        killed.setattr(kept_segments, "_empty", lambda _: None)
        result.save(output)
    run = ("animate", inputs["reference"], inputs["driving"], "--model", model, "-o", output)
    seen = run if door == "animate" else ("info", folder)
    begun = (folder / "run.json").stat().st_mtime
    os.utime(output, (begun - 1, begun - 1))  # an output that the run was to replace
    onetoall(*seen)
    assert folder.exists()
    os.utime(output)
    said = onetoall(*seen)
    assert "out.mp4.unfinished, which its run had left, is removed" in said.err
    assert sorted(os.listdir(tmp_path)) == ["dance.json", "out.mp4", "ref.png"]
    assert said.exit_code == (2 if door == "animate" else 0)


def test_a_run_that_ends_in_its_first_segment_leaves_nothing(model, inputs, tmp_path) -> None:
    assert not ended_after(3, model, inputs, tmp_path / "out.mp4").exists()


def test_another_run_is_named_and_given_up_only_when_asked(model, tiny, inputs, tmp_path) -> None:
    output = tmp_path / "out.mp4"
    folder = ended_after(14, model, inputs, output)

    def refused(**changes) -> str:
        with pytest.raises(onetoall.BadInput) as error:
            tiny.animate(**{**inputs, **changes}).save(output)
        assert "--restart" in error.value.advice
        return error.value.problem

    assert "--steps was 1 and is 2" in refused(steps=2)
    assert "--seed was 42 and is 7" in refused(seed=7)
    other = tmp_path / "other.png"
    Image.new("RGB", (256, 505), "red").save(other)
    assert "its reference was" in refused(reference=other)
    shutil.copy(other, inputs["reference"])
    assert "ref.png has changed" in refused()
    assert read_unfinished(folder) is not None
    tiny.animate(**inputs).save(output, restart=True)
    assert output.exists() and not folder.exists()


def test_files_of_somebody_else_are_not_taken_for_a_run(tiny, inputs, tmp_path) -> None:
    folder = tmp_path / "out.mp4.unfinished"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(onetoall.BadInput, match=r"holds diary\.txt"):
        tiny.animate(**inputs).save(tmp_path / "out.mp4")
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]


def test_a_clip_that_is_continued_goes_on_too(model, tiny, inputs, tmp_path) -> None:
    clip = tmp_path / "clip.mp4"
    tiny.animate(**{**inputs, "duration": 0.6}).save(clip)
    aligned = onetoall.align(**{**inputs, "duration": 0.6, "model": model, "steps": 1}).motion
    more = {"clip": clip, "clip_pose": aligned, **{k: v for k, v in inputs.items() if k != "short_side"}}
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    tiny.extend(**more).save(whole)

    def progress(stage, done, total) -> None:
        if stage is WRITING and done == 9:
            raise Ended

    ending = onetoall.load(model, device="cpu", listener=onetoall.Listener(progress=progress))
    with pytest.raises(Ended):
        ending.extend(**more).save(resumed)
    assert read_unfinished(tmp_path / "out.mp4.unfinished") is not None
    tiny.extend(**more).save(resumed)
    assert whole.read_bytes() == resumed.read_bytes()


def test_frames_are_kept_bit_for_bit(tmp_path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 34, 18, 3), dtype=np.uint8)
    writer = LosslessWriter(tmp_path / "frames.mkv", 18, 34)
    for frame in frames:
        writer.write(frame)
    writer.close()
    assert np.array_equal(np.stack(list(read_lossless(tmp_path / "frames.mkv"))), frames)


def test_a_folder_that_is_removed_in_mid_run_is_said(model, inputs, tmp_path) -> None:
    (tmp_path / "gone").mkdir()

    def progress(stage, done, total) -> None:
        if stage is WRITING and done == 12:
            shutil.rmtree(tmp_path / "gone")

    animator = onetoall.load(model, device="cpu", listener=onetoall.Listener(progress=progress))
    with pytest.raises(BadInput, match=r"Cannot write in .*gone"):
        animator.animate(**inputs).save(tmp_path / "gone" / "out.mp4")

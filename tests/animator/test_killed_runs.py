"""`kill -9` at any moment: nothing partial under the final name, and the same command gives the same frames."""

import multiprocessing
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_fixtures import real_poses

import onetoall_cli as onetoall
from onetoall_cli.animator.kept_segments import KeptSegments
from onetoall_cli.media import open_video
from onetoall_cli.media.lossless import LosslessWriter
from onetoall_cli.pose import PoseSequence

KILLS = 50
# Every run is a process of its own, forked where the libraries are imported but nothing has run yet.
IMPORTED = ["onetoall_cli.animator.animator", "onetoall_cli.sampling.pipeline", "onetoall_cli.media.lossless"]


def run(arguments: list[str]) -> None:
    """The command line, in a process."""
    from onetoall_cli.cli import app

    app(arguments)


def dance(frames: int) -> PoseSequence:
    """The real one, forth and back."""
    once = real_poses("dance_full")
    return replace(once, keypoints=np.concatenate([once.keypoints, once.keypoints[::-1]])[:frames])


def frames_in(path: Path) -> np.ndarray:
    return np.stack([frame.image for frame in open_video(path)])


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_gives_the_frames_of_a_whole_one(reference, ref_pose, tmp_path) -> None:
    poses = tmp_path / "dance.json"
    dance(29).save(poses)  # 6 segments of 9 frames
    size = ("--short-side", 64, "--steps", 2, "--segment-frames", 9, "--model", "tiny", "--ref-pose", ref_pose)
    command = [str(word) for word in ("animate", reference, poses, *size, "--quiet", "-o")]
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(IMPORTED)

    def started(output: Path) -> multiprocessing.process.BaseProcess:
        process = processes.Process(target=run, args=([*command, str(output)],))
        process.start()
        return process

    def finish(output: Path) -> float:
        began, process = time.monotonic(), started(output)
        process.join()
        assert process.exitcode == 0
        return time.monotonic() - began

    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    finish(whole)  # the first waits for the imports
    whole.unlink()
    seconds = finish(whole)
    wanted, moments, kept = frames_in(whole), random.Random(0), [0] * 7
    for number in range(KILLS):
        process = started(output)
        process.join(timeout=moments.uniform(0, seconds))
        process.kill()
        process.join()
        kept[len(list(tmp_path.glob("out.mp4.unfinished/*.safetensors")))] += 1
        if not output.exists():
            finish(output)
        else:  # it had just ended, perhaps before its folder went
            shutil.rmtree(tmp_path / "out.mp4.unfinished", ignore_errors=True)
        assert np.array_equal(frames_in(output), wanted), number
        output.unlink()
        left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
        assert left == {"dance.json", "whole.mp4"}, number
    print(f"killed with 0 to 6 segments kept: {kept}")
    assert sum(kept[1:]) > KILLS / 5, "too few were killed behind a segment"


@pytest.mark.slow
def test_keeping_segments_costs_little(reference, ref_pose, tmp_path, monkeypatch) -> None:
    """The share of processor time, with the settings that `tiny` has by itself."""
    poses, spent = tmp_path / "dance.json", [0.0]
    dance(41).save(poses)  # 2 segments of 25 frames

    def timed(function):
        def run(*arguments):
            began = time.process_time()
            try:
                return function(*arguments)
            finally:
                spent[0] += time.process_time() - began

        return run

    monkeypatch.setattr(LosslessWriter, "write", timed(LosslessWriter.write))
    monkeypatch.setattr(KeptSegments, "finish", timed(KeptSegments.finish))
    result = onetoall.load("tiny").animate(reference, poses, ref_pose=ref_pose, segment_frames=25)
    began = time.process_time()
    result.save(tmp_path / "out.mp4")
    share = spent[0] / (time.process_time() - began)
    print(f"{result.plan.prose()}\nkeeping: {share:.2%} of the time")
    assert 0 < share < 0.02

"""Several processes with the same command line make one video, and end together."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import pytest
from forked_processes import in_processes

from onetoall_cli.errors import BadInput
from onetoall_cli.media import open_video
from onetoall_cli.runtime import processes

SIZE = ("--short-side", 32, "--device", "cpu", "--steps", 2)


@pytest.fixture
def command(model, reference, ref_pose, dance_poses):
    return ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, *SIZE)


def frames_of(path):
    return np.stack([frame.image for frame in open_video(path)])


def test_processes_make_the_video_of_one_and_only_the_first_talks(onetoall, command, tmp_path):
    assert onetoall(*command, "-o", "one.mkv").exit_code == 0
    first, other = in_processes(2, tmp_path, partial(onetoall, *command, "--parallel", "guidance", "-o", "two.mkv"))
    assert (first.exit_code, other.exit_code) == (0, 0), first.err + other.err
    assert "two.mkv" in first.out and (other.out, other.err) == ("", "")
    assert (frames_of("two.mkv") == frames_of("one.mkv")).all()


def test_what_ends_one_process_ends_all_and_is_said_once(onetoall, command, tmp_path, monkeypatch):
    """The second fails while the first waits for its velocities."""

    def fail(*_, **__):
        raise BadInput("The second one failed.", "Mend it.")

    def run():
        if processes.rank() == 1:
            monkeypatch.setattr("onetoall_cli.sampling.pipeline.OneToAllPipeline.generate", fail)
        result = onetoall(*command, "-o", "out.mp4")
        processes.part()
        return result

    first, other = in_processes(2, tmp_path, run)
    assert (first.exit_code, other.exit_code) == (2, 2)
    assert other.err == "onetoall: The second one failed.\nMend it.\n"
    assert "onetoall:" not in first.err
    assert not os.path.exists("out.mp4")


def test_a_number_that_cannot_share_a_step_is_refused_before_the_others_are_waited_for(onetoall, command, monkeypatch):
    monkeypatch.setattr(processes, "started", pytest.fail)
    result = onetoall(*command, "--gpus", 5, "--dry-run")
    assert (result.exit_code, "5 processes cannot share a step" in result.err) == (2, True)


def test_more_processes_than_gpus_are_refused(onetoall, command, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    words = [each for each in command if each not in ("--device", "cpu")]
    result = onetoall(*words, "--gpus", 2, "--dry-run")
    assert (result.exit_code, "2 processes need as many GPUs; this machine has 1" in result.err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 20], ids=["before they meet", "at work"])
@pytest.mark.parametrize("struck, code", [("other", 4), ("first", 130)])
def test_gpus_starts_processes_that_do_not_outlive_the_first(command, struck, code, seconds, tmp_path):
    words = [str(each) for each in (*command, "--steps", 3000, "--gpus", 2, "-o", tmp_path / "out.mp4")]
    first = subprocess.Popen([sys.executable, "-m", "onetoall_cli", *words], stderr=subprocess.PIPE, text=True)
    while not (others := psutil.Process(first.pid).children()):
        time.sleep(0.1)
    time.sleep(seconds)
    if struck == "other":
        others[0].kill()
    else:
        first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == code
    assert ("Another process of this run ended without a word" in said) == (struck == "other")
    assert psutil.wait_procs(others, timeout=10)[1] == []

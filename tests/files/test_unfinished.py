"""What a killed run left is swept by the next; what may still be in use is left alone."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.files import unfinished, whole_file
from onetoall_cli.files.unfinished import refusals, sweep, working_folder

WRITER = """
import sys, time
from pathlib import Path
from onetoall_cli.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def sweep_again():
    sweep.cache_clear()


@pytest.fixture
def writer(tmp_path):
    """A process in the midst of writing `out.txt`."""
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "out.txt"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def left_by(writer, folder):
    """What a writer leaves when it is killed."""
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    (left,) = folder.iterdir()
    return left


def write(folder):
    with whole_file(folder / "out.txt") as temporary:
        temporary.write_text("whole")
    return sorted(path.name for path in folder.iterdir())


def test_the_next_run_sweeps_what_a_killed_one_left_and_says_so(tmp_path, writer, caplog):
    left = left_by(writer, tmp_path)
    with caplog.at_level(logging.INFO, "onetoall_cli"):
        assert write(tmp_path) == ["out.txt"]
    assert f"Removed {left}" in caplog.text


def test_what_another_run_is_writing_is_left_alone(tmp_path, writer):
    (busy,) = tmp_path.iterdir()
    assert write(tmp_path) == [busy.name, "out.txt"]
    sweep.cache_clear()
    left_by_now = busy.name in write(tmp_path)
    assert left_by_now and (busy / "lock").exists()


def test_what_another_host_left_is_swept_after_a_day_without_change(tmp_path, writer):
    left = left_by(writer, tmp_path)
    (left / "lock").write_text("another-host")
    assert left.name in write(tmp_path)
    long_ago = time.time() - 25 * 3600
    for path in (*left.rglob("*"), left):
        os.utime(path, (long_ago, long_ago))
    sweep.cache_clear()
    assert write(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("lock", [None, ""])
def test_a_run_killed_before_it_had_a_lock_is_swept_too(tmp_path, lock):
    (tmp_path / ".onetoall-abcdefgh.part").mkdir()
    if lock is not None:
        (tmp_path / ".onetoall-abcdefgh.part" / "lock").write_text(lock)
    assert write(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("name", [".onetoall-mine", ".out-abcd.part", ".onetoall-abcdefgh.part.txt"])
def test_what_is_only_called_alike_is_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    assert name in write(tmp_path)


def test_a_link_called_like_a_working_folder_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "lock").write_text("")
    (tmp_path / ".onetoall-abcdefgh.part").symlink_to("photos")
    write(tmp_path)
    assert (tmp_path / "photos" / "lock").exists()


def test_without_locks_nothing_is_swept_and_everything_is_written(tmp_path, writer, monkeypatch):
    left = left_by(writer, tmp_path)

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(unfinished.fcntl, "flock", no_locks)
    assert write(tmp_path) == [left.name, "out.txt"]


def test_a_folder_taken_by_a_sweeper_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    flock, seen = unfinished.fcntl.flock, []

    def taken_at_first(descriptor, how):
        seen.append(descriptor)
        if len(seen) == 1:
            raise BlockingIOError
        flock(descriptor, how)

    monkeypatch.setattr(unfinished.fcntl, "flock", taken_at_first)
    with working_folder(tmp_path) as folder:
        assert (folder / "lock").exists()
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, OutOfResources), (errno.EDQUOT, OutOfResources), (errno.EROFS, BadInput)]
)
def test_why_nothing_can_be_written_is_said(tmp_path, number, error):
    with pytest.raises(error, match=str(tmp_path)), refusals(tmp_path):
        raise OSError(number, os.strerror(number))

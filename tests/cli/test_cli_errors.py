"""Whatever a user gets wrong ends in one clear message, the documented exit code, and no output."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from onetoall_cli import stopping
from onetoall_cli.media import write_picture


def assert_refused(result, tmp_path, *words: str, code: int = 2, left=()):
    assert result.exit_code == code
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)


def test_a_text_file_named_mp4(onetoall, model, reference, seeing, tmp_path):
    (tmp_path / "dance.mp4").write_text("this is not a video")
    result = onetoall("animate", reference, "dance.mp4", "--model", model)
    assert_refused(result, tmp_path, "dance.mp4", left=["dance.mp4"])


def test_a_video_cut_off_in_its_header(onetoall, model, reference, dance, seeing, tmp_path):
    (tmp_path / "cut.mp4").write_bytes(dance.read_bytes()[:100])
    result = onetoall("animate", reference, "cut.mp4", "--model", model)
    assert_refused(result, tmp_path, "cut.mp4", left=["cut.mp4"])


def test_a_video_without_frames(onetoall, model, reference, seeing, tmp_path):
    import av

    with av.open(str(tmp_path / "empty.mp4"), "w") as container:
        container.add_stream("libx264", rate=10)
        container.start_encoding()
    result = onetoall("animate", reference, "empty.mp4", "--model", model)
    assert_refused(result, tmp_path, "empty.mp4", left=["empty.mp4"])


def test_a_picture_without_a_person_names_the_way_out(onetoall, model, dance, seeing, tmp_path):
    write_picture(tmp_path / "wall.png", np.full((64, 64, 3), 200, np.uint8))
    result = onetoall("animate", "wall.png", dance, "--model", model)
    assert_refused(result, tmp_path, "No person was found in wall.png", "--ref-pose FILE", left=["wall.png"])


def test_a_missing_file(onetoall, model, dance, tmp_path):
    assert_refused(onetoall("animate", "nobody.png", dance, "--model", model), tmp_path, "nobody.png does not exist")


def test_an_existing_output_is_kept(onetoall, model, reference, dance, tmp_path):
    (tmp_path / "out.mp4").write_text("mine")
    result = onetoall("animate", reference, dance, "--model", model, "-o", "out.mp4")
    assert_refused(result, tmp_path, "out.mp4 already exists", "--overwrite", left=["out.mp4"])
    assert (tmp_path / "out.mp4").read_text() == "mine"


def test_an_output_folder_that_does_not_exist(onetoall, model, reference, dance, tmp_path):
    result = onetoall("animate", reference, dance, "--model", model, "-o", "nowhere/out.mp4")
    assert_refused(result, tmp_path, "nowhere does not exist")


def test_an_unknown_container(onetoall, model, reference, dance, tmp_path):
    result = onetoall("animate", reference, dance, "--model", model, "-o", "out.xyz")
    assert_refused(result, tmp_path, "out.xyz", ".mp4")


def test_a_model_that_does_not_exist(onetoall, reference, dance, tmp_path):
    result = onetoall("animate", reference, dance, "--model", "99b")
    assert_refused(result, tmp_path, "99b", "1.3b")


def test_a_start_after_the_end(onetoall, model, reference, dance, seeing, tmp_path):
    result = onetoall("animate", reference, dance, "--model", model, "--start", 60)
    assert_refused(result, tmp_path, "dance.mp4 is 2.000 s long", "nothing at 60 s")


def test_contradicting_sizes(onetoall, model, reference, dance, seeing, tmp_path):
    result = onetoall("animate", reference, dance, "--model", model, "--width", 64, "--short-side", 64)
    assert_refused(result, tmp_path, "--short-side and --width/--height contradict")


def test_with_json_the_error_is_on_stdout_too(onetoall, model, dance):
    result = onetoall("animate", "nobody.png", dance, "--model", model, "--json")
    assert result.json["exit_code"] == result.exit_code == 2
    assert "nobody.png" in result.json["error"]


def test_an_unexpected_error_is_a_bug_message_without_traceback(onetoall, model, reference, dance, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("x")

    monkeypatch.setattr("onetoall_cli.animator.animator.align_inputs", broken)
    result = onetoall("animate", reference, dance, "--model", model)
    assert result.exit_code == 1
    assert "bug" in result.err and "Traceback" not in result.err


@pytest.mark.parametrize(
    ("signum", "code", "word"), [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")]
)
def test_an_interrupted_run_says_so_and_leaves_nothing(
    model, reference, ref_pose, dance_poses, tmp_path, signum, code, word
):
    command = [sys.executable, "-m", "onetoall_cli", "animate", reference, dance_poses, "--ref-pose", ref_pose]
    process = subprocess.Popen(
        [*map(str, command), "--model", str(model), "--steps", "5000", "-o", "out.mp4", "--verbose"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whatever runs these tests may ignore it
    )
    deadline = time.monotonic() + 240
    seen: set[str] = set()
    while not seen & set(os.listdir(tmp_path)):  # a hidden folder that stays: the encoder has begun
        assert process.poll() is None and time.monotonic() < deadline
        seen = set(os.listdir(tmp_path))
        time.sleep(0.5)
    process.send_signal(signum)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in err and err.splitlines()[-1].startswith(f"onetoall: {word}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("option", "code", "word"),
    [
        (("--device", "banana"), 2, "banana"),
        (("--prompt", "a new prompt"), 3, "a new prompt"),
        (("--steps", "0"), 2, "--steps"),
    ],
)
def test_a_mistake_shows_before_anything_is_detected(
    onetoall, model, reference, dance, seeing, tmp_path, option, code, word
):
    result = onetoall("animate", reference, dance, "--model", model, *option)
    assert_refused(result, tmp_path, word, code=code)
    assert "Detecting" not in result.err


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "onetoall_cli", "completion", "fish"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141


def test_a_swallowed_interrupt_comes_again_at_the_next_step(monkeypatch):
    monkeypatch.setattr(stopping, "_came", None)
    stopping.raise_if_stopped()
    with pytest.raises(stopping.Stop):
        stopping.stop_on_signal(signal.SIGTERM, None)
    with pytest.raises(stopping.Stop):
        stopping.raise_if_stopped()


def test_an_interrupt_that_a_library_turned_into_an_error_is_an_interrupt(
    onetoall, model, reference, dance, monkeypatch
):
    def interrupted(*_, **__):
        monkeypatch.setattr(stopping, "_came", signal.SIGINT)
        raise RuntimeError("pybind11::error_already_set")

    monkeypatch.setattr("onetoall_cli.animator.animator.align_inputs", interrupted)
    monkeypatch.setattr(stopping, "_handle", lambda _: None)
    result = onetoall("animate", reference, dance, "--model", model)
    assert result.exit_code == 130
    assert "Interrupted" in result.err and "bug" not in result.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left"), 4, "disk is full"),
        (OSError(errno.EFBIG, "File too large"), 4, "disk is full"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 4, "Memory ran out"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), 4, "no more processes"),
        (OSError(errno.EMFILE, "Too many open files"), 4, "no more processes"),
        (RuntimeError("can't start new thread"), 4, "no more processes"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 2, "xxx cannot be used: File name too long"),
        (OSError(errno.EROFS, "Read-only file system", "/cd/a"), 2, "/cd/a cannot be used"),
        (OSError(errno.EIO, "Input/output error", b"/tape/\xff"), 2, "tape"),
        (OSError(errno.ENOENT, "No such file", "x"), 1, "bug"),
        (OSError(errno.EACCES, "Permission denied"), 1, "bug"),
    ],
)
def test_what_the_machine_refuses_is_no_bug(capsys, error, code, words):
    from onetoall_cli.cli.report import explain

    assert explain(error, {}) == code
    assert words in capsys.readouterr().err


WHEN_TYPER_IS_IMPORTED = """
import os, sys
class Signal:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), int(sys.argv[1]))
sys.meta_path.insert(0, Signal())
from onetoall_cli.__main__ import main
main()
"""


@pytest.mark.parametrize(("signum", "code", "word"), [(signal.SIGINT, 130, "Interr"), (signal.SIGTERM, 143, "Termin")])
def test_a_signal_before_the_program_is_imported_is_told_too(signum, code, word):
    ended = subprocess.run(
        [sys.executable, "-c", WHEN_TYPER_IS_IMPORTED, str(int(signum))],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whatever runs these tests may ignore it
    )
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith(f"onetoall: {word}") and ended.stderr.count("\n") == 1

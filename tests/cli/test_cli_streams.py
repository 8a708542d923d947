"""Standard streams in every state: full, closed, cut off, in ASCII; and what is said where no command runs yet."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import onetoall_cli
from onetoall_cli.cli import main


@pytest.fixture
def call(monkeypatch, machine, capsys):
    """Run a whole command line in this process, its standard output being the file `out`; returns code and stderr."""
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str, out: str | None = None, encoding: str = "utf-8") -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["onetoall", *arguments])
        if out is not None:
            opened = os.open(out, os.O_WRONLY | os.O_CREAT)
            monkeypatch.setattr(sys, "stdout", os.fdopen(opened, "w", encoding=encoding))
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, capsys.readouterr().err

    yield run
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
    sys.unraisablehook = sys.__unraisablehook__


@pytest.mark.parametrize("arguments", [("fetch", "--list"), ("fetch", "--list", "--json"), ("--help",)])
def test_a_full_standard_output_is_no_bug(call, arguments):
    code, err = call(*arguments, out="/dev/full")
    assert code == 4 and err.startswith("onetoall: The disk is full.")
    sys.stdout.close()  # would raise, and say so at the end of the process, if the stream still held anything


def test_an_ascii_standard_output_shows_other_letters_by_number(call, machine):
    own = machine / "config" / "onetoall" / "catalogue.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("entries: {龙: {kind: model, title: é, repository: a/b, files: [x]}}", encoding="utf-8")
    assert call("fetch", "--list", out=str(machine / "list.txt"), encoding="ascii") == (0, "")
    sys.stdout.close()
    assert "\\u9f99" in (machine / "list.txt").read_text("ascii")


@pytest.mark.parametrize("arguments", [("nosuch",), ("animate", "--banana"), ("pose",), ("transfer", "--steps", "x")])
def test_wrong_usage_is_one_line_of_json_for_who_asked_for_json(call, capsys, machine, arguments):
    code, err = call(*arguments, "--json", out=str(machine / "out"))
    sys.stdout.close()
    (line,) = (machine / "out").read_text().splitlines()
    told = json.loads(line)
    assert code == told["exit_code"] == 2 and told["error"] in err and "--help" in told["advice"]


def test_wrong_usage_is_a_line_of_json_among_the_progress(call):
    code, err = call("animate", "--banana", "--progress", "json")
    assert code == json.loads(err)["exit_code"] == 2


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug_and_no_output_goes_into_another_file(dance_poses, tmp_path, closed):
    command = f"exec {sys.executable} -m onetoall_cli pose {dance_poses} -o p.json {closed}"
    environment = {**os.environ, "PYTHONPATH": str(Path(onetoall_cli.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.json").read_bytes() == dance_poses.read_bytes()

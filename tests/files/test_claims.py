"""Two commands never begin to make one output."""

import subprocess
import sys
from pathlib import Path

import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.files import Output, claim_outputs, claims

HOLDER = """
import sys, time
from pathlib import Path
from onetoall_cli.files import Output, claim_outputs, claims
with claims():
    claim_outputs([Output(Path(sys.argv[1]), kind=(sys.argv[2:] or [None])[0])], overwrite=True)
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that is going to make an output; all are killed in the end."""
    started = []

    def start(*arguments: object) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, *map(str, arguments)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def check(path: Path, **options) -> None:
    with claims():
        claim_outputs([Output(path, **options)], overwrite=True)


def test_who_makes_an_output_now_is_said_to_the_second(tmp_path, holder):
    first = holder(tmp_path / "out.mp4")
    (tmp_path / "link.mp4").symlink_to("out.mp4")
    for name in ("out.mp4", "link.mp4"):
        with pytest.raises(BadInput, match=rf"{name} is being made by another onetoall \(process {first.pid}\)"):
            check(tmp_path / name)
    check(tmp_path / "other.mp4")


def test_a_new_folder_and_an_existing_one_are_claimed_too(tmp_path, holder):
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        holder(tmp_path / name, "frames")
        with pytest.raises(BadInput, match=f"{name} is being made"):
            check(tmp_path / name, kind="frames")


def test_a_claim_ends_with_its_process_or_its_block(tmp_path, holder):
    process = holder(tmp_path / "out.mp4")
    process.kill()
    process.wait()
    for _ in range(2):
        check(tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_what_was_finished_while_its_name_was_claimed_is_not_written_over(tmp_path, monkeypatch):
    out = tmp_path / "out.mp4"
    monkeypatch.setattr("onetoall_cli.files.outputs.claim", lambda *_: out.write_text("somebody's"))
    with pytest.raises(BadInput, match="already exists"):
        claim_outputs([Output(out)], overwrite=False)


def test_the_second_of_two_commands_ends_before_any_work(onetoall, holder, dance_poses, tmp_path):
    first = holder(tmp_path / "p.json")
    result = onetoall("pose", dance_poses, "-o", "p.json")
    assert result.exit_code == 2 and f"process {first.pid}" in result.err
    assert onetoall("pose", dance_poses, "-o", "q.json").exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["q.json"]

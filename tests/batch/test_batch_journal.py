"""The journal: what is written is there whatever comes next, and one process writes at a time."""

import os
from pathlib import Path

import pytest

from onetoall_cli.batch.journal import Failed, Journal
from onetoall_cli.errors import BadInput


def failed(key: str, error: str = "It is broken.") -> Failed:
    return Failed(key=key, output="o.mp4", seconds=1.0, error=error, advice="", arguments=("animate",))


def test_the_last_line_of_a_task_counts_and_a_cut_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    with Journal.open(path) as journal:
        journal.add(failed("a", "first"))
        journal.add(failed("a", "second"))
        journal.add(failed("b"))
    path.write_bytes(path.read_bytes()[:-20])  # the power went
    with Journal.open(path) as journal:
        assert {key: event.error for key, event in journal.last.items()} == {"a": "second"}  # type: ignore[union-attr]
        journal.add(failed("c"))
    assert set(Journal(path).last) == {"a", "c"}


def test_lines_of_somebody_else_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'\xff\n[]\n{"event": "done"}\n{"event": "failed", "key": 3}\n' + b"[" * 10**5 + b"\n")
    assert Journal(path).last == {}


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    held = pytest.raises(BadInput, match=f"held by process {os.getpid()} on .*, since 20")
    with Journal.open(path), held, Journal.open(path):
        pass

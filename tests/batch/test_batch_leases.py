"""Leases: one process at a time has a task, whatever becomes of the others, and what it made counts once."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from onetoall_cli.batch import leases as module
from onetoall_cli.batch.journal import Failed
from onetoall_cli.batch.leases import Lease, LeaseLost, Leases
from onetoall_cli.files.forms import json_text

ENDED = Failed(key="k", output="o.mp4", seconds=1.0, error="It is broken.", advice="", arguments=())


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    Leases(path).open()
    return path


def taken(journal: Path, known: Failed | None = None) -> Lease:
    lease = Leases(journal).take("k", known)
    assert lease is not None
    return lease


def left_by(journal: Path, host: str, process: int) -> None:
    """As if another process had taken the task and not been heard of since."""
    path = Leases(journal).folder / "k.0"
    path.write_text(json_text(module.Said(host=host, process=process)))


def test_of_many_that_reach_for_a_task_one_gets_it(journal: Path) -> None:
    got: list[Lease | None] = []
    reach = [threading.Thread(target=lambda: got.append(Leases(journal).take("k"))) for _ in range(16)]
    for each in reach:
        each.start()
    for each in reach:
        each.join()
    assert sum(lease is not None for lease in got) == 1
    next(lease for lease in got if lease is not None).end(ENDED)
    assert Leases(journal).all()["k"].event == ENDED and Leases(journal).take("k") is None


def test_an_end_that_is_to_be_made_good_can_be_taken_again_and_only_that(journal: Path) -> None:
    taken(journal).end(ENDED)
    taken(journal, known=ENDED).end(ENDED.model_copy(update={"seconds": 2.0}))
    assert Leases(journal).take("k", known=ENDED) is None


def test_a_task_given_back_or_left_by_a_process_that_is_gone_is_taken_at_once(journal: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left_by(journal, module.this_host(), gone.pid)
    lease = taken(journal)
    assert lease.said.tries == 1
    lease.give_back(tried=False)
    lease = taken(journal)
    assert lease.said.tries == 1
    lease.give_back(tried=True)
    assert taken(journal).said.tries == 2
    assert Leases(journal).all()["k"].process == os.getpid()


def test_a_process_elsewhere_has_a_stated_time_and_then_notices_that_it_lost(journal: Path, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "this_host", lambda: "elsewhere")
    monkeypatch.setattr(module, "RENEW_EVERY", 1e-3)
    living = taken(journal)
    monkeypatch.setattr(module, "this_host", lambda: "here")
    others = Leases(journal)
    for now[0] in (0.0, 1000.0):  # it shows that it lives
        before = others.all()["k"].sign
        while others.all()["k"].sign == before:
            pass
        assert others.take("k") is None
    living._over.set()
    living._thread.join()
    left_by(journal, "elsewhere", os.getpid())
    assert others.take("k") is None
    now[0] += module.TAKEN_OVER_AFTER
    assert others.take("k") is None
    now[0] += 1
    assert others.take("k") is not None
    with pytest.raises(LeaseLost):
        living.end(ENDED)
    assert others.all()["k"].event is None


def test_nobody_takes_a_task_of_a_batch_that_is_over(journal: Path) -> None:
    Leases(journal).close()
    assert Leases(journal).take("k") is None and list(journal.parent.iterdir()) == []

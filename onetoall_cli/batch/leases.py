"""Leases: files beside the journal, by which processes on one machine or on many share the tasks of a batch.

A task's lease is the file `KEY.N`. Who creates it, which a file system grants to one alone, makes the task, says every
few seconds that it lives, and in the end writes what became of the task. A lease that was given back, or whose owner is
gone, is followed by `KEY.N+1`. No file goes before the batch is over, so nobody can mistake a new lease for an old one.
"""

import os
import platform
import shutil
import threading
import time
import uuid
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal

import psutil
from pydantic import Field

from onetoall_cli.batch.journal import Done, Failed
from onetoall_cli.errors import BadInput, OnetoallError
from onetoall_cli.files.forms import Form, json_text, read_form
from onetoall_cli.files.unfinished import place_durably, refusals

RENEW_EVERY = 3.0  # seconds
TAKEN_OVER_AFTER = 180.0  # seconds without a sign of life; network file systems may show changes a minute late


class LeaseLost(OnetoallError):
    """Somebody else has taken the task over, since nothing had been heard of this process."""

    def __init__(self) -> None:
        super().__init__("Another process makes this job now.", "Nothing had been heard of this one for too long.")


class Said(Form):
    """What a lease's file says."""

    state: Literal["held", "free", "ended"] = "held"
    host: str
    process: int = Field(ge=0, lt=2**31)
    sign: int = 0
    """Grows with every sign of life."""
    tries: int = 0
    """How many tries at the task ended without a result."""
    notes: tuple[str, ...] = ()
    steps: tuple[int, int] | None = None
    """Denoising steps that are done, and all."""
    event: Done | Failed | None = None
    """What became of the task."""

    @property
    def owner(self) -> str:
        """For people."""
        return f"process {self.process} on {self.host.partition(' ')[0]}"


class Lease:
    """One task that this process alone makes, until it ends or is given back; made by `Leases.take`.

    Args:
        path: Its file, empty as yet.
        following: The file of the lease that would follow it.
        tries: How many tries at the task ended without a result.
    """

    def __init__(self, path: Path, following: Path, tries: int) -> None:
        self._path, self._following = path, following
        self._scratch = path.with_name(f".{uuid.uuid4().hex}")
        self.said = Said(host=this_host(), process=os.getpid(), tries=tries)
        self._signs = count()
        self._write()
        self._over, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def tell(self, *, note: str | None = None, steps: tuple[int, int] | None = None) -> None:
        """Say how the task gets on; others see it with the next sign of life.

        Raises:
            LeaseLost: The task is somebody else's now.
        """
        if self._lost.is_set():
            raise LeaseLost
        notes = self.said.notes if note is None else (*self.said.notes, note)
        self.said = self.said.model_copy(update={"notes": notes, "steps": steps or self.said.steps})

    def end(self, event: Done | Failed) -> None:
        """Say what became of the task; on the disk when this returns.

        Raises:
            LeaseLost: The task is somebody else's now.
        """
        self._stop()
        self.tell()
        self.said = self.said.model_copy(update={"state": "ended", "event": event})
        with refusals(self._path.parent):
            self._write()

    def give_back(self, *, tried: bool) -> None:
        """Leave the task to others, as one more try at it that failed, or as if it had not begun."""
        self._stop()
        self.said = self.said.model_copy(update={"state": "free", "tries": self.said.tries + tried})
        with suppress(OSError):  # without it the others wait until it counts as lost
            self._write()

    def _stop(self) -> None:
        self._over.set()
        self._thread.join()
        if self._following.exists():
            self._lost.set()

    def _live(self) -> None:
        while not self._over.wait(RENEW_EVERY) and not self._lost.is_set():
            if self._following.exists():
                self._lost.set()
            else:
                with suppress(OSError):  # the next time it may go
                    self._write()

    def _write(self) -> None:
        said = self.said.model_copy(update={"sign": next(self._signs)})
        self._scratch.write_text(json_text(said), encoding="utf-8")
        place_durably(self._scratch, self._path)


class Leases:
    """All leases of a batch.

    Args:
        journal: The journal beside which they are.
    """

    def __init__(self, journal: Path) -> None:
        self.folder = journal.with_name(f".{journal.name}.leases")
        self._seen: dict[Path, tuple[Said | None, float]] = {}  # what a file said, and since when

    def open(self) -> None:
        """Make room for leases, where a batch that was ended has not left any."""
        with refusals(self.folder.parent):
            self.folder.mkdir(exist_ok=True)

    def close(self) -> None:
        """Remove all leases: the batch is over."""
        gone = self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex}")
        with refusals(self.folder.parent):
            self.folder.rename(gone)  # at once for everyone
        shutil.rmtree(gone, ignore_errors=True)

    def take(self, key: str, known: Done | Failed | None = None) -> Lease | None:
        """The lease of a task; None while another process makes it, or where that has ended.

        Args:
            key: The task's.
            known: An end of it that does not count any more.
        """
        tries = 0
        for number in count():
            path = self._file(key, number)
            try:
                path.open("xb").close()
            except FileExistsError:
                said = self._look(path)
                if said is not None and said.event is not None:
                    is_free, tries = said.event == known, 0
                else:
                    is_free, tries = self._is_free(path, said), said.tries + (said.state == "held") if said else 0
                if not is_free:
                    return None
            except FileNotFoundError:  # the batch is over
                return None
            else:
                return Lease(path, self._file(key, number + 1), tries)
        raise AssertionError

    def all(self) -> dict[str, Said]:
        """What the last lease of each task says; one whose owner is gone is free."""
        last: dict[str, int] = {}
        with suppress(FileNotFoundError):
            for name in os.listdir(self.folder):
                key, _, number = name.rpartition(".")
                if key and number.isdecimal():
                    last[key] = max(int(number), last.get(key, 0))
        found = {}
        for key, newest in last.items():
            path = self._file(key, newest)
            said = self._look(path)
            if said is not None:
                is_left = said.state == "held" and self._is_free(path, said)
                found[key] = said.model_copy(update={"state": "free"}) if is_left else said
        return found

    def _file(self, key: str, number: int) -> Path:
        return self.folder / f"{key}.{number}"

    def _look(self, path: Path) -> Said | None:
        """What a lease says; None while it is being made."""
        before, since = self._seen.get(path, (None, time.monotonic()))
        if before is not None and before.state == "ended":
            return before
        try:
            said = read_form(Said, path, advice="")
        except BadInput:
            said = None
        self._seen[path] = (said, since if said == before else time.monotonic())
        return said

    def _is_free(self, path: Path, said: Said | None) -> bool:
        """Whether a lease that has not ended, looked at just now, is nobody's: given back, or its owner is gone."""
        if said is not None:
            if said.state == "free":
                return True
            if said.host == this_host() and not _is_running(said.process):
                return True
        return time.monotonic() - self._seen[path][1] > TAKEN_OVER_AFTER


def this_host() -> str:
    """Where process numbers mean the same: the computer, and on Linux the container in it."""
    container = Path("/proc/self/ns/pid")
    return f"{platform.node()} {os.readlink(container) if container.is_symlink() else ''}"


def _is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True

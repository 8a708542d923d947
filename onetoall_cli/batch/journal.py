"""What became of each task, in a file of JSON lines that one process adds to.

The last line of a task counts, and one that was cut off by the end of a process counts for nothing. The file is locked
while a batch runs, and its last "start" says by whom.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from onetoall_cli import __version__
from onetoall_cli.errors import BadInput, OnetoallError
from onetoall_cli.files.documents import parse_json
from onetoall_cli.files.forms import Form, check
from onetoall_cli.files.unfinished import refusals


class Start(Form):
    """A batch began, or went on."""

    event: Literal["start"] = "start"
    onetoall: str
    host: str
    process: int
    time: str


class Done(Form):
    """A task is done."""

    event: Literal["done"] = "done"
    key: str
    output: str
    seconds: float
    """How long it took."""
    network_runs: int
    frames: int
    duration: float
    """Seconds of the video."""
    width: int
    height: int
    seed: int
    mode: str
    """How reference and motion were brought together."""
    why: str
    scale: float | None
    """Of the reference picture."""
    arguments: tuple[str, ...]
    """The command that makes it again."""
    poster: str
    """A small picture of it, as a data URL."""


class Failed(Form):
    """A task could not be done."""

    event: Literal["failed"] = "failed"
    key: str
    output: str
    seconds: float
    error: str
    advice: str
    exit_code: int = OnetoallError.exit_code
    """Of its command, were it made alone."""
    arguments: tuple[str, ...]


Event = Start | Done | Failed


class Journal:
    """The journal of a batch: as it is, to be read; `open` holds it, to be written.

    Attributes:
        last: What became of each task, by its key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last: dict[str, Done | Failed] = {
            event.key: event for event in _events(path) if not isinstance(event, Start)
        }

    @staticmethod
    @contextmanager
    def open(path: Path) -> Iterator["Journal"]:
        """The journal at `path`, for this process alone.

        Raises:
            BadInput: Another process holds it; the message says which.
        """
        with refusals(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            journal = Journal(path)
            began = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            journal.add(Start(onetoall=__version__, host=platform.node(), process=os.getpid(), time=began))
            yield journal

    @staticmethod
    def check_free(path: Path) -> None:
        """Make sure that no process holds the journal at `path`.

        Raises:
            BadInput: As `open`.
        """
        if path.exists():
            with _locked(path):
                pass

    def add(self, event: Event) -> None:
        """Write down what happened; it is on the disk when this returns."""
        if not isinstance(event, Start):
            self.last[event.key] = event
        line = event.model_dump_json() + "\n"
        with refusals(self.path.parent), open(self.path, "a+b") as file:
            if not _ends_a_line(file):
                line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with refusals(path.parent):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            advice = "Wait for it, write elsewhere, or help it with --join."
            raise BadInput(f"{path} is held by {_holder(path)}.", advice) from error
    try:
        yield
    finally:
        lock.release()


def _ends_a_line(file: Any) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _events(path: Path) -> Iterator[Event]:
    """The lines of a journal that are whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n"):
        try:
            stored = parse_json(line, source="", advice="")
            yield check(Event, stored, source="", advice="")  # type: ignore[arg-type]
        except BadInput:
            continue


def _holder(path: Path) -> str:
    starts = [event for event in _events(path) if isinstance(event, Start)]
    if not starts:
        return "another onetoall"
    return f"process {starts[-1].process} on {starts[-1].host}, since {starts[-1].time}"

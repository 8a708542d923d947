"""How progress is shown on stderr: bars for people, lines of JSON for programs."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from onetoall_cli.animator.progress import Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_EVERY = 0.5  # seconds between two JSON lines of a stage; its first and its last come in any case


class Show(Protocol):
    """Something that shows how far stages have come."""

    def update(self, stage: Stage, done: int, total: int | None) -> None: ...

    def close(self) -> None: ...


class BarProgress:
    """A bar for each stage, with counts (or bytes and their rate) and the time left."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._bars: Progress | None = None
        self._tasks: dict[Stage, Any] = {}

    def update(self, stage: Stage, done: int, total: int | None) -> None:
        if self._bars is None:
            self._bars = _new_bars(self._console)
            self._bars.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage.title, total=total, in_bytes=stage.unit == "bytes")
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars, self._tasks = None, {}


def _new_bars(console: "Console") -> "Progress":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Done(ProgressColumn):
        """What is done of all: counted, or in bytes."""

        def render(self, task: Task) -> Text:
            return (DownloadColumn() if task.fields["in_bytes"] else MofNCompleteColumn()).render(task)

    return Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=None),
        Done(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
    )


class JsonProgress:
    """One line for every step worth telling: `{"stage", "done", "total", "unit", "seconds_left"}`."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._began: dict[Stage, tuple[float, int]] = {}  # when, and what was done by then
        self._told: dict[Stage, float] = {}

    def update(self, stage: Stage, done: int, total: int | None) -> None:
        now = time.monotonic()
        began, before = self._began.setdefault(stage, (now, done))
        if now - self._told.get(stage, -LINE_EVERY) < LINE_EVERY and done != total:
            return
        self._told[stage] = now
        left = None
        if total is not None and done > before:
            left = round((now - began) / (done - before) * (total - done), 1)
        self._write(stage=stage.title, done=done, total=total, unit=stage.unit, seconds_left=left)

    def close(self) -> None:
        self._began, self._told = {}, {}

"""Results made to be measured: by each of several ways, a model loaded once, and gone on with after an interruption."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.batch_rows import options_in, tasks_of
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput

if TYPE_CHECKING:
    from onetoall_cli.batch import Row, Task

JOURNAL, VIDEOS = "journal.jsonl", "videos"
_ADVICE = "Nothing was done. Give another folder with -o, or mend the inputs."
_SHOWN = 5  # faults in one message


@dataclass(frozen=True)
class Way:
    """A model with options of `animate`: what one row of a table, or one side of a comparison, is made by.

    Attributes:
        name: As it was given.
        options: By their names with underscores; they hold whatever a row says.
    """

    name: str
    options: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """A name for its results."""
        return re.sub(r"[^\w.]+", "-", self.name).strip("-.")


@dataclass(frozen=True)
class Made:
    """A result: a folder of frames and the video, or twice the one picture."""

    measured: Path
    shown: Path


def ways_of(texts: Iterable[str]) -> list[Way]:
    """What `1.3b --fast both` and the like mean.

    Raises:
        BadInput: An option that `animate` does not have, or two that are the same.
    """
    ways = [Way(text, options_in(text)) for text in texts]
    for way in ways:
        if sum(other.folder == way.folder for other in ways) > 1:
            raise BadInput(f"'{way.name}' is given twice.", "Give two that differ.")
    return ways


def tasks_by(
    way: Way, rows: Sequence[Row], folder: Path, *, source: str, base: Path = Path(), defaults: Mapping[str, Any] = {}
) -> dict[str, Task]:
    """What a way makes of rows, by the names of its results: frames and pictures in `folder/WAY`, videos apart.

    Raises:
        BadInput: Rows that cannot be; the message names up to five faults.
    """
    tasks, faults = tasks_of(list(rows), defaults, source=source, base=base, folder=folder, instead=way.options)
    _refuse(source, faults)
    named: dict[str, Task] = {}
    for task in tasks:
        name = task.output.stem
        if name in named:
            name = f"{name}-{len(named)}"
        picture, place = task.job.command == "transfer", folder / way.folder / name
        output = place.with_name(f"{name}.png") if picture else folder / VIDEOS / way.folder / f"{name}.mp4"
        arguments = (*task.arguments[:-1], str(output))
        frames = None if picture else place
        named[name] = replace(task, output=output, frames=frames, compare=None, mask=None, arguments=arguments)
    return named


def make(report: Report, folder: Path, wanted: Mapping[str, Mapping[str, Task]]) -> dict[str, dict[str, Made]]:
    """Make what is not there yet; the first failure ends it, and what is done stays.

    Args:
        report: Told how far it is.
        folder: Of the results and their journal.
        wanted: The tasks by way, and by name.

    Returns:
        The results by way, and by name.

    Raises:
        OnetoallError: Whatever a run raises.
    """
    from onetoall_cli.animator import Animator
    from onetoall_cli.batch import Batch, Journal, faults_of

    tasks = [task for by_name in wanted.values() for task in by_name.values()]
    for model in {repr(task.model): task.model for task in tasks}.values():
        animator = Animator.load(model)
        for task in tasks:
            if task.model == model:
                animator.resolved(task.job.settings)
    with Journal.open(folder / JOURNAL) as journal:
        batch = Batch(tasks, journal, report.listener, retry_failed=True)
        _refuse(str(folder), faults_of(batch.left(), overwrite=False, begun=batch.begun()))
        for task in batch.left():
            (task.frames or task.output).parent.mkdir(parents=True, exist_ok=True)
        batch.run(lambda task, event: None, fail_fast=True)
    return {
        way: {name: Made(task.frames or task.output, task.output) for name, task in by_name.items()}
        for way, by_name in wanted.items()
    }


def _refuse(source: str, faults: Sequence[str]) -> None:
    if faults:
        more = f" And {len(faults) - _SHOWN} more." if len(faults) > _SHOWN else ""
        raise BadInput(f"{source}: {' '.join(faults[:_SHOWN])}{more}", _ADVICE)

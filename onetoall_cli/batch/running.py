"""A batch as a whole: what is left of it, what came of the rest, and who makes it."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from onetoall_cli.animator.progress import Listener, Stage
from onetoall_cli.animator.settings import ModelSettings
from onetoall_cli.batch.crews import Crew
from onetoall_cli.batch.journal import Done, Failed, Journal
from onetoall_cli.batch.leases import Leases, Said, this_host
from onetoall_cli.batch.tasks import Task
from onetoall_cli.batch.worker import LOOK_EVERY, Share, Worker
from onetoall_cli.errors import BadInput, OnetoallError

JOBS = Stage("Jobs", "jobs")

State = Literal["waiting", "done", "failed"]
Finished = Callable[[Task, Done | Failed], None]


@dataclass
class Batch:
    """Tasks with their journal.

    Attributes:
        tasks: All, in the order in which they were asked for.
        journal: What became of them.
        listener: Told of notes and progress.
        overwrite: Whether outputs that exist, and unfinished runs with other settings, give way.
        retry_failed: Whether tasks that failed before are tried again.
        preview: As `Result.save` takes it.
    """

    tasks: Sequence[Task]
    journal: Journal
    listener: Listener = field(default_factory=Listener)
    overwrite: bool = False
    retry_failed: bool = False
    preview: bool = False

    @cached_property
    def leases(self) -> Leases:
        """By which the tasks are shared."""
        return Leases(self.journal.path)

    def state(self, task: Task) -> State:
        """What became of a task. One whose output is gone is not done."""
        event = self.journal.last.get(task.key)
        if isinstance(event, Done) and task.output.exists():
            return "done"
        return "failed" if isinstance(event, Failed) else "waiting"

    def begun(self) -> set[str]:
        """The keys of tasks that were begun when the batch ended: their outputs, if there are any, are ours."""
        return set(self.leases.all())

    def left(self) -> list[Task]:
        """The tasks that are to be made, those of one model together."""
        wanted = {"waiting", "failed"} if self.retry_failed else {"waiting"}
        left = [task for task in self.tasks if self.state(task) in wanted]
        models = list(dict.fromkeys(_as_key(task.model) for task in left))
        return sorted(left, key=lambda task: models.index(_as_key(task.model)))

    def pace(self) -> float | None:
        """Seconds for each network run and pixel of a frame, by the jobs that are done; None before the first."""
        done = [event for event in self.journal.last.values() if isinstance(event, Done)]
        work = sum(event.network_runs * event.width * event.height for event in done)
        return sum(event.seconds for event in done) / work if work else None

    def share(self, *, is_shared: bool) -> Share:
        """What a worker is given; see `Share`."""
        left, total = self.left(), len(self.tasks)
        known = {task.key: self.journal.last[task.key] for task in left if task.key in self.journal.last}
        return Share(left, known, self.journal.path, self.overwrite, self.preview, total - len(left), is_shared)

    def join(self) -> None:
        """Take tasks of a batch whose journal another process holds, until all have come to an end.

        Raises:
            BadInput: There is no such batch.
        """
        if not self.leases.folder.is_dir():
            raise BadInput(f"No batch is in progress at {self.journal.path}.", "Start one there, without --join.")
        Worker(self.share(is_shared=True), self.listener).run()

    def run(self, finished: Finished, *, fail_fast: bool = False, crew: Crew | None = None) -> None:
        """Make what is left.

        Args:
            finished: Called with each task and what became of it, once that is written down.
            fail_fast: Whether the first failure ends the batch, by being raised.
            crew: Who makes it; None: this process.

        Raises:
            OnetoallError: With `fail_fast`, what went wrong; or nobody of the crew is left.
        """
        self.leases.open()
        watch = _Watch(self, finished, fail_fast, crew.size if crew else 1)
        watch.look()  # for what came after the journal's last line
        share = self.share(is_shared=crew is not None)
        watch.count()
        if crew is None:
            Worker(share, self.listener).run(watch.look)
        elif share.tasks:
            with crew.at_work(share):
                while any(self.journal.last.get(task.key) == share.known.get(task.key) for task in share.tasks):
                    crew.check()
                    time.sleep(LOOK_EVERY)
                    watch.look()
        watch.look()
        self.leases.close()


class _Watch:
    """Looks at the leases, writes down what came to an end, and tells how the others get on.

    Args:
        batch: What is made.
        finished, fail_fast: As in `Batch.run`.
        size: How many tasks are made at once.
    """

    def __init__(self, batch: Batch, finished: Finished, fail_fast: bool, size: int) -> None:
        self._batch, self._finished, self._fail_fast, self._size = batch, finished, fail_fast, size
        self._numbers = {task.key: number for number, task in enumerate(batch.tasks, start=1)}
        self._told: dict[str, Said] = {}
        self._began = time.monotonic()
        self._ended: set[str] = set()  # what ended since then

    def look(self) -> None:
        """Look once.

        Raises:
            OnetoallError: A task failed, and that ends the batch.
        """
        journal = self._batch.journal
        for key, said in self._batch.leases.all().items():
            is_new = said.event is not None and said.event != journal.last.get(key)
            if said.event is not None and is_new:
                journal.add(said.event)
            if key not in self._numbers:  # of a manifest that was changed meanwhile
                continue
            task = self._batch.tasks[self._numbers[key] - 1]
            if is_new or said.state == "held":
                self._tell(task, said)
            if said.event is not None and is_new:
                self._end(task, said.event)

    def _end(self, task: Task, event: Done | Failed) -> None:
        self._finished(task, event)
        if self._fail_fast and isinstance(event, Failed):
            error = OnetoallError(event.error, event.advice)
            error.exit_code = event.exit_code
            raise error
        self._ended.add(task.key)
        left = self.count()
        if len(self._ended) == 1 and left:
            seconds = (time.monotonic() - self._began) * left / self._size
            self._batch.listener.note(f"About {duration_text(seconds)} for the {left} other jobs, if all are alike.")

    def count(self) -> int:
        """How many tasks are left; progress is told."""
        left = sum(task.key not in self._ended for task in self._batch.left())
        total = len(self._batch.tasks)
        self._batch.listener.progress(JOBS, total - left, total)
        return left

    def _tell(self, task: Task, said: Said) -> None:
        """What another process says of a task it makes."""
        if (said.host, said.process) == (this_host(), os.getpid()):
            return
        listener, before = self._batch.listener, self._told.get(task.key)
        if before is None or before.owner != said.owner:
            number, total = self._numbers[task.key], len(self._batch.tasks)
            listener.note(f"Job {number} of {total}: {task.title} ({said.owner}).")
            before = None
        for note in said.notes[len(before.notes) if before else 0 :]:
            listener.note(f"{task.output.name}: {note}")
        if said.steps is not None and said.state == "held" and (before is None or said.steps != before.steps):
            listener.progress(Stage(task.output.name, "steps"), *said.steps)
        self._told[task.key] = said


def _as_key(model: ModelSettings) -> ModelSettings:
    return replace(model, lora=tuple(model.lora))


def duration_text(seconds: float) -> str:
    """A time for people: "1 h 20 min", "3 min", "40 s"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"

"""The tasks of a batch, made one after the other: a model is loaded once, and a failure does not stop the others."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from onetoall_cli.animator import Animator, Listener, Result
from onetoall_cli.animator.progress import Stage
from onetoall_cli.animator.settings import ModelSettings
from onetoall_cli.batch.journal import Begun, Done, Failed, Journal
from onetoall_cli.batch.page import picture_poster, video_poster
from onetoall_cli.batch.tasks import Task
from onetoall_cli.errors import OnetoallError
from onetoall_cli.runtime.shortage import as_user_error

JOBS = Stage("Jobs", "jobs")

State = Literal["waiting", "done", "failed"]


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

    def state(self, task: Task) -> State:
        """What became of a task. One whose output is gone is not done."""
        event = self.journal.last.get(task.key)
        if isinstance(event, Done) and task.output.exists():
            return "done"
        return "failed" if isinstance(event, Failed) else "waiting"

    def begun(self) -> set[str]:
        """The keys of tasks that were being made when the batch ended: their outputs, if there are any, are ours."""
        return {key for key, event in self.journal.last.items() if isinstance(event, Begun)}

    def left(self) -> list[Task]:
        """The tasks that are to be made, those of one model together."""
        wanted = {"waiting", "failed"} if self.retry_failed else {"waiting"}
        left = [task for task in self.tasks if self.state(task) in wanted]
        models = list(dict.fromkeys(_as_key(task.model) for task in left))
        return sorted(left, key=lambda task: models.index(_as_key(task.model)))

    def run(self, finished: Callable[[Task, Done | Failed], None], *, fail_fast: bool = False) -> None:
        """Make what is left.

        Args:
            finished: Called with each task and what became of it, once that is written down.
            fail_fast: Whether the first failure ends the batch, by being raised.

        Raises:
            OnetoallError: With `fail_fast`, what went wrong.
        """
        animator: Animator | None = None
        left, total = self.left(), len(self.tasks)
        began, done_before = time.monotonic(), total - len(left)
        self.listener.progress(JOBS, done_before, total)
        for number, task in enumerate(left, start=1):
            self.listener.note(f"Job {done_before + number} of {total}: {task.title}.")
            if animator is None or animator.engine.settings != task.model:
                animator = None  # its memory goes before the next one comes
                animator = Animator.load(task.model, self.listener)
            self.journal.add(Begun(key=task.key))
            event = self._made(task, animator, fail_fast)
            self.journal.add(event)
            finished(task, event)
            self.listener.progress(JOBS, done_before + number, total)
            if number == 1 and len(left) > 1:
                seconds = (time.monotonic() - began) * (len(left) - 1)
                self.listener.note(
                    f"About {duration_text(seconds)} for the {len(left) - 1} other jobs, if all are alike."
                )

    def _made(self, task: Task, animator: Animator, fail_fast: bool) -> Done | Failed:
        began = time.monotonic()
        try:
            result = task.job.result(animator)
            task.output.parent.mkdir(parents=True, exist_ok=True)
            frames = result.save(
                task.output,
                video=task.video,
                frames=task.frames,
                compare=task.compare,
                mask=task.mask,
                restart=self.overwrite,
                preview=self.preview,
            )
            return _done(task, result, frames, time.monotonic() - began)
        except Exception as error:
            if fail_fast:
                raise
            known = as_user_error(error) or OnetoallError(
                f"A bug: {type(error).__name__}: {error}", "Please report it."
            )
            self.listener.note(f"{task.output.name} failed: {known.problem}")
            return Failed(
                key=task.key,
                output=str(task.output),
                seconds=time.monotonic() - began,
                error=known.problem,
                advice=known.advice,
                arguments=task.arguments,
            )


def _as_key(model: ModelSettings) -> ModelSettings:
    return replace(model, lora=tuple(model.lora))


def _done(task: Task, result: Result, frames: int, seconds: float) -> Done:
    meta = result.conditioning.meta
    return Done(
        key=task.key,
        output=str(task.output),
        seconds=seconds,
        network_runs=result.plan.network_runs,
        frames=frames,
        duration=result.duration,
        width=result.plan.width,
        height=result.plan.height,
        seed=result.seed,
        mode=meta["mode"],
        why=meta["why"],
        scale=meta.get("scale"),
        arguments=task.arguments,
        poster=(picture_poster if task.job.command == "transfer" else video_poster)(task.output),
    )


def duration_text(seconds: float) -> str:
    """A time for people: "1 h 20 min", "3 min", "40 s"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"

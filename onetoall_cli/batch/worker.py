"""A worker of a batch: it takes tasks by their leases and makes them, until all have come to an end.

The same loop runs in the process that holds the journal, in others beside it, and on other machines.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onetoall_cli.animator.progress import DENOISING, Listener, Stage
from onetoall_cli.batch.journal import Done, Failed
from onetoall_cli.batch.leases import Lease, LeaseLost, Leases, Said
from onetoall_cli.batch.tasks import Task
from onetoall_cli.errors import OnetoallError, OutOfResources
from onetoall_cli.runtime.shortage import as_user_error, release_memory

if TYPE_CHECKING:
    from onetoall_cli.animator import Animator, Result

LOOK_EVERY = 0.5  # seconds
BACK_OFF = 30.0  # seconds of rest after memory ran out, for whatever else uses it
MOST_TRIES = 5  # at one task that ended without a result

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """What each worker of a batch is given, as plain values.

    Attributes:
        tasks: What is to be made, in a good order.
        known: What became of some of them before, to be made good.
        journal: Beside which the leases are.
        overwrite, preview: As in `Batch`.
        before: How many tasks of the batch are not among them, for the count.
        is_shared: Whether a task for which memory does not suffice is left for later, and for others.
    """

    tasks: Sequence[Task]
    known: Mapping[str, Done | Failed]
    journal: Path
    overwrite: bool = False
    preview: bool = False
    before: int = 0
    is_shared: bool = False


class Worker:
    """Makes tasks, one at a time; a model stays loaded while it is the next task's too.

    Args:
        share: What is to be made.
        listener: Told of notes and progress; who looks at the leases learns of them too.
    """

    def __init__(self, share: Share, listener: Listener = Listener()) -> None:
        self._share, self._outer = share, listener
        self._listener = Listener(self._note, self._progress)
        self._leases = Leases(share.journal)
        self._numbers = {task.key: number for number, task in enumerate(share.tasks, start=share.before + 1)}
        self._lease: Lease | None = None
        self._animator: Animator | None = None

    def run(self, look: Callable[[], None] = lambda: None) -> None:
        """Make tasks until all have come to an end, here or elsewhere.

        Args:
            look: Called after each task, and now and then while others make the rest.
        """
        waiting = list(self._share.tasks)
        while waiting and self._leases.folder.is_dir():
            made = sum(self._made(task, look) for task in waiting)
            look()
            said = self._leases.all()
            waiting = [task for task in waiting if not self._has_ended(task, said.get(task.key))]
            if waiting and not made:
                time.sleep(LOOK_EVERY)

    def _has_ended(self, task: Task, said: Said | None) -> bool:
        return said is not None and said.event is not None and said.event != self._share.known.get(task.key)

    def _made(self, task: Task, look: Callable[[], None]) -> bool:
        """Whether this process could have the task, and has done with it what can be done now."""
        self._lease = lease = self._leases.take(task.key, self._share.known.get(task.key))
        if lease is None:
            return False
        self._outer.note(f"Job {self._numbers[task.key]} of {len(self._numbers) + self._share.before}: {task.title}.")
        try:
            event = self._event(task, lease.said.tries)
            if event is None:
                self._rest(lease)
                return True
            lease.end(event)
        except LeaseLost as error:
            self._outer.note(f"{task.title}: {error.problem}")
            return True
        except BaseException:
            lease.give_back(tried=False)
            raise
        look()
        return True

    def _event(self, task: Task, tries: int) -> Done | Failed | None:
        """Make a task; None: memory does not suffice now, and may another time or elsewhere."""
        began = time.monotonic()
        try:
            if tries >= MOST_TRIES:
                raise OnetoallError(f"{tries} tries ended without a result.", "Try it alone, or with --retry-failed.")
            result = task.job.result(self._animator_for(task))
            task.output.parent.mkdir(parents=True, exist_ok=True)
            frames = result.save(
                task.output,
                video=task.video,
                frames=task.frames,
                compare=task.compare,
                mask=task.mask,
                restart=self._share.overwrite,
                preview=self._share.preview,
            )
            return _done(task, result, frames, time.monotonic() - began)
        except LeaseLost:
            raise
        except Exception as error:
            _log.debug("%s failed.", task.output, exc_info=error)
            bug = OnetoallError(f"A bug: {type(error).__name__}: {error}", "Please report it.")
            bug.exit_code = 1
            known = as_user_error(error) or bug
            if isinstance(known, OutOfResources) and self._share.is_shared and tries + 1 < MOST_TRIES:
                return None
            self._note(f"{task.output.name} failed: {known.problem}")
            return _failed(task, known, time.monotonic() - began)

    def _animator_for(self, task: Task) -> "Animator":
        from onetoall_cli.animator import Animator

        if self._animator is None or self._animator.engine.settings != task.model:
            self._animator = None  # its memory goes before the next one comes
            self._animator = Animator.load(task.model, self._listener)
        return self._animator

    def _rest(self, lease: Lease) -> None:
        """Give the task back and all memory too, and leave both to others for a while."""
        self._note(f"Memory does not suffice; in {BACK_OFF:.0f} s more jobs are tried here.")
        lease.give_back(tried=True)
        self._lease = self._animator = None
        release_memory()
        time.sleep(BACK_OFF)

    def _note(self, text: str) -> None:
        if self._lease is not None:
            self._lease.tell(note=text)
        self._outer.note(text)

    def _progress(self, stage: Stage, done: int, total: int | None) -> None:
        if self._lease is not None:
            self._lease.tell(steps=(done, total or 0) if stage == DENOISING else None)
        self._outer.progress(stage, done, total)


def _done(task: Task, result: "Result", frames: int, seconds: float) -> Done:
    from onetoall_cli.batch.page import picture_poster, video_poster

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


def _failed(task: Task, error: OnetoallError, seconds: float) -> Failed:
    return Failed(
        key=task.key,
        output=str(task.output),
        seconds=seconds,
        error=error.problem,
        advice=error.advice,
        exit_code=error.exit_code,
        arguments=task.arguments,
    )

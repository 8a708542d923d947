"""The check of all tasks of a batch before the first is made: every fault, not only the first."""

import os
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from onetoall_cli.batch.tasks import Task
from onetoall_cli.errors import OnetoallError
from onetoall_cli.files import Output, check_outputs


def faults_of(tasks: Sequence[Task], *, overwrite: bool, begun: Set[str] = frozenset()) -> list[str]:
    """What is wrong with the tasks' files, a line each.

    Args:
        tasks: Those that are to be made.
        overwrite: Whether outputs that exist may be replaced.
        begun: Keys of the tasks whose outputs are ours in any case.
    """
    faults = [f"{task.place}: {fault}" for task in tasks for fault in _own_faults(task, overwrite or task.key in begun)]
    return [*faults, *_clashes(tasks)]


def _own_faults(task: Task, overwrite: bool) -> Iterator[str]:
    from onetoall_cli.animator.staging import check_scene
    from onetoall_cli.media import VIDEO_ENDINGS

    missing = [path for path in task.job.files if not path.exists()]
    yield from (f"{path} does not exist." for path in missing)
    wanted = [Output(path, task.job.endings) for path in (task.output, task.compare) if path is not None]
    if task.mask is not None:
        wanted.append(Output(task.mask, VIDEO_ENDINGS, option="mask_out"))
    if task.frames is not None:
        wanted.append(Output(task.frames, kind="frames", option="frames"))
    try:
        if task.job.command == "animate":
            check_scene(task.job.settings.scene, task.job.inputs.get("driving"))
    except OnetoallError as error:
        yield error.problem
    for output in wanted:
        try:
            check_outputs([_in_nearest_folder(output)], inputs=task.reads, overwrite=overwrite)
        except OnetoallError as error:
            yield error.problem


def _in_nearest_folder(output: Output) -> Output:
    """The output, or where its folder is not there yet, one of its name in the nearest that is."""
    folder = output.path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return Output(folder / output.path.name, output.endings, output.kind, output.option)


def _clashes(tasks: Sequence[Task]) -> Iterator[str]:
    """Outputs of two tasks in one place, and outputs that another task reads."""
    writers: dict[str, Task] = {}
    for task in tasks:
        for path in task.writes:
            first = writers.setdefault(_place(path), task)
            if first is not task:
                yield f"{task.place}: {path} is the output of {first.place} too."
    for task in tasks:
        for path in task.reads:
            writer = writers.get(_place(path))
            if writer is not None and writer is not task:
                yield f"{task.place}: {path} is the output of {writer.place}."


def _place(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))

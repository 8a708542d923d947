"""`onetoall batch`: many runs as one, of two folders or of a manifest, that goes on wherever it is interrupted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer import Argument, Option

from onetoall_cli.animator.settings import (
    AlignSettings,
    GenerationSettings,
    ModelSettings,
    MotionSettings,
    SizeSettings,
    VideoSettings,
)
from onetoall_cli.cli.generation import import_what_is_used
from onetoall_cli.cli.options import WithPreview, given_options, subcommand
from onetoall_cli.cli.report import SOME_FAILED, Report
from onetoall_cli.errors import BadInput, OnetoallError

if TYPE_CHECKING:
    from onetoall_cli.batch import Batch, Row, Task
    from onetoall_cli.batch.journal import Done, Failed

JOURNAL, PAGE = "journal.jsonl", "report.html"
MOST_FAULTS = 50  # lines of one message
# Bytes of a pixel: FFV1 of the frames of `tiny` has 0.9, and H.264 at crf 18 a twentieth of that.
_KEPT, _WRITTEN = 0.9, 0.05


@dataclass(frozen=True)
class WorkerOptions:
    """Who makes the jobs."""

    HEADING: ClassVar[str] = "Workers"

    workers: Annotated[
        int | None, Option(min=1, metavar="N", help="Processes, each with a GPU or a part of the processors.")
    ] = None
    cluster: Annotated[
        str | None, Option(metavar="WHERE", help="Workers on a cluster: slurm, ray or ray://HOST:PORT.")
    ] = None
    join: Annotated[
        bool, Option("--join", help="Help a batch that runs elsewhere, by the same command, on a shared folder.")
    ] = False


@subcommand
def batch(
    report: Report,
    model: ModelSettings,
    motion: MotionSettings,
    alignment: AlignSettings,
    generation: GenerationSettings,
    size: SizeSettings,
    video: VideoSettings,
    workers: WorkerOptions,
    what: Annotated[
        Path, Argument(metavar="MANIFEST|REFS", help="Manifest (yaml, jsonl, csv), or a folder of references.")
    ],
    motions: Annotated[Path | None, Argument(metavar="DANCES", help="Folder of driving videos or pose files.")] = None,
    output: Annotated[
        Path | None,
        Option("--output", "-o", metavar="DIR", help="Where outputs without a name go, the journal and report.html."),
    ] = None,
    pairs: Annotated[bool, Option("--pairs", help="Only references and motions of equal name.")] = False,
    seed: Annotated[int | None, Option(min=0, metavar="N", help="Of jobs that name none.")] = None,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace outputs, and unfinished runs with other settings.")
    ] = False,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Try again what failed before.")] = False,
    fail_fast: Annotated[bool, Option("--fail-fast", help="End at the first failure.")] = False,
    preview: WithPreview = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Print jobs, segments, network runs, disk and time, and stop.")
    ] = False,
) -> None:
    """Make many results with a model that is loaded once.

    Each reference with each motion, or the jobs of a manifest, whose rows say what `animate`, `transfer` or `extend`
    takes. Whatever ends it, the same command goes on. Options are defaults for all jobs.

    Example: onetoall batch refs/ dances/ -o out/
    """
    from onetoall_cli.batch import Batch, Journal, faults_of
    from onetoall_cli.batch.clusters import crew_for
    from onetoall_cli.batch.page import write_page
    from onetoall_cli.cli.batch_rows import tasks_of

    groups = (model, motion, alignment, generation, size, video)
    rows, defaults, base, folder = _rows(report, what, motions, output, pairs)
    said = {name: _plain(value, base) for name, value in given_options(*groups).items()}
    said |= {} if seed is None else {"seed": seed}
    tasks, faults = tasks_of(rows, {**said, **defaults}, source=str(what), base=base, folder=folder)
    if dry_run:
        _refuse(what, faults + faults_of(tasks, overwrite=True))
        _report_plan(report, Batch(tasks, Journal(folder / JOURNAL)))
        return
    as_it_is = Batch(tasks, Journal(folder / JOURNAL), report.listener_with(preview), overwrite, retry_failed, preview)
    if workers.join:
        _refuse(what, faults)
        as_it_is.join()
        return
    Journal.check_free(folder / JOURNAL)
    left, begun = as_it_is.left(), as_it_is.begun()
    _refuse(what, [*faults, *faults_of(left, overwrite=overwrite, begun=begun), *_faults_of_models(left)])
    crew = crew_for(workers.cluster, workers.workers, [task.model.device for task in left])
    with Journal.open(folder / JOURNAL) as journal:
        made = Batch(tasks, journal, report.listener_with(preview), overwrite, retry_failed, preview)
        write_page(folder / PAGE, made)

        def finished(task: Task, event: Done | Failed) -> None:
            _report_job(report, task, event)
            write_page(folder / PAGE, made)

        made.run(finished, fail_fast=fail_fast, crew=crew)
        _report_all(report, made, folder)


def _rows(
    report: Report, what: Path, motions: Path | None, output: Path | None, pairs: bool
) -> tuple[list[Row], dict[str, Any], Path, Path]:
    """Rows, their defaults, what their paths are relative to, and the folder of the batch."""
    from onetoall_cli.batch import rows_of_folders, rows_of_manifest

    if motions is not None:
        if output is None:
            raise BadInput("A batch of two folders needs a place for what it makes.", "Name a folder with -o.")
        rows, unused = rows_of_folders(what, motions, pairs=pairs)
        for name in unused:
            report.note(f"{name} is left out.")
        return rows, {}, Path(), output
    if what.is_dir():
        raise BadInput("A folder of references needs one of motions.", "Give both, or a manifest.")
    if pairs:
        raise BadInput("--pairs is for two folders.", "Leave it out, or give the folders.")
    rows, defaults = rows_of_manifest(what)
    return rows, dict(defaults), what.parent, output or what.with_name(f"{what.stem}-out")


def _plain(value: Any, base: Path) -> Any:
    """An option's value as a row has it, where paths are relative to `base`."""
    if isinstance(value, Path):
        return os.path.relpath(value, base)
    return list(value) if isinstance(value, tuple) else value


def _refuse(what: Path, faults: list[str]) -> None:
    if not faults:
        return
    more = [f"... and {len(faults) - MOST_FAULTS} more."] if len(faults) > MOST_FAULTS else []
    raise BadInput(f"{what} cannot be made as it is.", "Nothing was done.", [*faults[:MOST_FAULTS], *more])


def _faults_of_models(tasks: list[Task]) -> list[str]:
    """What is wrong with the models, and with the settings under them."""
    import_what_is_used(task.model for task in tasks)
    from onetoall_cli.animator import Animator

    faults: list[str] = []
    animators: dict[str, Any] = {}
    for task in tasks:
        key = repr(task.model)
        try:
            if key not in animators:
                animators[key] = None
                animators[key] = Animator.load(task.model)
            if animators[key] is not None:
                animators[key].resolved(task.job.settings)
        except OnetoallError as error:
            faults.append(f"{task.place}: {error.problem} {error.advice}")
    return faults


def _report_plan(report: Report, batch: Batch) -> None:
    """What `--dry-run` prints."""
    import_what_is_used(task.model for task in batch.tasks)
    from onetoall_cli.animator import Animator
    from onetoall_cli.batch.running import duration_text

    animators: dict[str, Any] = {}
    runs, segments, kept, written, unreadable, work_left = 0, 0, 0.0, 0.0, 0, 0
    for task in batch.tasks:
        key = repr(task.model)
        animators.setdefault(key, None)
        animators[key] = animators[key] or Animator.load(task.model, report.listener)
        try:
            plan = task.job.plan(animators[key])
        except OnetoallError as error:
            unreadable += 1
            report.result(f"{task.output}  will fail: {error.problem}", output=task.output, error=error.problem)
            continue
        pixels = plan.width * plan.height * plan.frames
        runs, segments = runs + plan.network_runs, segments + len(plan.segments)
        kept, written = max(kept, pixels * _KEPT), written + pixels * _WRITTEN
        work_left += plan.network_runs * plan.width * plan.height if batch.state(task) == "waiting" else 0
        text = f"{task.output}  {plan.frames} frames, {len(plan.segments)} segment(s), {plan.network_runs} network runs"
        report.result(text, output=task.output, **plan.fields())
    disk, pace = written + kept, batch.pace()
    seconds = None if pace is None else round(work_left * pace)
    time = "" if seconds is None else f", about {duration_text(seconds)} for what is left"
    report.result(
        f"{len(batch.tasks)} jobs, {segments} segments, {runs} network runs, "
        f"about {disk / 10**6:.0f} MB of disk{time}.",
        jobs=len(batch.tasks),
        unreadable=unreadable,
        segments=segments,
        network_runs=runs,
        disk=round(disk),
        seconds_left=seconds,
    )


def _report_job(report: Report, task: Task, event: Done | Failed) -> None:
    if event.event == "done":
        text = f"{task.output}  {event.duration:.2f} s, {event.frames} frames, made in {event.seconds:.1f} s"
    else:
        text = f"{task.output}  failed: {event.error}"
    report.result(text, place=task.place, **event.model_dump(mode="json", exclude={"poster", "key"}))


def _report_all(report: Report, made: Batch, folder: Path) -> None:
    """The summary; ends the command with its own exit code where jobs failed."""
    states = [made.state(task) for task in made.tasks]
    done, failed = states.count("done"), states.count("failed")
    text = f"{done} of {len(states)} jobs are done" + (f", {failed} failed" if failed else "")
    report.result(f"{text}: {folder / PAGE}", jobs=len(states), done=done, failed=failed, report=folder / PAGE)
    if failed:
        raise typer.Exit(SOME_FAILED)

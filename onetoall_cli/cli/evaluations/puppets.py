"""`onetoall evaluate MODEL`: models on held-out puppets, whose every true picture is known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from onetoall_cli.cli.evaluations.asked import Asked, PuppetOptions
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.table_files import write_csv, write_markdown
from onetoall_cli.lattice import floored, is_clip_length, rounded

if TYPE_CHECKING:
    from onetoall_cli.animator import Animator, Settings
    from onetoall_cli.evaluation.puppets import EvaluationPlan


def measure_puppets(asked: Asked) -> None:
    """Measure models on puppets and report; what `evaluate` and `train --evaluate` share."""
    options, written, report = asked.puppets, asked.written, asked.report
    if not is_clip_length(options.frames):
        raise BadInput(f"--frames is {options.frames}, not 4k+1.", "Take 9, 13, 17, 21 ...")
    asked.check_written([], [])
    from onetoall_cli.evaluation.puppets import as_markdown, as_text, evaluate, measure_rows, targets, write_examples

    subjects = _open(asked)
    evaluation = evaluate(
        subjects,
        _plan(options, next(iter(subjects.values()))),
        settings=_settings(options),
        examples=written.examples if written.sheet else 0,
        progress=report.counter("Evaluating", "steps"),
    )
    if written.markdown:
        write_markdown(written.markdown, as_markdown(evaluation, asked.command()))
    if written.csv:
        write_csv(written.csv, measure_rows(evaluation))
    if written.sheet:
        write_examples(written.sheet, evaluation.examples)
    reached = {name: [{**asdict(each), "met": each.met} for each in targets(evaluation, name)] for name in subjects}
    files = {"sheet": written.sheet, "markdown": written.markdown, "csv": written.csv}
    report.result(as_text(evaluation), **evaluation.as_json(), targets=reached, **files)


def _open(asked: Asked) -> dict[str, Animator]:
    """The models by the names that tables call them: of folders the last part, where that tells them apart."""
    from onetoall_cli.animator import Listener
    from onetoall_cli.animator.settings import ModelSettings
    from onetoall_cli.training.export import load_model_or_run

    told = Listener(note=asked.report.note)
    how = ModelSettings(device=asked.measuring.device, dtype=asked.puppets.dtype)
    opened = [load_model_or_run(name, how, told) for name in asked.subjects]
    names = [Path(each.name).name for each in opened]
    return dict(zip(names if len(set(names)) == len(names) else asked.subjects, opened, strict=True))


def _settings(options: PuppetOptions) -> Settings:
    from onetoall_cli.animator.settings import GenerationSettings, Settings

    chosen = GenerationSettings(
        steps=options.steps, ref_guidance=options.ref_guidance, pose_guidance=options.pose_guidance
    )
    return Settings(generation=chosen)


def _plan(options: PuppetOptions, subject: Animator) -> EvaluationPlan:
    from onetoall_cli.evaluation.puppets import EvaluationPlan
    from onetoall_cli.evaluation.puppets.evaluation import ASPECT

    width = floored(subject.defaults.short_side)
    return EvaluationPlan(
        tasks=EvaluationPlan.tasks if options.task == "all" else (options.task,),
        split=options.split,
        count=options.count,
        borders=-(-options.count // 4) if options.borders is None else options.borders,
        expressions=options.expressions,
        width=width,
        height=rounded(width * ASPECT),
        frames=options.frames,
        seed=options.seed,
    )

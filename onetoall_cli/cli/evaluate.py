"""`onetoall evaluate`: how good a model is on held-out puppets, and how near results of any kind are to the truth."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from onetoall_cli.cli.evaluate_pairs import PairOptions, compare_results, count_answers, measure_pairs
from onetoall_cli.cli.options import Device, NumberFormat, subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import Output
from onetoall_cli.lattice import floored, is_clip_length, rounded

if TYPE_CHECKING:
    from onetoall_cli.animator import Animator, Settings
    from onetoall_cli.evaluation.puppets import EvaluationPlan


@dataclass(frozen=True)
class EvaluationOptions:
    """How much is measured, and with which settings."""

    count: Annotated[int, Option(min=1, metavar="N", help="Puppets a task.")] = 64
    task: Annotated[Literal["all", "aligned", "misaligned", "transfer"], Option(help="What is measured.")] = "all"
    borders: Annotated[
        int | None,
        Option(min=0, metavar="N", help="Puppets for the segment borders; default: a quarter of them; 0: none."),
    ] = None
    split: Annotated[
        Literal["test", "validation"], Option(help="validation: to choose settings by, so that test stays unseen.")
    ] = "test"
    frames: Annotated[int, Option(min=9, metavar="N", help="Frames of an animation, 4k+1.")] = 13
    seed: Annotated[int, Option(min=0, metavar="N", help="Of the noise.")] = 0
    steps: Annotated[int | None, Option(min=1, metavar="N", help="Denoising steps; default: the model's.")] = None
    ref_guidance: Annotated[
        float | None, Option(min=0, metavar="SCALE", help="Reference guidance; default: the model's.")
    ] = None
    pose_guidance: Annotated[
        float | None, Option(min=0, metavar="SCALE", help="Pose guidance; default: the model's.")
    ] = None
    device: Device = "auto"
    dtype: NumberFormat = "auto"


@subcommand
def evaluate(
    subjects: Annotated[
        list[str],
        Argument(
            metavar="MODEL",
            help="Models or training runs; --pairs: RESULTS TRUTH; --against: A B [TRUTH]; --answers: KEY ANSWERS.",
        ),
    ],
    report: Report,
    options: EvaluationOptions,
    pairs: PairOptions,
    markdown: Annotated[
        Path | None, Option(metavar="FILE", help="Also write the tables here, between the marks of a model card.")
    ] = None,
    sheet: Annotated[
        Path | None, Option(metavar="FILE", help="Also write a PNG with examples; with --pairs, the worst frames.")
    ] = None,
    examples: Annotated[int, Option(min=1, metavar="N", help="Examples a task on the sheet.")] = 4,
) -> None:
    """Measure models on held-out puppets, or results against their truth.

    Puppets: aligned animation, misaligned animation (bust reference, full-body motion, another face driving) and pose
    transfer; beside each, a copy of the reference, the nearest training picture, and what the VAE alone loses.

    With --pairs: videos, folders of frames or pictures, by PSNR, SSIM, LPIPS, FVD, FID-VID, FID, CSIM and APD-body.
    With --against: two results of the same inputs, by these and by the people whom you ask.

    \b
    Examples:
    onetoall evaluate tiny --count 8 --sheet examples.png
    onetoall evaluate --pairs results/ truth/ --plot drift.png
    onetoall evaluate --against exact/ fast/ truth/ --study study.html
    """
    chosen = [name for name in ("pairs", "against", "answers") if getattr(pairs, name)]
    if len(chosen) > 1:
        raise BadInput(f"--{chosen[0]} and --{chosen[1]} do not go together.", "Choose one.")
    if not chosen:
        _check_belongs(pairs, "--pairs and --against")
        measure(subjects, report, options, markdown=markdown, sheet=sheet, examples=examples)
        return
    _check_belongs(options, "puppets", beside=("device",))
    if pairs.answers:
        count_answers(subjects, pairs, report)
    else:
        work = compare_results if pairs.against else measure_pairs
        work(subjects, pairs, options.device, report, markdown=markdown, sheet=sheet)


def _check_belongs(group: EvaluationOptions | PairOptions, what: str, *, beside: Sequence[str] = ()) -> None:
    """Refuse options of another kind of evaluation, instead of ignoring them."""
    for field in fields(group):
        if field.name not in beside and getattr(group, field.name) != field.default:
            option = f"--{field.name.replace('_', '-')}"
            raise BadInput(f"{option} is an option for {what}.", "Leave it out here; see `onetoall evaluate --help`.")


def measure(
    models: list[str],
    report: Report,
    options: EvaluationOptions,
    *,
    markdown: Path | None = None,
    sheet: Path | None = None,
    examples: int = 4,
) -> None:
    """Evaluate and report; what `evaluate` and `train --evaluate` share."""
    if not is_clip_length(options.frames):
        raise BadInput(f"--frames is {options.frames}, not 4k+1.", "Take 9, 13, 17, 21 ...")
    from onetoall_cli.media import PICTURE_ENDINGS

    check_targets(
        [
            Output(markdown, option="--markdown") if markdown else None,
            Output(sheet, PICTURE_ENDINGS, option="--sheet") if sheet else None,
        ],
        overwrite=True,
    )
    from onetoall_cli.evaluation.marks import check_marks, write_markdown
    from onetoall_cli.evaluation.puppets import as_markdown, as_text, evaluate, targets, write_examples

    if markdown:
        check_marks(markdown)
    subjects = _open(models, options, report)
    evaluation = evaluate(
        subjects,
        _plan(options, next(iter(subjects.values()))),
        settings=_settings(options),
        examples=examples if sheet else 0,
        progress=report.counter("Evaluating", "steps"),
    )
    if markdown:
        write_markdown(markdown, as_markdown(evaluation, _command(models, options)))
    if sheet:
        write_examples(sheet, evaluation.examples)
    reached = {name: [{**asdict(each), "met": each.met} for each in targets(evaluation, name)] for name in subjects}
    report.result(as_text(evaluation), **evaluation.as_json(), targets=reached, sheet=sheet, markdown=markdown)


def _open(models: list[str], options: EvaluationOptions, report: Report) -> dict[str, Animator]:
    """The models by the names that tables call them: of folders the last part, where that tells them apart."""
    from onetoall_cli.animator import Listener
    from onetoall_cli.animator.settings import ModelSettings
    from onetoall_cli.training.export import load_model_or_run

    told, how = Listener(note=report.note), ModelSettings(device=options.device, dtype=options.dtype)
    opened = [load_model_or_run(name, how, told) for name in models]
    names = [Path(each.name).name for each in opened]
    return dict(zip(names if len(set(names)) == len(names) else models, opened, strict=True))


def _settings(options: EvaluationOptions) -> Settings:
    from onetoall_cli.animator.settings import GenerationSettings, Settings

    chosen = GenerationSettings(
        steps=options.steps, ref_guidance=options.ref_guidance, pose_guidance=options.pose_guidance
    )
    return Settings(generation=chosen)


def _plan(options: EvaluationOptions, subject: Animator) -> EvaluationPlan:
    from onetoall_cli.evaluation.puppets import EvaluationPlan
    from onetoall_cli.evaluation.puppets.evaluation import ASPECT

    width = floored(subject.defaults.short_side)
    return EvaluationPlan(
        tasks=EvaluationPlan.tasks if options.task == "all" else (options.task,),
        split=options.split,
        count=options.count,
        borders=-(-options.count // 4) if options.borders is None else options.borders,
        width=width,
        height=rounded(width * ASPECT),
        frames=options.frames,
        seed=options.seed,
    )


def _command(models: list[str], options: EvaluationOptions) -> str:
    """The command line that measures the same again, without what is left at its default."""
    words = ["onetoall", "evaluate", *models]
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            words += [f"--{field.name.replace('_', '-')}", str(value)]
    return shlex.join(words)

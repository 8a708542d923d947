"""The whole evaluation: models and baselines on held-out puppets for every task, with means.

The puppets are numbers 0 to count - 1 of a split whose identities and motions occur in no training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.animator import Animator, Settings
from onetoall_cli.evaluation.puppets.baselines import (
    POOL,
    TrainingPictures,
    copied_reference,
    filled_reference,
    through_vae,
)
from onetoall_cli.evaluation.puppets.cases import TASKS, Case, case_of, make_case
from onetoall_cli.evaluation.puppets.expressions import GENERATED as EXPRESSIONS_GENERATED
from onetoall_cli.evaluation.puppets.expressions import at_rest, measure_expression
from onetoall_cli.evaluation.puppets.scores import Scores, score
from onetoall_cli.evaluation.puppets.segment_borders import GENERATED, generate, measure_borders, motion_length
from onetoall_cli.puppets import MOVE_FRAMES, PairKind, Split, sample_pair

COPY, FILLED, NEAREST, VAE = "copied reference", "copied and filled", "nearest training", "VAE (ceiling)"
BASELINES = (COPY, FILLED, NEAREST, VAE)
ASPECT = 3 / 2  # height over width of the test pictures

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class EvaluationPlan:
    """What to measure.

    Attributes:
        tasks: Some of the three tasks.
        split: "test", or "validation" for choosing settings.
        count: Number of puppets for each task.
        borders: Number of puppets on which segment borders are measured; 0 leaves them out.
        expressions: Number of puppets on which expressions are measured; 0 leaves them out.
        width, height: Size of the pictures in pixels.
        frames: Frames of a motion of one segment, 4k + 1.
        seed: Seed of the noise; puppet number n gets seed + n.
        pool: Number of training pictures to choose the nearest from.
    """

    tasks: tuple[PairKind, ...] = TASKS
    split: Split = "test"
    count: int = 64
    borders: int = 8
    expressions: int = 0
    width: int = 128
    height: int = 192
    frames: int = 13
    seed: int = 0
    pool: int = POOL

    def steps(self, subjects: int) -> int:
        """How many results are generated, which is what progress counts."""
        each = len(self.tasks) * self.count + GENERATED * self.borders + EXPRESSIONS_GENERATED * self.expressions
        return subjects * each


@dataclass(frozen=True)
class Statistic:
    """The mean of a measure over the puppets where it exists (for borders the median), and its standard error."""

    mean: float
    error: float
    count: int


Table = dict[str, dict[str, Statistic]]  # by subject or baseline, by measure


@dataclass(frozen=True, eq=False)
class ExampleFrames:
    """One frame of a case, uint8 (H, W, 3), as each subject generated it."""

    case: Case
    results: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        plan: What was measured.
        sampling: Steps and guidance of each subject.
        tasks: A table of subjects and baselines for each task; measures as in `scores.score`.
        borders: Measures of `segment_borders.measure_borders` by subject.
        expressions: Measures of `expressions.measure_expression` by subject.
        examples: The first puppets of each task.
    """

    plan: EvaluationPlan
    sampling: dict[str, dict]
    tasks: dict[str, Table] = field(default_factory=dict)
    borders: Table = field(default_factory=dict)
    expressions: Table = field(default_factory=dict)
    examples: list[ExampleFrames] = field(default_factory=list)

    def as_json(self) -> dict:
        """Everything but the pictures, as plain values; a measure without any value is null."""

        def plain(table: Table) -> dict:
            return {name: {measure: _plain(value) for measure, value in row.items()} for name, row in table.items()}

        return {
            "plan": asdict(self.plan),
            "sampling": self.sampling,
            "tasks": {task: plain(table) for task, table in self.tasks.items()},
            "borders": plain(self.borders),
            "expressions": plain(self.expressions),
        }


def evaluate(
    subjects: Mapping[str, Animator],
    plan: EvaluationPlan,
    *,
    settings: Settings = Settings(),
    examples: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure models (which share a VAE) and baselines.

    Args:
        subjects: The models by their names in the tables.
        plan: What to measure.
        settings: How the models sample.
        examples: Number of puppets of each task whose pictures are kept.
        progress: Called with (results generated, all results) after each.
    """
    tick = _ResultCounter(plan.steps(len(subjects)), progress)
    evaluation = Evaluation(plan, {name: _sampling(each, settings) for name, each in subjects.items()})
    first = next(iter(subjects.values()))
    vae = first.engine.vae
    pool = TrainingPictures(plan.width, plan.height, plan.pool)
    for task in plan.tasks:
        scores: dict[str, list[Scores]] = {name: [] for name in (*subjects, *BASELINES)}
        for number in range(plan.count):
            case = _case(first, plan, task, number, plan.frames)
            results = {}
            for name, subject in subjects.items():
                own = case if _drawn_alike(subject, first) else _case(subject, plan, task, number, plan.frames)
                results[name] = generate(subject, own.conditioning, settings, plan.seed + number, plan.frames)
                tick()
            results[COPY] = copied_reference(case.conditioning, len(case.truth))
            results[FILLED] = filled_reference(case.conditioning, len(case.truth))
            results[NEAREST] = pool.nearest(case.conditioning)
            results[VAE] = through_vae(case.truth.frames, vae)
            for name, result in results.items():
                scores[name].append(score(result, case))
            if number < examples:
                evaluation.examples.append(ExampleFrames(case, {name: results[name][-1] for name in subjects}))
        evaluation.tasks[task] = {name: summed_up(values) for name, values in scores.items()}
    for name, subject in subjects.items() if plan.borders else ():
        # The median: one puppet that leaps or rests at a border would dominate a mean.
        evaluation.borders[name] = summed_up(list(_borders(subject, plan, settings, tick)), "median")
    for name, subject in subjects.items() if plan.expressions else ():
        evaluation.expressions[name] = summed_up(list(_expressions(subject, plan, settings, tick)))
    return evaluation


def summed_up(scores: Sequence[Scores], middle: Literal["mean", "median"] = "mean") -> dict[str, Statistic]:
    """The mean or median of each measure over the puppets where it exists, with its standard error."""
    find, widening = (np.mean, 1.0) if middle == "mean" else (np.median, np.sqrt(np.pi / 2))
    statistics = {}
    for measure in scores[0]:
        values = np.array([each[measure] for each in scores])
        values = values[~np.isnan(values)]
        count = len(values)
        found = float(find(values)) if count else float("nan")
        error = float(widening * values.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
        statistics[measure] = Statistic(found, error, count)
    return statistics


def _borders(subject: Animator, plan: EvaluationPlan, settings: Settings, tick: Callable[[], None]) -> Iterator[Scores]:
    for number in range(plan.borders):
        case = _case(subject, plan, "misaligned", number, motion_length(plan.frames) + MOVE_FRAMES)
        yield measure_borders(subject, case, settings, seed=plan.seed + number, segment_frames=plan.frames)
        for _ in range(GENERATED):
            tick()


def _expressions(
    subject: Animator, plan: EvaluationPlan, settings: Settings, tick: Callable[[], None]
) -> Iterator[Scores]:
    short, face = subject.defaults.pose_canvas_short_side, subject.defaults.face
    for number in range(plan.expressions):
        pair = sample_pair("aligned", plan.split, number, width=plan.width, height=plan.height, frames=plan.frames)
        moving, resting = (case_of(each, number, canvas_short_side=short, face=face) for each in (pair, at_rest(pair)))
        seed = plan.seed + number
        yield measure_expression(subject, moving, resting, settings, seed=seed, segment_frames=plan.frames)
        for _ in range(EXPRESSIONS_GENERATED):
            tick()


def _case(subject: Animator, plan: EvaluationPlan, task: PairKind, number: int, frames: int) -> Case:
    return make_case(
        task,
        plan.split,
        number,
        width=plan.width,
        height=plan.height,
        frames=frames,
        canvas_short_side=subject.defaults.pose_canvas_short_side,
        face=subject.defaults.face,
    )


def _drawn_alike(a: Animator, b: Animator) -> bool:
    return (a.defaults.face, a.defaults.pose_canvas_short_side) == (b.defaults.face, b.defaults.pose_canvas_short_side)


def _sampling(subject: Animator, settings: Settings) -> dict:
    sampling = subject.resolved(settings).sampling
    return {
        "num_inference_steps": sampling.num_inference_steps,
        "image_guidance_scale": sampling.image_guidance_scale,
        "pose_guidance_scale": sampling.pose_guidance_scale,
    }


def _plain(statistic: Statistic) -> dict | None:
    if not statistic.count:
        return None
    error = None if np.isnan(statistic.error) else statistic.error
    return {"mean": statistic.mean, "error": error, "count": statistic.count}


class _ResultCounter:
    """Counts results for the progress callback."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)

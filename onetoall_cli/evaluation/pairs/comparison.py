"""Two results for the same truths: paired differences with confidence, and what may be compared at all."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
from onetoall_cli.evaluation.pairs.frechet import confidence
from onetoall_cli.evaluation.pairs.metrics import METRICS
from onetoall_cli.evaluation.pairs.tables import as_json, describe, number, skipped

_UNDECIDED = "not told apart"


@dataclass(frozen=True)
class Difference:
    """B minus A of one metric.

    Attributes:
        a, b: The two values; of means, over the clips that have one in both.
        value: B minus A; NaN where they cannot be compared.
        low, high: The 95 % interval of the mean difference; NaN for Frechet distances and for fewer than five clips.
        note: N of a Frechet distance, or why it cannot be compared.
    """

    metric: str
    a: float
    b: float
    value: float
    low: float
    high: float
    note: str = ""

    @property
    def verdict(self) -> str:
        """Which one is better, where the interval does not hold 0."""
        if math.isnan(self.low):
            return self.note
        if self.low <= 0 <= self.high:
            return _UNDECIDED
        return "B better" if (self.value > 0) == METRICS[self.metric].higher else "A better"


def compare(a: PairEvaluation, b: PairEvaluation) -> list[Difference]:
    """The differences of two results, metric by metric.

    Args:
        a, b: Measured by one protocol against the same truths.

    Raises:
        BadInput: They are not of the same clips.
    """
    if [clip.name for clip in a.clips] != [clip.name for clip in b.clips]:
        raise BadInput("The two results are not of the same clips.", "Give results for one set of truths.")
    return [_of_means(a, b, metric) for metric in a.means] + [_of_distances(a, b, metric) for metric in a.distances]


def _of_means(a: PairEvaluation, b: PairEvaluation, metric: str) -> Difference:
    of_a, of_b = a.per_clip(metric), b.per_clip(metric)
    both = ~np.isnan(of_a + of_b)
    if not both.any():
        nan = float("nan")
        return Difference(metric, nan, nan, nan, nan, nan)
    means = float(of_a[both].mean()), float(of_b[both].mean())
    return Difference(metric, *means, means[1] - means[0], *confidence((of_b - of_a)[both]))


def _of_distances(a: PairEvaluation, b: PairEvaluation, metric: str) -> Difference:
    of_a, of_b = a.distance(metric), b.distance(metric)
    nan = float("nan")
    if of_a.vectors != of_b.vectors:
        note = f"not comparable: N = {of_a.vectors} and {of_b.vectors}"
        return Difference(metric, of_a.value, of_b.value, nan, nan, nan, note)
    return Difference(metric, of_a.value, of_b.value, of_b.value - of_a.value, nan, nan, f"N = {of_a.vectors}")


def comparison_as_text(a: PairEvaluation, b: PairEvaluation) -> str:
    """The table of differences for a terminal."""
    head = f"{'':10}{'A':>9}{'B':>9}{'B - A':>10}  {'95 % interval':21}"
    rows = [
        f"{METRICS[each.metric].heading:10}{number(each.a, each.metric):>9}{number(each.b, each.metric):>9}"
        f"{_signed(each.value, each.metric):>10}  {_interval(each):21}{each.verdict}"
        for each in compare(a, b)
    ]
    return "\n".join([describe(a), "", head, *rows, *([""] if a.skipped else []), *skipped(a)])


def comparison_as_markdown(a: PairEvaluation, b: PairEvaluation, command: str) -> str:
    """The same as Markdown, with the command that prints it."""
    lines = [*describe(a).splitlines(), "", f"Printed by `{command}`.", ""]
    lines += ["| | A | B | B - A | 95 % interval | |", "|---|---:|---:|---:|---|---|"]
    lines += [
        f"| {METRICS[each.metric].heading} | {number(each.a, each.metric)} | {number(each.b, each.metric)} "
        f"| {_signed(each.value, each.metric)} | {_interval(each)} | {each.verdict} |"
        for each in compare(a, b)
    ]
    return "\n".join(lines) + "\n"


def comparison_as_json(a: PairEvaluation, b: PairEvaluation) -> dict[str, Any]:
    """Both evaluations and their differences as plain values; NaN becomes null."""
    fields = ("a", "b", "value", "low", "high")
    differences = {
        each.metric: {name: None if math.isnan(getattr(each, name)) else getattr(each, name) for name in fields}
        | {"verdict": each.verdict}
        for each in compare(a, b)
    }
    return {"differences": differences, "a": as_json(a), "b": as_json(b)}


def _signed(value: float, metric: str) -> str:
    return "-" if math.isnan(value) else f"{value:+.{METRICS[metric].decimals}f}"


def _interval(each: Difference) -> str:
    if math.isnan(each.low):
        return "-"
    return f"{_signed(each.low, each.metric)} to {_signed(each.high, each.metric)}"

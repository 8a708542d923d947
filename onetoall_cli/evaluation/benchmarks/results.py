"""The table of a benchmark: what was measured beside what its authors published, as text, Markdown, rows and JSON."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from onetoall_cli.evaluation.benchmarks.table import Benchmark
from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
from onetoall_cli.evaluation.pairs.metrics import METRICS
from onetoall_cli.evaluation.pairs.tables import as_json, clip_rows, describe, number, shortened, skipped

Runs = Mapping[str, PairEvaluation]  # by what made them

_LINE, _CELL = 80, 12  # characters of a line, and of a column of figures


def results_as_text(benchmark: Benchmark, runs: Runs) -> str:
    """The table for a terminal: under each mean its interval, under each Frechet distance its N."""
    columns = _columns(runs)
    rows = list(_rows(benchmark, runs, columns))
    width = min(max(len(name) for name, _, _ in rows), _LINE - _CELL * len(columns))
    lines = [_line("", width, [METRICS[name].heading for name in columns])]
    for name, cells, below in rows:
        lines.append(_line(name, width, cells))
        if any(below):
            lines.append(_line("", width, below))
    first = next(iter(runs.values()))
    return "\n".join([*_head(benchmark, first), "", *lines, *_tail(benchmark, first)])


def results_as_markdown(benchmark: Benchmark, runs: Runs, command: str) -> str:
    """The same as Markdown, with the command that prints it."""
    columns = _columns(runs)
    first = next(iter(runs.values()))
    lines = [*_head(benchmark, first), "", f"Printed by `{command}`.", ""]
    lines += [_cells(["", *(METRICS[name].heading for name in columns)]), "|---|" + "---:|" * len(columns)]
    for name, cells, below in _rows(benchmark, runs, columns):
        both = [f"{cell} ({under})" if under else cell for cell, under in zip(cells, below, strict=True)]
        lines.append(_cells([name, *both]))
    return "\n".join([*lines, *_tail(benchmark, first)]) + "\n"


def clip_rows_of(runs: Runs) -> list[list[str | float]]:
    """A table of clips: the headings, then a row for each run and clip."""
    (head, *_), *_ = tables = [clip_rows(run) for run in runs.values()]
    named = [[name, *row] for name, table in zip(runs, tables, strict=True) for row in table[1:]]
    return [["run", *head], *named]


def results_as_json(benchmark: Benchmark, runs: Runs) -> dict[str, Any]:
    """Everything as plain values."""
    measured = {name: as_json(run) for name, run in runs.items()}
    return {"title": benchmark.title, "protocol": benchmark.protocol, "runs": measured, "paper": benchmark.paper}


def _columns(runs: Runs) -> list[str]:
    first = next(iter(runs.values()))
    return [name for name in METRICS if name in (*first.means, *first.distances)]


def _rows(benchmark: Benchmark, runs: Runs, columns: list[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """For each run and published row its name, its figures, and what stands below them."""
    for name, run in runs.items():
        cells, below = zip(*(_measured(run, metric) for metric in columns), strict=True)
        yield name, list(cells), list(below)
    for name, figures in benchmark.paper.items():
        yield (
            f"paper: {name}",
            [number(figures.get(metric, math.nan), metric) for metric in columns],
            [""] * len(columns),
        )


def _measured(run: PairEvaluation, metric: str) -> tuple[str, str]:
    if metric in run.distances:
        distance = run.distance(metric)
        return number(distance.value, metric), f"N = {distance.vectors}"
    low, high = run.interval(metric)
    return number(run.mean(metric), metric), "" if math.isnan(low) else f"{number(low, metric)}-{number(high, metric)}"


def _head(benchmark: Benchmark, run: PairEvaluation) -> list[str]:
    lines = [f"{benchmark.title[0].upper()}{benchmark.title[1:]}.", *describe(run).splitlines()]
    if len(run.clips) != benchmark.clips:
        lines.append(f"The published set has {benchmark.clips}: the paper's figures are of another set.")
    return lines


def _tail(benchmark: Benchmark, run: PairEvaluation) -> list[str]:
    lines = [*benchmark.notes, *skipped(run)]
    return ["", *lines] if lines else []


def _line(name: str, width: int, cells: list[str]) -> str:
    return f"{shortened(name, width):{width}}" + "".join(f"{cell:>{_CELL}}" for cell in cells)


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"

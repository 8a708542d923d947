"""Tables of measured results: text, Markdown, rows, JSON."""

import math
from typing import Any

import numpy as np

from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
from onetoall_cli.evaluation.pairs.metrics import METRICS

LISTED = 20  # clips up to which the text has a line for each


def as_text(evaluation: PairEvaluation) -> str:
    """Tables for a terminal: the means, their intervals, and each clip if there are few."""
    head = f"{'':10}{'mean':>9}  {'95 % interval':19}better"
    rows = [
        f"{heading:10}{value:>9}  {interval:19}{'higher' if METRICS[name].higher else 'lower'}"
        for name, heading, value, interval in _summary(evaluation)
    ]
    parts = ["\n".join([describe(evaluation), "", head, *rows]), "\n".join(skipped(evaluation))]
    if 1 < len(evaluation.clips) <= LISTED and evaluation.means:
        parts.append(_clips_as_text(evaluation))
    return "\n\n".join(part for part in parts if part)


def describe(evaluation: PairEvaluation) -> str:
    """What was compared and how, in one or two lines."""
    clips = evaluation.clips
    frames = sum(clip.frames for clip in clips)
    sizes = sorted({(clip.width, clip.height) for clip in clips})
    size = f"{sizes[0][0]} x {sizes[0][1]}" if len(sizes) == 1 else f"{len(sizes)} sizes"
    scaled = sum(clip.scaled for clip in clips)
    unit = ("clip" if evaluation.kind == "videos" else "picture") + ("" if len(clips) == 1 else "s")
    counted = f"{len(clips)} {unit}" + (f", {frames} frames" if evaluation.kind == "videos" else "")
    lines = [
        f"{counted}, {size}; {scaled or 'no'} result{'' if scaled == 1 else 's'} scaled to the truth (bicubic).",
        f"Protocol {evaluation.protocol.name}: {evaluation.protocol.says}",
        *evaluation.notes,
        *_unmeasured(evaluation),
    ]
    return "\n".join(lines)


def _unmeasured(evaluation: PairEvaluation) -> list[str]:
    """A line for each metric that found nothing to measure in some frames: where nobody is seen, no mean tells it."""
    lines = []
    for name in evaluation.means:
        values = np.concatenate([clip.values[name] for clip in evaluation.clips])
        missing = int(np.isnan(values).sum())
        if missing:
            lines.append(f"{METRICS[name].heading}: nothing to measure in {missing} of {len(values)} frames.")
    return lines


def as_markdown(evaluation: PairEvaluation, command: str) -> str:
    """The table of means as Markdown, with what was compared and the command."""
    lines = [*describe(evaluation).splitlines(), "", f"Printed by `{command}`.", ""]
    lines += ["| | mean | 95 % interval | better |", "|---|---:|---|---|"]
    for name, heading, value, interval in _summary(evaluation):
        lines.append(f"| {heading} | {value} | {interval} | {'higher' if METRICS[name].higher else 'lower'} |")
    lines += [f"\n{each}" for each in skipped(evaluation)]
    return "\n".join(lines) + "\n"


def clip_rows(evaluation: PairEvaluation) -> list[list[str | float]]:
    """A table of clips: the headings, then for each its name, frames and size, and its mean of each metric."""
    rows: list[list[str | float]] = [["clip", "frames", "width", "height", "scaled", *evaluation.means]]
    for clip in evaluation.clips:
        means = [clip.mean(metric) for metric in evaluation.means]
        rows.append([clip.name, clip.frames, clip.width, clip.height, int(clip.scaled), *means])
    return rows


def as_json(evaluation: PairEvaluation) -> dict[str, Any]:
    """Everything as plain values; NaN becomes null."""
    metrics: dict[str, Any] = {}
    for name in evaluation.means:
        interval = [_plain(end) for end in evaluation.interval(name)]
        metrics[name] = {"mean": _plain(evaluation.mean(name)), "interval": interval, "clips": len(evaluation.clips)}
    for name in evaluation.distances:
        distance = evaluation.distance(name)
        metrics[name] = {"value": _plain(distance.value), "vectors": distance.vectors, "clips": distance.clips}
    clips = [
        {
            "name": clip.name,
            "frames": clip.frames,
            "scaled": clip.scaled,
            **{metric: _plain(clip.mean(metric)) for metric in evaluation.means},
            "per_frame": {metric: [_plain(value) for value in values] for metric, values in clip.values.items()},
        }
        for clip in evaluation.clips
    ]
    return {
        "protocol": evaluation.protocol.name,
        "kind": evaluation.kind,
        "metrics": metrics,
        "skipped": evaluation.skipped,
        "notes": evaluation.notes,
        "clips": clips,
    }


def number(value: float, metric: str) -> str:
    """A value as tables show it; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.{METRICS[metric].decimals}f}"


def _summary(evaluation: PairEvaluation) -> list[tuple[str, str, str, str]]:
    """For each metric its name, heading, value, and interval or number of vectors."""
    rows = []
    for name in evaluation.means:
        low, high = evaluation.interval(name)
        interval = "-" if math.isnan(low) else f"{number(low, name)} to {number(high, name)}"
        rows.append((name, METRICS[name].heading, number(evaluation.mean(name), name), interval))
    for name in evaluation.distances:
        distance = evaluation.distance(name)
        vectors = f"N = {distance.vectors}" + (", needs 2" if distance.vectors < 2 else "")
        rows.append((name, METRICS[name].heading, number(distance.value, name), vectors))
    return rows


def skipped(evaluation: PairEvaluation) -> list[str]:
    """A line for each metric that was left out."""
    return [f"Without {METRICS[name].heading}: {why}" for name, why in evaluation.skipped.items()]


def _clips_as_text(evaluation: PairEvaluation) -> str:
    head = f"{'clip':24}{'frames':>7}" + "".join(f"{METRICS[name].heading:>10}" for name in evaluation.means)
    rows = [
        f"{shortened(clip.name, 23):24}{clip.frames:>7}"
        + "".join(f"{number(clip.mean(name), name):>10}" for name in evaluation.means)
        for clip in evaluation.clips
    ]
    return "\n".join([head, *rows])


def shortened(name: str, length: int) -> str:
    """The end of a name that is too long."""
    return name if len(name) <= length else f"...{name[3 - length :]}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)

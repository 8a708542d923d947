"""Pictures of measured results: the worst frames beside their truth, and each metric over time."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
from onetoall_cli.evaluation.pairs.metrics import METRICS
from onetoall_cli.evaluation.pairs.tables import number, shortened
from onetoall_cli.media import contact_sheet

_HEIGHT = 320  # of a picture on the sheet, pixels
_AMPLIFIED = 4  # the shown difference, so that small ones are seen
_WIDTH, _PANEL = 900, 220  # of the plot, and the height of each metric's panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 16, 30, 26
_SAMPLES = 400  # of the mean's line
_EARLY = 1e-6  # seconds by which rounding may put a frame late
_PAPER, _INK, _THIN, _BOLD, _GRID = "white", "#222222", "#b8c4d6", "#1f4e9c", "#e4e4e4"

_Line: TypeAlias = list[tuple[float, float]]


def worst_frames(evaluation: PairEvaluation) -> NDArray[np.uint8]:
    """The worst frames, a row each: result, truth, and their difference, four times as large, under the value."""
    rows = []
    for worst in evaluation.worst:
        difference = np.abs(worst.made.astype(np.int16) - worst.true) * _AMPLIFIED
        value = f"{METRICS[worst.metric].heading} {number(worst.value, worst.metric)}"
        rows.append(
            [
                (shortened(worst.clip, _HEIGHT // 16), worst.made),
                (f"truth, frame {worst.frame}", worst.true),
                (value, np.clip(difference, 0, 255).astype(np.uint8)),
            ]
        )
    return contact_sheet(rows, _HEIGHT)


def plot_over_time(evaluation: PairEvaluation) -> NDArray[np.uint8]:
    """A panel for each metric: its value over the seconds of each clip (thin), and the mean over clips (bold)."""
    metrics = evaluation.means
    sheet = Image.new("RGB", (_WIDTH, _PANEL * len(metrics)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    longest = max((clip.frames - 1) / clip.fps for clip in evaluation.clips)
    for place, metric in enumerate(metrics):
        lines = [
            list(zip(_seconds(clip.frames, clip.fps), clip.values[metric], strict=True)) for clip in evaluation.clips
        ]
        _draw_panel(pen, place * _PANEL, METRICS[metric].heading, metric, lines, longest)
    return np.asarray(sheet)


def _seconds(frames: int, fps: float) -> NDArray[np.float64]:
    return np.arange(frames) / fps


def _draw_panel(
    pen: ImageDraw.ImageDraw, top: int, heading: str, metric: str, lines: Sequence[_Line], longest: float
) -> None:
    font = ImageFont.load_default(13)
    pen.text((_LEFT, top + 6), heading, _INK, ImageFont.load_default(15))
    values = [value for line in lines for _, value in line if not math.isnan(value)]
    if not values:
        pen.text((_LEFT, top + _PANEL // 2), "nothing to measure", _INK, font)
        return
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    bottom = top + _PANEL - _BOTTOM

    def at(second: float, value: float) -> tuple[float, float]:
        across = (_WIDTH - _LEFT - _RIGHT) * second / (longest or 1)
        return _LEFT + across, bottom - (bottom - top - _TOP) * (value - low) / (high - low)

    for value in np.linspace(low, high, 4):
        _, y = at(0, value)
        pen.line([(_LEFT, y), (_WIDTH - _RIGHT, y)], _GRID)
        pen.text((_LEFT - 8, y), number(float(value), metric), _INK, font, anchor="rm")
    for second in _ticks(longest):
        pen.text((at(second, low)[0], bottom + 5), f"{second:g} s", _INK, font, anchor="ma")
    for line in lines:
        _draw_line(pen, [at(*point) for point in line if not math.isnan(point[1])], _THIN if len(lines) > 1 else _BOLD)
    if len(lines) > 1:
        _draw_line(pen, [at(*point) for point in _mean_line(lines)], _BOLD, width=3)


def _draw_line(pen: ImageDraw.ImageDraw, points: _Line, colour: str, width: int = 1) -> None:
    if len(points) > 1:
        pen.line(points, colour, width, joint="curve")
    elif points:
        x, y = points[0]
        pen.ellipse([x - 2, y - 2, x + 2, y + 2], colour)


def _mean_line(lines: Sequence[_Line]) -> _Line:
    """The mean over the clips that are still running, at `_SAMPLES` moments."""
    clock = np.linspace(0, max(line[-1][0] for line in lines), _SAMPLES)
    rows = []
    for line in lines:
        seconds, values = np.array(line).T
        shown = np.searchsorted(seconds, clock + _EARLY, side="right") - 1
        rows.append(np.where(clock <= seconds[-1] + _EARLY, values[shown], np.nan))
    stacked = np.stack(rows)
    some = ~np.isnan(stacked).all(axis=0)
    return list(zip(clock[some], np.nanmean(stacked[:, some], axis=0), strict=True))


def _ticks(longest: float) -> NDArray[np.float64]:
    """Round seconds for an axis, at most eight."""
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1e9) if longest / step <= 8)
    return np.arange(0, longest + 1e-9, step)

"""Line charts as pictures: one panel a measure, one line a series."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Series = Mapping[str, Sequence[float]]  # by name; NaN leaves a gap

PANEL = (420, 200)  # width, height in pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 46, 22  # margins of the plot in its panel
COLOURS = ("#d1495b", "#00798c", "#edae49", "#4f6d7a", "#7a5195")
GRID, TEXT, PAPER = "#d8d8d8", "#303030", "white"
GRID_LINES = 4


def line_charts(panels: Mapping[str, Series]) -> NDArray[np.uint8]:
    """Draw panels below one another; x counts from 1.

    Args:
        panels: Series by the panel's title.

    Returns:
        The picture, uint8 (H, W, 3).
    """
    image = Image.new("RGB", (PANEL[0], PANEL[1] * len(panels)), PAPER)
    draw = ImageDraw.Draw(image)
    for row, (title, series) in enumerate(panels.items()):
        _panel(draw, row * PANEL[1], title, series)
    return np.asarray(image)


def _panel(draw: ImageDraw.ImageDraw, top: int, title: str, series: Series) -> None:
    font = ImageFont.load_default(12)
    values = np.array([value for line in series.values() for value in line], dtype=float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    pad = 0.06 * (high - low) or 0.5
    low, high = low - pad, high + pad
    longest = max((len(line) for line in series.values()), default=1)
    width, height = PANEL[0] - LEFT - RIGHT, PANEL[1] - TOP - BOTTOM

    def place(number: float, value: float) -> tuple[float, float]:
        across = (number - 1) / max(1, longest - 1)
        return LEFT + across * width, top + TOP + (high - value) / (high - low) * height

    draw.text((LEFT, top + 6), title, TEXT, font)
    for step in range(GRID_LINES + 1):
        value = low + step / GRID_LINES * (high - low)
        y = place(1, value)[1]
        draw.line((LEFT, y, PANEL[0] - RIGHT, y), GRID)
        draw.text((LEFT - 6, y), f"{value:.3g}", TEXT, font, anchor="rm")
    for number in {1, longest}:
        draw.text((place(number, low)[0], top + PANEL[1] - BOTTOM + 4), str(number), TEXT, font, anchor="mt")
    x = LEFT
    for (name, line), colour in zip(series.items(), COLOURS, strict=False):
        draw.text((x, top + 24), name, colour, font)
        x += int(draw.textlength(name, font)) + 16
        points = [place(number, value) for number, value in enumerate(line, 1) if np.isfinite(value)]
        draw.line(points, colour, 2)

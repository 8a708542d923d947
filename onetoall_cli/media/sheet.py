"""A contact sheet: pictures in rows under their captions, to see a run at a glance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP, CAPTION_HEIGHT = 6, 22
PAPER, INK = (255, 255, 255), (40, 40, 40)

Row = Sequence[tuple[str, NDArray[np.uint8]]]


def contact_sheet(rows: Sequence[Row], height: int) -> NDArray[np.uint8]:
    """Lay out rows of (caption, picture).

    Args:
        rows: Pictures are uint8 (h, w, 3); an empty caption leaves the place above a picture empty.
        height: To which every picture is scaled, pixels.

    Returns:
        Uint8 (H, W, 3), as wide as the widest row.
    """
    scaled = [[(caption, _at_height(picture, height)) for caption, picture in row] for row in rows]
    width = max(sum(picture.width + GAP for _, picture in row) for row in scaled) + GAP
    step = CAPTION_HEIGHT + height + GAP
    sheet = Image.new("RGB", (width, step * len(scaled) + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, row in enumerate(scaled):
        left, top = GAP, number * step + GAP
        for caption, picture in row:
            pen.text((left, top), caption, INK, font)
            sheet.paste(picture, (left, top + CAPTION_HEIGHT))
            left += picture.width + GAP
    return np.asarray(sheet)


def picture_grid(rows: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Pictures (H, W, 3) side by side without gaps; those of a row have one height, those of a column one width."""
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def _at_height(picture: NDArray[np.uint8], height: int) -> Image.Image:
    size = (max(1, round(picture.shape[1] * height / picture.shape[0])), height)
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)

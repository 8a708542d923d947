"""The order in which people number files: `frame2` before `frame10`."""

import re
from pathlib import Path


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A sorting key of a file's name: its numbers count as numbers, the text between them as text."""
    pieces = re.split(r"(\d+)", path.name.lower())
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]

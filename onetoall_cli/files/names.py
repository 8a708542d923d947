"""What the names of files say: which are pictures or videos, and in what order people number them."""

import re
from pathlib import Path

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PICTURE_SUFFIXES = HEIF_SUFFIXES | {
    *(".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg"),
    *(".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
MOVIE_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"})


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A sorting key of a file's name: its numbers count as numbers, so `frame2` comes before `frame10`."""
    pieces = re.split(r"(\d+)", path.name.lower())
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]

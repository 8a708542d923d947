"""What the names of files say: which are pictures or videos, how people number them, what a run in progress keeps."""

import re
from pathlib import Path

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PICTURE_SUFFIXES = HEIF_SUFFIXES | {
    *(".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg"),
    *(".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
MOVIE_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"})
_UNFINISHED = ".unfinished"


def folder_of(output: Path) -> Path:
    """Where the finished segments of an output are kept until it is there (`animator.kept_segments`)."""
    return output.with_name(output.name + _UNFINISHED)


def output_of(folder: Path) -> Path:
    """The output whose segments `folder` keeps; another path as it is."""
    return folder.with_name(folder.name.removesuffix(_UNFINISHED) or folder.name)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A sorting key of a file's name: its numbers count as numbers, so `frame2` comes before `frame10`."""
    pieces = re.split(r"(\d+)", path.name.lower())
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]

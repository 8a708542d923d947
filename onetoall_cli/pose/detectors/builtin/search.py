"""Where in a picture to look for people: BlazePose's finder sees any picture shrunk to 224 x 224, so a small person is
looked for in windows of the picture, and one who fills it in the picture made smaller by a border.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from onetoall_cli.pose.detectors.builtin.people_finder import Find, PeopleFinder
from onetoall_cli.pose.detectors.builtin.regions import Region
from onetoall_cli.pose.detectors.interface import Image

DOUBTFUL = 0.25
"""Least score that is looked at. Drawn figures get 0.25 to 0.5."""
_LIKELY = 0.5
"""MediaPipe's own threshold for a found person in a whole picture. A flag gets 0.58: these need proof."""
_SURE = 0.75
"""Whole pictures' finds from this score up are believed."""
_LIKELY_IN_WINDOW = 0.7
"""Windows show parts of bodies, which are taken for people at up to 0.6; real small people get 0.75 to 0.98."""

_BORDERS = (0.25, 0.5)
"""Parts of the longer side added all round for close-ups. `bust_portrait.png` scores 0.26 without a border, 0.56 and
0.88 with these, and less again with wider ones. A black border beats a continued one (0.43, 0.77)."""

_TURNS = (math.pi / 2, -math.pi / 2, math.pi)
"""Radians by which a picture may have been turned without anybody's noticing."""

_FILLING = ((0.55, 1.1), (0.9, 1.8))
"""Middle of the hips and side of the region of a figure that fills the picture, as parts of its height: all of it, and
down to the hips. Reading on from there finds the rest."""

_LARGEST = 1080
"""Shorter side in pixels at which pictures are searched: the smallest windows still hold twice what the finder sees."""
_SMALLEST_WINDOW = 112
"""Pixels; the finder would only see smaller windows blurred."""

_SAME_CHEST = 0.12
"""Distance of two finds' chests, as part of the smaller region, below which they are one person: a hand's breadth
less than two people standing shoulder to shoulder."""


class Proof(Enum):
    """What the landmarks read at a find must show before it is believed."""

    NONE = "nothing more"
    STANDING = "a steady body that stands upright, or a face"
    WHOLE = "a very steady upright body of which hips and a foot are to be seen, or a face"
    FACE = "a steady body with a face"


@dataclass(frozen=True)
class Candidate:
    """A find, and what it takes to believe it."""

    find: Find
    proof: Proof


def search(finder: PeopleFinder, image: Image, *, thorough: bool) -> Iterator[list[Candidate]]:
    """Look for people in ever more laborious ways; stop taking from it once somebody was read.

    First the whole picture and windows of its shorter side: people from a quarter of that side in height. Then, if
    thorough: close-ups; people from a fifth (both measured on a 1920 x 1080 picture); drawn figures; pictures that lie
    on their side or head; and a figure that fills the picture. The first way takes some 50 ms on a 16:9 picture.

    Args:
        finder: With a `min_score` of `DOUBTFUL`.
        image: The picture.
        thorough: Whether to go beyond the first way.

    Yields:
        What one way found, without repeats; possibly nothing.
    """
    image, zoom = _reduced(image)
    height, width = image.shape[:2]
    short, long = min(width, height), max(width, height)
    doubtful: list[Find] = []

    def seen(view: Region) -> list[Find]:
        return [find.enlarged(1 / zoom) for find in finder.find(image, view)]

    def in_picture(border: int, turn: float = 0.0) -> list[Find]:
        return seen(Region(width / 2, height / 2, long + 2 * border, turn))

    def likely(finds: list[Find]) -> list[Candidate]:
        doubtful.extend(find for find in finds if find.score < _LIKELY)
        rest = [find for find in finds if find.score >= _LIKELY]
        return [Candidate(find, Proof.NONE if find.score >= _SURE else Proof.WHOLE) for find in rest]

    def in_windows(side: int) -> list[Candidate]:
        finds = [find for view in _windows(width, height, side) for find in seen(view)]
        return [Candidate(find, Proof.STANDING) for find in finds if find.score >= _LIKELY_IN_WINDOW]

    yield _without_repeats(likely(in_picture(border=0)) + in_windows(short))
    if not thorough:
        return
    for part in _BORDERS:
        yield _without_repeats(likely(in_picture(round(part * long))))
    yield _without_repeats(in_windows(short // 2))
    yield _best_first(doubtful)
    borders = (0, round(_BORDERS[0] * long))
    yield _best_first([find for turn in _TURNS for border in borders for find in in_picture(border, turn)])
    yield [Candidate(find.enlarged(1 / zoom), Proof.FACE) for find in _filling(width, height)]


def _best_first(finds: list[Find]) -> list[Candidate]:
    """Finds that need a face to be believed, the surest first, without repeats."""
    ordered = sorted(finds, key=lambda find: -find.score)
    return _without_repeats([Candidate(find, Proof.FACE) for find in ordered])


def _filling(width: int, height: int) -> list[Find]:
    """Where someone would be who fills the picture: standing, and shown to the hips."""
    places = [(height * part, height * zoom) for part, zoom in _FILLING]
    return [Find(Region(width / 2, hips, size, 0.0), (width / 2, hips - size / 4), 0.0) for hips, size in places]


def _reduced(image: Image) -> tuple[Image, float]:
    """The picture at no more than `_LARGEST` on its shorter side, and its size relative to the full one."""
    height, width = image.shape[:2]
    zoom = min(1.0, _LARGEST / min(width, height))
    if zoom == 1.0:
        return image, 1.0
    small = cv2.resize(image, (round(width * zoom), round(height * zoom)), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), zoom


def _windows(width: int, height: int, side: int) -> list[Region]:
    """Half-overlapping squares that cover the picture; none where they would show nothing new."""
    if max(width, height) < 1.2 * side or side < _SMALLEST_WINDOW:
        return []
    corners = [(left, top) for top in _starts(height, side) for left in _starts(width, side)]
    return [Region(left + side / 2, top + side / 2, side, 0.0) for left, top in corners]


def _starts(length: int, side: int) -> list[int]:
    """Where windows of `side` begin so that they cover `length` and overlap by half or more."""
    count = math.ceil((length - side) / (side / 2)) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def is_at(find: Find, chest: tuple[float, float], size: float) -> bool:
    """Whether the find is the person with this chest and region size."""
    return math.dist(find.chest, chest) < _SAME_CHEST * min(size, find.region.size)


def _without_repeats(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates without those that are an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not any(is_at(candidate.find, other.find.chest, other.find.region.size) for other in kept):
            kept.append(candidate)
    return kept

"""Decodes MediaPipe's two detection networks: a box and some points for every anchor of a grid, repeats merged.

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019; the settings are
those of MediaPipe 0.10.21's graphs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_OVERLAP = 0.3
"""Intersection over union from which two boxes are one find."""

_LARGEST_LOGIT = 100.0


@dataclass(frozen=True)
class Detection:
    """One find: how sure, 0..1, and its points (n, 2): from `Anchors`, 0..1 of what the network saw."""

    score: float
    points: NDArray[np.float32]


class Anchors:
    """The places a detection network answers for.

    Args:
        side: Of the network's input, in pixels.
        grids: Of each grid its cells along a side, and the answers a cell gives.
    """

    def __init__(self, side: int, grids: Sequence[tuple[int, int]]) -> None:
        self._side = side
        self._centres = np.concatenate([_centres(cells, answers) for cells, answers in grids])

    def __len__(self) -> int:
        return len(self._centres)

    def decode(self, boxes: NDArray[np.float32], logits: NDArray[np.float32], least: float) -> list[Detection]:
        """The finds with a score of at least `least`, highest first.

        Args:
            boxes: (anchors, 4 + 2 n): centre, width and height, then n points, in pixels off the anchor.
            logits: (anchors, 1).
        """
        scores = sigmoid(logits[:, 0])
        likely = np.flatnonzero((scores >= least) & (boxes[:, 2:4] >= 0).all(axis=1))
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        scores, values = scores[likely], boxes[likely] / self._side
        centres = self._centres[likely]
        middle, half = values[:, :2] + centres, values[:, 2:4] / 2
        corners = np.concatenate([middle - half, middle + half], axis=1)
        points = values[:, 4:].reshape(len(values), boxes.shape[1] // 2 - 2, 2) + centres[:, None]
        return _merged(scores, corners, points)


def sigmoid(logits: NDArray) -> NDArray[np.float64]:
    """The probability of each logit."""
    return 1 / (1 + np.exp(-logits.astype(np.float64).clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)))


def _centres(cells: int, answers: int) -> NDArray[np.float32]:
    """The middle of every cell, row by row, once for each answer: (cells * cells * answers, 2), 0..1."""
    along = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    columns, rows = np.meshgrid(along, along)
    return np.repeat(np.stack([columns.ravel(), rows.ravel()], axis=1), answers, axis=0)


def _merged(scores: NDArray[np.float64], corners: NDArray[np.float32], points: NDArray[np.float32]) -> list[Detection]:
    """Boxes that overlap the best one left become one find at their mean, weighted by score."""
    found: list[Detection] = []
    left = np.arange(len(scores))
    while len(left):
        same = _overlap(corners[left[0]], corners[left]) > _OVERLAP
        same[0] = True
        group = left[same]
        place = np.average(points[group], axis=0, weights=scores[group])
        found.append(Detection(float(scores[group[0]]), place.astype(np.float32)))
        left = left[~same]
    return found


def _overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of a box (x1, y1, x2, y2) with others (n, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(min=0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / np.maximum(areas - shared, np.finfo(np.float32).tiny)

"""The person detectors in front of the pose networks: pictures in, boxes of people out (YOLOv10m, YOLOX-L)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.crops import letterboxed, stretched
from onetoall_cli.pose.detectors.interface import MAX_PEOPLE, Image
from onetoall_cli.pose.detectors.onnx_model import OnnxModel

SIDE = 640
"""Both networks see squares of this many pixels."""

PERSON = 0
"""COCO's class number, in both."""

SURE = 0.3
"""Boxes from this score up are people (DWPose's setting)."""
DOUBTFUL = 0.05
"""Where nobody is sure, the largest box from this score up is the one person (reference.md, "Detectors")."""

_OVERLAP = 0.45
"""Intersection over union from which the lower of two boxes is dropped (DWPose's setting)."""

_YOLOX_GREY = 114
_YOLOX_STRIDES = (8, 16, 32)
_LARGEST_LOG_SIZE = 8.0  # of a stride: far beyond the square; without it, empty cells may overflow

Boxes = NDArray[np.float32]
"""(n, 5): x1, y1, x2, y2, score."""


class PersonFinder(ABC):
    """A network that finds people."""

    def __init__(self, path: Path, *, device: str, get: str) -> None:
        self.model = OnnxModel(path, (SIDE, SIDE), device=device, get=get)

    def find(self, images: Sequence[Image]) -> list[Boxes]:
        """The people of each picture in its pixels, the largest first, at most `MAX_PEOPLE`."""
        squares, factors = zip(*(self._square(image) for image in images), strict=True)
        return [
            choose_people(boxes, factor, image)
            for boxes, factor, image in zip(self._decode(np.stack(squares)), factors, images, strict=True)
        ]

    @abstractmethod
    def _square(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The network's input (3, SIDE, SIDE), and the factors x, y from its coordinates to the picture's."""

    @abstractmethod
    def _decode(self, squares: NDArray[np.float32]) -> list[Boxes]:
        """The boxes of people in each square, unsorted, in its pixels."""


class YoloV10(PersonFinder):
    """YOLOv10m as released with Wan-Animate: a plain resize, RGB 0..1; its output needs no suppression."""

    def _square(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        square, factors = stretched(image, SIDE)
        return square.transpose(2, 0, 1).astype(np.float32) / 255, factors

    def _decode(self, squares: NDArray[np.float32]) -> list[Boxes]:
        (rows,) = self.model.run(squares, [(None, 6)])
        return [decode_yolov10(each) for each in rows]


class YoloX(PersonFinder):
    """YOLOX-L as released with DWPose: letterboxed, BGR 0..255."""

    def _square(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        square, factors = letterboxed(image, SIDE, fill=_YOLOX_GREY)
        return square[..., ::-1].transpose(2, 0, 1).astype(np.float32), factors

    def _decode(self, squares: NDArray[np.float32]) -> list[Boxes]:
        cells = len(_grid()[0])
        (rows,) = self.model.run(squares, [(cells, None)])
        return [decode_yolox(each) for each in rows]


def decode_yolov10(rows: NDArray[np.float32]) -> Boxes:
    """The people among (n, 6) rows of x1 y1 x2 y2 score class."""
    return rows[(rows[:, 5] == PERSON) & (rows[:, 4] >= DOUBTFUL), :5]


def decode_yolox(rows: NDArray[np.float32]) -> Boxes:
    """The people among (8400, 5 + classes) raw rows: offset of the middle within the cell, log size, object score
    and class scores, cell by cell over the grids of strides 8, 16 and 32."""
    corners, strides = _grid()
    middle = (rows[:, :2] + corners) * strides
    size = np.exp(np.minimum(rows[:, 2:4], _LARGEST_LOG_SIZE)) * strides
    classes = rows[:, 5:]
    score = rows[:, 4] * classes[:, PERSON]
    likely = (score >= DOUBTFUL) & (classes.argmax(axis=1) == PERSON)
    boxes = np.concatenate([middle - size / 2, middle + size / 2, score[:, None]], axis=1)
    return boxes[likely].astype(np.float32)


@lru_cache(maxsize=1)
def _grid() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of every cell of YOLOX's three grids: column and row (8400, 2), and stride (8400, 1)."""
    corners, strides = [], []
    for stride in _YOLOX_STRIDES:
        along = np.arange(SIDE // stride)
        columns, rows = np.meshgrid(along, along)
        corners.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((len(along) ** 2, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def choose_people(boxes: Boxes, factors: NDArray[np.float64], image: Image) -> Boxes:
    """The boxes to read, in pixels of the picture and within it, the largest first.

    Those that are sure, without repeats; where none is, the largest doubtful one.
    """
    height, width = image.shape[:2]
    corners = np.clip(boxes[:, :4] * np.tile(factors, 2), 0, [width, height, width, height])
    boxes = np.concatenate([corners, boxes[:, 4:]], axis=1).astype(np.float32)
    boxes = boxes[(boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)]
    sure = boxes[boxes[:, 4] >= SURE]
    chosen = _without_repeats(sure) if len(sure) else boxes
    areas = (chosen[:, 2] - chosen[:, 0]) * (chosen[:, 3] - chosen[:, 1])
    limit = MAX_PEOPLE if len(sure) else 1
    return chosen[np.argsort(-areas, kind="stable")[:limit]]


def _without_repeats(boxes: Boxes) -> Boxes:
    """Non-maximum suppression."""
    corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corners_and_sizes.tolist(), boxes[:, 4].tolist(), DOUBTFUL, _OVERLAP)
    return boxes[np.asarray(kept, dtype=int).ravel()]

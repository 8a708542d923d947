"""Detectors of two networks: one finds people, the other reads the keypoints of each, both by ONNX Runtime."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.boxes import PersonFinder
from onetoall_cli.pose.detectors.crops import Crop, normalised
from onetoall_cli.pose.detectors.interface import Detector, Image, People, nobody
from onetoall_cli.pose.detectors.onnx_model import OnnxModel

_Item = TypeVar("_Item")

BATCH = {"CUDA": 8, "CPU": 4}
"""Pictures, and people, that go through a network together: enough to fill it, few enough for 8 GB of memory."""


class PoseNetwork(ABC):
    """A network that reads one person from a crop.

    Args:
        path: The ONNX file or its folder.
        size: (height, width) of its input.
        device, get: As for `OnnxModel`.
    """

    def __init__(self, path: Path, size: tuple[int, int], *, device: str, get: str) -> None:
        self.height, self.width = size
        self.model = OnnxModel(path, size, device=device, get=get)

    def read(self, people: Sequence[tuple[Image, NDArray[np.float32]]]) -> NDArray[np.float32]:
        """The keypoints of people given as picture and box (x1, y1, x2, y2, ...), (n, 133, 3) in picture pixels."""
        crops = [Crop.around(box, self.width / self.height) for _, box in people]
        batch = np.stack(
            [
                normalised(crop.cut(image, self.width, self.height))
                for crop, (image, _) in zip(crops, people, strict=True)
            ]
        )
        points, scores = self._decode(batch)
        points = np.stack(
            [crop.to_picture(each, self.width, self.height) for crop, each in zip(crops, points, strict=True)]
        )
        keypoints = np.concatenate([points, scores[..., None].clip(0, 1)], axis=-1)
        keypoints[~(np.isfinite(keypoints).all(axis=-1) & (keypoints[..., 2] > 0))] = 0
        return keypoints.astype(np.float32)

    @abstractmethod
    def _decode(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Points (n, 133, 2) in pixels of the input, and scores (n, 133), of (n, 3, height, width)."""


class TopDownDetector(Detector):
    """People found by one network and read by another.

    Args:
        name: What `--detector` calls the pair.
        finder: Finds people.
        network: Reads them.
    """

    def __init__(self, name: str, finder: PersonFinder, network: PoseNetwork) -> None:
        self.name = name
        self.description = f"{name} ({network.model.device})"
        self.batch_size = BATCH[network.model.device]
        self._finder = finder
        self._network = network

    def detect(self, images: Sequence[Image]) -> list[People]:
        boxes = [found for batch in _batches(images, self.batch_size) for found in self._finder.find(batch)]
        crops = ((image, box) for image, found in zip(images, boxes, strict=True) for box in found)
        keypoints = (person for batch in _batches(crops, self.batch_size) for person in self._network.read(batch))
        return [np.stack(people) if (people := list(islice(keypoints, len(found)))) else nobody() for found in boxes]

    def close(self) -> None:
        del self._finder, self._network


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch

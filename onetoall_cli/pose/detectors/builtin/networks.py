"""The networks that the package ships (`assets/detector`), each reading one region of a picture."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.builtin.anchors import Anchors, Detection
from onetoall_cli.pose.detectors.builtin.regions import Region
from onetoall_cli.pose.detectors.interface import Image
from onetoall_cli.pose.detectors.onnx_model import OnnxModel

FOLDER = Path(__file__).parents[3] / "assets" / "detector"

_Result = TypeVar("_Result")


class RegionNetwork:
    """A network that sees a square of a picture: black is 0, white is 1, and the picture's edge goes on outside.

    Args:
        name: Its file, without `.onnx`.
        side: Of its input, in pixels.
        outputs: The shape of each output, without the batch axis.
    """

    _black = 0.0
    _border = cv2.BORDER_REPLICATE

    def __init__(self, name: str, side: int, outputs: Sequence[tuple[int | None, ...]]) -> None:
        self.side = side
        self._outputs = outputs
        self._model = OnnxModel(FOLDER / f"{name}.onnx", (side, side), device="cpu", get=None, threads=1)

    def read(self, image: Image, region: Region) -> list[NDArray[np.float32]]:
        """Its outputs for what the region shows."""
        crop = region.cut(image, self.side, border=self._border)
        picture = cv2.dnn.blobFromImage(crop, (1 - self._black) / 255) + np.float32(self._black)
        return [output[0] for output in self._model.run(picture, self._outputs)]


class DetectionNetwork(RegionNetwork):
    """A network that finds things in a square of a picture: black is -1, and so is what lies outside.

    Args:
        name, side: As for `RegionNetwork`.
        points: How many it gives for each find.
        grids: As for `Anchors`.
    """

    _black = -1.0
    _border = cv2.BORDER_CONSTANT

    def __init__(self, name: str, side: int, points: int, grids: Sequence[tuple[int, int]]) -> None:
        self._anchors = Anchors(side, grids)
        count = len(self._anchors)
        super().__init__(name, side, [(count, 4 + 2 * points), (count, 1)])

    def find(self, image: Image, region: Region, least: float) -> list[Detection]:
        """What it finds in the region with a score of at least `least`, highest first, in pixels of the picture."""
        boxes, logits = self.read(image, region)
        found = self._anchors.decode(boxes, logits, least)
        return [replace(each, points=region.to_picture(each.points)) for each in found]


class Networks:
    """Those of the detector, and threads to run several at once: each is too small to fill a processor by itself."""

    def __init__(self) -> None:
        # Cells a side and answers a cell, of strides 8, 16 and three times 32; and of strides 8 and three times 16.
        self.pose_detection = DetectionNetwork("pose_detection", 224, 4, [(28, 2), (14, 2), (7, 6)])
        self.face_detection = DetectionNetwork("face_detection", 128, 6, [(16, 2), (8, 6)])
        self.pose_landmark = RegionNetwork("pose_landmark", 256, [(195,), (1,), (39, 64, 64)])
        self.hand_recrop = RegionNetwork("hand_recrop", 256, [(4, 1, 1)])
        self.hand_landmark = RegionNetwork("hand_landmark", 224, [(63,), (1,)])
        self.face_landmark = RegionNetwork("face_landmark", 192, [(1404, 1, 1), (1, 1, 1)])
        self._threads = ThreadPoolExecutor(thread_name_prefix="onetoall-detector")

    def at_once(self, tasks: Iterable[Callable[[], _Result]]) -> list[_Result]:
        """The results of tasks that run side by side, in their order."""
        return list(self._threads.map(lambda task: task(), tasks))

    def close(self) -> None:
        self._threads.shutdown()
        del self.pose_detection, self.pose_landmark, self.hand_recrop, self.hand_landmark
        del self.face_detection, self.face_landmark

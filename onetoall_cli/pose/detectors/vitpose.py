"""The `vitpose` detector: YOLOv10m and ViTPose-H whole-body, as released with Wan2.2-Animate."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.boxes import YoloV10
from onetoall_cli.pose.detectors.heatmaps import decode_heatmaps
from onetoall_cli.pose.detectors.top_down import PoseNetwork, TopDownDetector

NAME = "vitpose"
FETCH = "pose"
FILES = ("yolov10m", "vitpose_h_wholebody")

INPUT = (256, 192)
HEATMAPS = (64, 48)


class ViTPose(PoseNetwork):
    """ViTPose-H: RGB crops of 256 x 192 (the research code hands it BGR by accident), heatmaps of 64 x 48."""

    def __init__(self, path: Path, *, device: str) -> None:
        super().__init__(path, INPUT, device=device, get=FETCH)

    def _decode(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        (heatmaps,) = self.model.run(batch, [(kp.COUNT, *HEATMAPS)])
        points, scores = decode_heatmaps(heatmaps)
        return points * (INPUT[1] / HEATMAPS[1], INPUT[0] / HEATMAPS[0]), scores


def open_vitpose(finder: Path, network: Path, *, device: str = "auto") -> TopDownDetector:
    """The detector from its two ONNX files or folders; errors as for `OnnxModel`."""
    return TopDownDetector(NAME, YoloV10(finder, device=device, get=FETCH), ViTPose(network, device=device))

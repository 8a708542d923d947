"""The `dwpose` detector: YOLOX-L and DWPose's RTMPose-L whole-body, lighter than `vitpose`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.boxes import YoloX
from onetoall_cli.pose.detectors.simcc import decode_simcc
from onetoall_cli.pose.detectors.top_down import PoseNetwork, TopDownDetector

NAME = "dwpose"
FETCH = "dwpose"
FILES = ("yolox_l", "dw-ll_ucoco_384")

INPUT = (384, 288)
SPLIT = 2


class RTMPose(PoseNetwork):
    """RTMPose: RGB crops of 384 x 288, SimCC outputs along x and y."""

    def __init__(self, path: Path, *, device: str) -> None:
        super().__init__(path, INPUT, device=device, get=FETCH)

    def _decode(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        columns, rows = self.model.run(batch, [(kp.COUNT, INPUT[1] * SPLIT), (kp.COUNT, INPUT[0] * SPLIT)])
        return decode_simcc(columns, rows, SPLIT)


def open_dwpose(finder: Path, network: Path, *, device: str = "auto") -> TopDownDetector:
    """The detector from its two ONNX files or folders; errors as for `OnnxModel`."""
    return TopDownDetector(NAME, YoloX(finder, device=device, get=FETCH), RTMPose(network, device=device))

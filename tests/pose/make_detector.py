"""Regenerate `onetoall_cli/assets/detector`: MediaPipe's networks as ONNX, for the detector and the matting `builtin`.

pip download --no-deps --dest wheel mediapipe==0.10.21
python tests/pose/make_detector.py wheel/mediapipe-*.whl
"""

import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

from tflite_file import read_network
from tflite_to_onnx import convert

FOLDER = Path(__file__).parents[2] / "onetoall_cli" / "assets" / "detector"

NETWORKS = {
    "pose_detection": ("pose_detection/pose_detection", [(0, "boxes"), (1, "scores")]),
    "person_mask": ("pose_landmark/pose_landmark_full", [(2, "mask")]),
    "pose_landmark": ("pose_landmark/pose_landmark_full", [(0, "landmarks"), (1, "presence"), (3, "heatmaps")]),
    "hand_recrop": ("holistic_landmark/hand_recrop", [(0, "points")]),
    "hand_landmark": ("hand_landmark/hand_landmark_full", [(0, "landmarks"), (1, "presence")]),
    "face_detection": ("face_detection/face_detection_short_range", [(0, "boxes"), (1, "scores")]),
    "face_landmark": ("face_landmark/face_landmark", [(0, "landmarks"), (1, "presence")]),
}
"""Of each file: its name in the wheel below `mediapipe/modules`, and the outputs that are kept. Others (points in
metres, left or right hand) would only cost time. The person's mask has a file of its own, since the detector would
take half as long again with it."""


def main(wheel: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        for name, (source, outputs) in NETWORKS.items():
            path = Path(archive.extract(f"mediapipe/modules/{source}.tflite", folder))
            result = FOLDER / f"{name}.onnx"
            result.write_bytes(convert(read_network(path), outputs, name=name).SerializeToString())
            print(f"| `{result.name}` | `{source}.tflite` | `{digest(path)}` | `{digest(result)}` |")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

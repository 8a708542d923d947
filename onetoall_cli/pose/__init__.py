"""Poses: keypoints as a value with its file formats, detectors, drawing and smoothing."""

import importlib
from typing import TYPE_CHECKING, Any

from onetoall_cli.pose.openpose import OpenPose, to_openpose
from onetoall_cli.pose.sequence import PoseSequence

if TYPE_CHECKING:
    from onetoall_cli.pose.detect import detect_poses, open_detector
    from onetoall_cli.pose.drawing import draw_pose
    from onetoall_cli.pose.formats import export_openpose
    from onetoall_cli.pose.gaps import fill_gaps, missing_frames
    from onetoall_cli.pose.overlay import overlay_pose
    from onetoall_cli.pose.smoothing import smooth
    from onetoall_cli.pose.tracking import select_person

# Resolved on first use: drawing brings cv2 and detectors onnxruntime, for which `--help` should not wait.
_LAZY = {
    "detect_poses": "onetoall_cli.pose.detect",
    "draw_pose": "onetoall_cli.pose.drawing",
    "export_openpose": "onetoall_cli.pose.formats",
    "fill_gaps": "onetoall_cli.pose.gaps",
    "missing_frames": "onetoall_cli.pose.gaps",
    "open_detector": "onetoall_cli.pose.detect",
    "overlay_pose": "onetoall_cli.pose.overlay",
    "select_person": "onetoall_cli.pose.tracking",
    "smooth": "onetoall_cli.pose.smoothing",
}

__all__ = [
    "OpenPose",
    "PoseSequence",
    "detect_poses",
    "draw_pose",
    "export_openpose",
    "fill_gaps",
    "missing_frames",
    "open_detector",
    "overlay_pose",
    "select_person",
    "smooth",
    "to_openpose",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

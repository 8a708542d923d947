"""Poses: keypoints as a value with its file formats, detectors, drawing and smoothing."""

from typing import TYPE_CHECKING

from onetoall_cli.lazy_names import lazy_names
from onetoall_cli.pose.openpose import OpenPose, to_openpose
from onetoall_cli.pose.sequence import PoseSequence

if TYPE_CHECKING:
    from onetoall_cli.pose.detect import detector_identity, find_people, open_detector
    from onetoall_cli.pose.drawing import draw_pose
    from onetoall_cli.pose.formats import export_openpose
    from onetoall_cli.pose.gaps import fill_gaps, missing_frames
    from onetoall_cli.pose.overlay import overlay_pose
    from onetoall_cli.pose.quality import Quality, quality_of
    from onetoall_cli.pose.smoothing import smooth
    from onetoall_cli.pose.tracking import select_person

__all__ = [
    "OpenPose",
    "PoseSequence",
    "Quality",
    "detector_identity",
    "draw_pose",
    "export_openpose",
    "fill_gaps",
    "find_people",
    "missing_frames",
    "open_detector",
    "overlay_pose",
    "quality_of",
    "select_person",
    "smooth",
    "to_openpose",
]

# drawing brings cv2 and detectors onnxruntime, for which `--help` should not wait
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "detector_identity": "pose.detect",
        "find_people": "pose.detect",
        "draw_pose": "pose.drawing",
        "export_openpose": "pose.formats",
        "fill_gaps": "pose.gaps",
        "missing_frames": "pose.gaps",
        "open_detector": "pose.detect",
        "overlay_pose": "pose.overlay",
        "Quality": "pose.quality",
        "quality_of": "pose.quality",
        "select_person": "pose.tracking",
        "smooth": "pose.smoothing",
    },
)

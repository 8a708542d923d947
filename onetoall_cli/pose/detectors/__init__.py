"""Pose detectors behind one interface: pictures in, 133 whole-body keypoints of each person out."""

from onetoall_cli.pose.detectors.interface import Detector, Image, People

__all__ = ["Detector", "Image", "People"]

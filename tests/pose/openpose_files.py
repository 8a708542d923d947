"""Pose data for tests: frames and people as OpenPose writes them, real poses, and the files that once went wrong."""

from pathlib import Path

import numpy as np

from onetoall_cli.pose import PoseSequence

DATA = Path(__file__).parents[1] / "data"
CASES = DATA / "cases"
REAL = DATA / "poses_real.npz"


def real(name):
    return PoseSequence.load(f"{REAL}:{name}", fps=24)


def same(a, b):
    clocks = (a.times is None) == (b.times is None) and np.array_equal(a.clock(), b.clock())
    return (
        np.array_equal(a.keypoints, b.keypoints) and (a.width, a.height, a.fps) == (b.width, b.height, b.fps) and clocks
    )


def openpose_person(x=100.0, y=50.0, body=18, **extra):
    return {
        "pose_keypoints_2d": [x, y, 0.9] * body,
        "face_keypoints_2d": [x, y, 0.8] * 70,
        "hand_left_keypoints_2d": [x, y, 0.7] * 21,
        "hand_right_keypoints_2d": [x, y, 0.6] * 21,
    } | extra


def frame(*people, width=640, height=480):
    return {"version": 1.3, "people": list(people), "canvas_width": width, "canvas_height": height}


def standing(x, **extra):
    """A person of 18 points, 300 px high."""
    body = np.ones((18, 3))
    body[:, 0], body[:, 1] = x + np.linspace(-30, 30, 18), 130 + np.linspace(0, 300, 18)
    body[0, 0] = x
    return {"pose_keypoints_2d": body.ravel().tolist()} | extra

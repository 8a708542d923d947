"""Cut a motion in time, and rescale poses to another size of their picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from onetoall_cli.errors import BadInput
from onetoall_cli.pose.sequence import PoseSequence

ASPECT_TOLERANCE = 0.02  # what rounding does to a small canvas; beyond it, it is another picture
TIME_TOLERANCE = 1e-6  # seconds; a frame that starts this little before the cut belongs to what follows


def cut(motion: PoseSequence, start: float, duration: float | None, source: Path | str) -> PoseSequence:
    """The frames that start within `duration` seconds (None: all) after second `start` of the motion.

    Raises:
        BadInput: There is none, naming `source`.
    """
    clock = motion.clock() - motion.clock()[0] + TIME_TOLERANCE
    end = np.inf if duration is None else start + duration
    first, stop = np.searchsorted(clock, [start, end])
    if stop <= first:
        raise BadInput(
            f"{source} lasts {motion.duration:.3f} s: the part asked for has no frame.", "Change --start or --duration."
        )
    return motion[first:stop]


def on_canvas(poses: PoseSequence, width: int, height: int, source: Path | str) -> PoseSequence:
    """Poses in the pixels of the picture they were made on, width x height, whatever size it had then.

    Raises:
        BadInput: Their canvas has another aspect than the picture, naming `source`.
    """
    across, down = width / poses.width, height / poses.height
    if max(across, down) > (1 + ASPECT_TOLERANCE) * min(across, down):
        raise BadInput(
            f"{source} holds poses on a canvas of {poses.width} x {poses.height}, the picture is {width} x {height}.",
            "Make them on the picture itself: the shapes must agree.",
        )
    keypoints = (poses.keypoints * np.array([across, down, 1.0])).astype(np.float32)
    return replace(poses, keypoints=keypoints, width=width, height=height)

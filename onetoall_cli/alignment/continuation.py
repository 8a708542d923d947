"""Continuation of a clip: a new motion that begins where the clip's last pose is."""

from dataclasses import replace

import numpy as np

from onetoall_cli.alignment.anchor import choose_anchor
from onetoall_cli.alignment.translation import height_scale, lay_over
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence


def continue_motion(tail: PoseSequence, motion: PoseSequence, *, frames: int, fps: float) -> PoseSequence:
    """The last poses of a clip, followed by `motion`, scaled and shifted so that it begins at the last of them.

    Args:
        tail: One person's last poses in the clip, in its pixels. If fewer than `frames`, the first is repeated.
        motion: One person's motion, in pixels of its own frame.
        frames: Number of poses of the clip in front.
        fps: The clip's frame rate, which the result gets.

    Returns:
        `frames` poses of the clip and then the motion, on the clip's canvas.

    Raises:
        BadInput: The clip's last pose and the motion's first share no point at which they can be matched.
    """
    motion = motion.resampled(fps)
    beginning = int(motion.present()[:, 0].argmax())  # the first frame that shows the person
    last, first = tail.keypoints[-1, 0], motion.keypoints[beginning, 0]
    try:
        pin = choose_anchor(last, motion, wanted=beginning).pin
    except BadInput as error:
        raise BadInput(
            "The clip's end and the motion's beginning share no shoulder, hip or nose to be joined at.",
            "Begin the motion elsewhere with --start, or give the clip's poses with --clip-pose FILE.",
        ) from error
    onto = lay_over(first, last, pin, height_scale(first, last).ratio)
    held = np.repeat(tail.keypoints[:1], max(0, frames - len(tail)), axis=0)
    keypoints = np.concatenate([held, tail.keypoints[-frames:], onto.keypoints(motion.keypoints)])
    return replace(tail, keypoints=keypoints.astype(np.float32), fps=fps, times=None)

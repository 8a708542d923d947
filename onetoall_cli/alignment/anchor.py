"""The anchor: the frame of the motion whose pose is most like the reference's, in which the two are matched.

Source: the paper, "pose-guided translation" (the frame whose orientation is nearest); the order of the criteria is
the research code's. What is ours: bodies that are turned otherwise than the reference come last.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.comparison import facing_alike
from onetoall_cli.alignment.skeleton import (
    EARS,
    FOREARMS,
    HIPS,
    NECK,
    SEEN_SCORE,
    SHINS,
    SHOULDERS,
    SURE_SCORE,
    THIGHS,
    UPPER_ARMS,
    distance,
    height_between,
    middle,
    seen,
    with_neck,
)
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp

# A limb pair is symmetric if the scales of left and right are within this factor of each other (research code).
SYMMETRY_LIMIT = 1.5
# An upright body: torso this near the vertical, shoulders and hips this near the horizontal (research code).
UPRIGHT_DEGREES = 30.0
# Limbs are compared with x in picture widths and y in picture heights, as in the research code, so that x counts
# double: turning about the body's own axis shortens only x. The research code takes the size of the portrait picture; a
# fixed aspect makes the choice independent of the pictures' shapes. Values of 0.475 to 0.495 give the nine anchors of
# the research code.
PORTRAIT_ASPECT = 1080 / 2220

# Without hips in the reference its widths have no height to be compared with. Then frames come last in which the width
# is below this share of its quantile over the motion.
FACING_SHARE = 0.8
FACING_QUANTILE = 0.9

# The point at which the bodies are matched: the first of these that the reference and some frame share.
PIN_NAMES = {
    NECK: "neck",
    kp.NOSE: "nose",
    kp.LEFT_SHOULDER: "left shoulder",
    kp.RIGHT_SHOULDER: "right shoulder",
    kp.LEFT_HIP: "left hip",
    kp.RIGHT_HIP: "right hip",
}


@dataclass(frozen=True)
class Anchor:
    """The frame in which reference and motion are matched.

    Attributes:
        frame: Index of the frame.
        pin: Row of `with_neck` keypoints at which both are matched: the neck wherever possible.
        why: The reason for the choice, for messages.
    """

    frame: int
    pin: int
    why: str


def choose_anchor(reference: NDArray, motion: PoseSequence, wanted: int | None = None) -> Anchor:
    """Find the frame of `motion` whose pose is most like `reference`.

    Frames turned otherwise than the reference come last, because left and right shorten alike in a body that turns. The
    others are compared by the number of symmetric limb pairs, then upright bodies first, then by shoulder and head
    angles; of equal frames the first is taken. Only frames that share a pin with the reference count.

    Args:
        reference: Keypoints (133, 3) in pixels.
        motion: One person's motion, in pixels of its own canvas, of any size and aspect.
        wanted: A frame chosen by the user, which is taken.

    Raises:
        BadInput: Reference or motion shows no person, they share no pin, or `wanted` does not exist or shares none.
    """
    check_people(reference, motion.keypoints[:, 0])
    reference = with_neck(reference)
    frames = with_neck(motion.keypoints[:, 0])
    if wanted is not None:
        return _wanted_anchor(reference, frames, wanted)
    pin = _shared_pin(reference, frames)
    symmetric = _symmetric_limbs(reference, frames)
    upright = _upright(frames)
    turn = _turn(reference, frames)
    aside = _turned_aside(reference, frames) | ~facing_alike(reference, frames)
    order = np.lexsort((turn, ~upright, -symmetric, aside, frames[:, pin, 2] <= 0))
    best = int(order[0])
    facing = "turned otherwise" if aside[best] else "facing alike"
    posture = "upright" if upright[best] else "not upright"
    told = int(_symmetric_limbs(_seen_points(reference), _seen_points(frames[[best]]))[0])
    pairs = f"{told} limb pair{'s' * (told != 1)} alike"
    return Anchor(best, pin, f"{facing}, {pairs}, {posture}, shoulders and head {turn[best]:.0f}° apart")


def check_people(reference: NDArray, frames: NDArray) -> None:
    """Check that the reference (133, 3) and some frame of the motion (frames, 133, 3) show a person.

    Raises:
        BadInput: One of them shows no person.
    """
    if not (reference[..., 2] > 0).any():
        raise BadInput(
            "No person was found in the reference picture.",
            "Give its pose with --ref-pose FILE (any OpenPose editor writes one), or use another picture.",
        )
    if not (frames[..., 2] > 0).any():
        raise BadInput("No person was found in any frame of the motion.", "Use a video in which a person can be seen.")


def _shared_pin(reference: NDArray, frames: NDArray) -> int:
    for pin in PIN_NAMES:
        if reference[pin, 2] > 0 and (frames[:, pin, 2] > 0).any():
            return pin
    raise BadInput(
        "The reference and the motion share no usable anchor: no shoulder, hip or nose is seen in both.",
        "Use a reference or a motion that shows more of the body, or give the pose with --ref-pose FILE.",
    )


def _wanted_anchor(reference: NDArray, frames: NDArray, wanted: int) -> Anchor:
    if not 0 <= wanted < len(frames):
        raise BadInput(
            f"Anchor frame {wanted} does not exist: the motion has frames 0 to {len(frames) - 1}.",
            "Choose one of them, or leave --anchor out.",
        )
    try:
        pin = _shared_pin(reference, frames[[wanted]])
    except BadInput as error:
        raise BadInput(
            f"Anchor frame {wanted} shares no shoulder, hip or nose with the reference.",
            "Choose another frame, or leave --anchor out.",
        ) from error
    return Anchor(wanted, pin, "chosen with --anchor")


def _symmetric_limbs(reference: NDArray, frames: NDArray) -> NDArray[np.int64]:
    """The number of limb pairs, of four, with similar reference / frame ratios on both sides, (frames,)."""
    portrait = np.array([1 / PORTRAIT_ASPECT, 1.0, 1.0])
    reference, frames = reference * portrait, frames * portrait
    count = np.zeros(len(frames), dtype=np.int64)
    for pair in (UPPER_ARMS, FOREARMS, THIGHS, SHINS):
        (left, left_seen), (right, right_seen) = (_ratio(reference, frames, *limb) for limb in pair)
        alike = np.maximum(left, right) <= SYMMETRY_LIMIT * np.minimum(left, right)
        count += left_seen & right_seen & alike
    return count


def _seen_points(keypoints: NDArray) -> NDArray:
    """The same without guesses, which count in the research code's comparison but are no reason to give."""
    return np.where(keypoints[..., 2:] >= SEEN_SCORE, keypoints, 0.0)


def _ratio(reference: NDArray, frames: NDArray, a: int, b: int) -> tuple[NDArray, NDArray]:
    """Reference length over each frame's for one limb, and whether both can be measured, (frames,) each."""
    target, lengths = distance(reference, a, b), distance(frames, a, b)
    ends = (reference[[a, b], 2] > 0).all() & (frames[:, [a, b], 2] > 0).all(axis=1)
    measurable = ends & (target > 0) & (lengths > 0)
    return np.divide(target, lengths, out=np.ones_like(lengths), where=measurable), measurable


def _turned_aside(reference: NDArray, frames: NDArray) -> NDArray[np.bool_]:
    """Whether the body is turned aside, so that the one length that sets the scale is too short, (frames,).

    With shoulders and hips in the reference, which set the scale together, it is False. Lengths are in units of the
    torso where that is seen, so that a body further away does not count as turned.
    """
    if seen(reference, *SHOULDERS, *HIPS, score=SURE_SCORE):
        return np.zeros(len(frames), dtype=bool)
    line = SHOULDERS if seen(reference, *SHOULDERS, score=SURE_SCORE) else EARS
    torso = height_between(frames, SHOULDERS, HIPS)
    has_torso = seen(frames, *SHOULDERS, *HIPS) & (torso > 0)
    share = distance(frames, *line) / np.where(has_torso, torso, 1.0)
    aside = np.zeros(len(frames), dtype=bool)
    for alike in (has_torso, ~has_torso):  # each kind of frame by its own measure
        measured = alike & seen(frames, *line)
        if measured.any():
            aside |= measured & (share < FACING_SHARE * np.quantile(share[measured], FACING_QUANTILE))
    return aside


def _upright(frames: NDArray) -> NDArray[np.bool_]:
    """Whether the body is upright, (frames,); False where shoulders and hips are not all seen."""
    torso = middle(frames, HIPS) - middle(frames, SHOULDERS)
    straight = 90.0 - _slope(torso) <= UPRIGHT_DEGREES
    level = (_line_slope(frames, *SHOULDERS) <= UPRIGHT_DEGREES) & (_line_slope(frames, *HIPS) <= UPRIGHT_DEGREES)
    return straight & level & (frames[:, SHOULDERS + HIPS, 2] > 0).all(axis=1)


def _turn(reference: NDArray, frames: NDArray) -> NDArray[np.float64]:
    """Sum of the differences in the slopes of shoulders and head, degrees (frames,).

    A line that the reference does not show counts 0, one that only the frame lacks counts 90.
    """
    total = np.zeros(len(frames))
    for a, b in (SHOULDERS, (NECK, kp.NOSE)):
        if (reference[[a, b], 2] > 0).all():
            apart = np.abs(_line_slope(frames, a, b) - _line_slope(reference, a, b))
            total += np.where((frames[:, [a, b], 2] > 0).all(axis=1), apart, 90.0)
    return total


def _line_slope(keypoints: NDArray, a: int, b: int) -> NDArray[np.float64]:
    return _slope(keypoints[..., b, :2] - keypoints[..., a, :2])


def _slope(vector: NDArray) -> NDArray[np.float64]:
    """Degrees between a line and the horizontal, 0 to 90, (...)."""
    return np.degrees(np.arctan2(np.abs(vector[..., 1]), np.abs(vector[..., 0])))

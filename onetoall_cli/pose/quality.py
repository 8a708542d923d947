"""How good the poses of one person are, for people: what is missing or doubtful, when, and what to do about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.gaps import DRAWN_FROM, runs
from onetoall_cli.pose.sequence import PoseSequence
from onetoall_cli.pose.swaps import LIMB_JOINTS

Spans = tuple[tuple[float, float], ...]
"""Stretches of time, (first, last) in seconds."""

_UNSURE = 0.5
"""Mean score of the body's seen points below which a frame is unsure; of a clear view it is 0.8 to 1."""
_JUMP = 0.25
"""Movement of the middle joint from one frame to the next, in body sizes: dancers at 24 fps stay below 0.1."""
_SWAP = 0.1
"""Movement of all joints of both arms or both legs beyond which a swap of sides is looked for, and ..."""
_SWAPPED = 0.5
"""... the part of it that is left when the sides are exchanged, or less."""
_SHOWN = 3
"""Times named in the sentence, of each kind."""


@dataclass(frozen=True)
class Quality:
    """What is to be said of one person's poses.

    Attributes:
        frames: Number of frames looked at.
        absent: When nobody is there.
        without_hands: When the person is there and neither hand is sure enough to be drawn.
        unsure: When the detector is unsure of the body.
        jumps: When the whole body is suddenly elsewhere, in seconds; a cut is one, too.
        swaps: When left and right arms or legs seem to be exchanged, in seconds.
        parts: The parts of the frames that are absent, without hands and unsure, each 0..1.
    """

    frames: int
    absent: Spans
    without_hands: Spans
    unsure: Spans
    jumps: tuple[float, ...]
    swaps: tuple[float, ...]
    parts: tuple[float, float, float]

    def sentence(self) -> str:
        """One line: what is missing or doubtful, and what to do."""
        spans = zip(("nobody", "no hands", "an unsure body"), self._spans(), self.parts, strict=True)
        if self.frames == 1:
            found = [what for what, which, _ in spans if which]
        else:
            found = [f"{what} in {_percent(part)} ({_times(which)} s)" for what, which, part in spans if which]
        for what, times in (("jump or cut", self.jumps), ("suspected swap of left and right", self.swaps)):
            if times:
                found.append(f"{len(times)} x {what} ({_times(times)} s)")
        if not found:
            return "Quality: nothing missing, no jumps."
        return f"Quality: {'; '.join(found)}. {self._advice()}"

    def _spans(self) -> tuple[Spans, Spans, Spans]:
        return self.absent, self.without_hands, self.unsure

    def _advice(self) -> str:
        if self.absent:
            return "Leave such parts out with --start and --duration, or look with --preview who is followed."
        if self.jumps or self.swaps:
            return "Look at these moments with --preview; another --detector may do better, and the file can be edited."
        if self.unsure:
            return "A larger, brighter or sharper picture of the person helps, or another --detector."
        return "Hands are drawn only where they are seen: a larger or sharper picture of the person helps."


def quality_of(sequence: PoseSequence) -> Quality:
    """Look at the poses of a sequence of one person.

    Args:
        sequence: As it will be used, so after smoothing.
    """
    keypoints, clock = sequence.keypoints[:, 0], sequence.clock()
    there = sequence.present()[:, 0]
    hands = (keypoints[:, kp.LEFT_HAND.start :, 2] >= DRAWN_FROM).any(axis=1)
    scores = keypoints[:, kp.BODY, 2]
    unsure = scores.sum(axis=1) < _UNSURE * (scores > 0).sum(axis=1)
    marked = ~there, there & ~hands, there & unsure
    swapped = _swaps(keypoints, float(sequence.body_sizes()[0]))
    jumped = _jumps(keypoints, float(sequence.body_sizes()[0])) & ~swapped
    absent, without_hands, unsure_spans = (_spans(each, clock) for each in marked)
    return Quality(
        len(sequence),
        absent,
        without_hands,
        unsure_spans,
        tuple(clock[1:][jumped].tolist()),
        tuple(clock[1:][swapped].tolist()),
        (float(marked[0].mean()), float(marked[1].mean()), float(marked[2].mean())),
    )


def _jumps(keypoints: NDArray[np.float32], size: float) -> NDArray[np.bool_]:
    """Between which frames the body jumps, (frames - 1,)."""
    body = keypoints[:, kp.BODY]
    both = (body[1:, :, 2] > 0) & (body[:-1, :, 2] > 0)
    moved = np.where(both, np.linalg.norm(np.diff(body[..., :2], axis=0), axis=-1), np.nan)
    result = np.zeros(len(moved), bool)
    known = both.any(axis=1)
    result[known] = np.nanmedian(moved[known], axis=1) > _JUMP * size
    return result


def _swaps(keypoints: NDArray[np.float32], size: float) -> NDArray[np.bool_]:
    """Between which frames arms or legs change sides, (frames - 1,)."""
    result = np.zeros(len(keypoints) - 1, bool)
    for joints in LIMB_JOINTS:
        points = keypoints[:, joints]  # (frames, 2 sides, n, 3)
        seen = np.asarray((points[..., 2] >= DRAWN_FROM).all(axis=(1, 2)))
        straight = np.linalg.norm((points[1:] - points[:-1])[..., :2], axis=-1).mean(axis=(1, 2))
        exchanged = np.linalg.norm((points[1:, ::-1] - points[:-1])[..., :2], axis=-1).mean(axis=(1, 2))
        result |= seen[1:] & seen[:-1] & (straight > _SWAP * size) & (exchanged < _SWAPPED * straight)
    return result


def _spans(marked: NDArray[np.bool_], clock: NDArray[np.float64]) -> Spans:
    return tuple((float(clock[first]), float(clock[last])) for first, last in runs(marked))


def _times(times: Spans | tuple[float, ...]) -> str:
    """A few of them, in seconds."""
    spans = [each if isinstance(each, tuple) else (each, each) for each in times[:_SHOWN]]
    shown = [f"{first:.1f}-{last:.1f}" if last > first else f"{first:.1f}" for first, last in spans]
    return ", ".join(shown) + (", ..." if len(times) > _SHOWN else "")


def _percent(part: float) -> str:
    return f"{100 * part:.0f} % of the frames" if part >= 0.005 else "a frame or two"

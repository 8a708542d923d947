"""Steadies flickering keypoints, bridges short gaps, reports long ones."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.sequence import PoseSequence
from onetoall_cli.pose.sightings import Sightings

# Hysteresis: a run of scores above `stay` counts as seen if it reaches `appear` somewhere. Hands and face are drawn
# from 0.3 up, between the two; bodies at any score, and a limb below 0.1 is black anyway.
BODY_APPEAR, BODY_STAY = 0.2, 0.1
FINE_APPEAR, FINE_STAY = 0.35, 0.2
DRAWN_FROM = 0.3  # `drawing.MIN_SCORE`, which this module must not import: it would bring cv2
LONGEST_GAP = 0.4  # seconds; 12 frames at 30 fps. A straight line is a fair guess of a movement that short.
SHORTEST_SIGHT = 0.1  # seconds; what shows up for less, with nothing before and after, is a mistake
REACH = 1.0  # seconds; across twice as much neither gaps nor smoothing (2 Hz: a weight of e^-25) tie sightings together

# Which body point each keypoint rides on: hands on their wrists, the face on the nose, the rest on nothing but itself.
_CARRIER = np.arange(kp.COUNT)
_CARRIER[kp.FACE] = kp.NOSE
_CARRIER[kp.LEFT_HAND], _CARRIER[kp.RIGHT_HAND] = kp.LEFT_WRIST, kp.RIGHT_WRIST
# Rows that are bridged together: the body first, on which hands and face ride; no more than needed, for memory.
_TOGETHER = ((0, kp.FEET.stop), *((each.start, each.stop) for each in (kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND)))


def missing_frames(sequence: PoseSequence, person: int = 0) -> list[tuple[int, int]]:
    """The runs of frames without any keypoint of a person, as (first, last), both inclusive."""
    return runs(~sequence.present()[:, person])


def fill_gaps(sequence: PoseSequence, longest: float = LONGEST_GAP) -> PoseSequence:
    """Bridge gaps of up to `longest` seconds, of single keypoints and of whole people.

    Between two sightings a keypoint moves in a straight line, with the lower of the two scores; points of a hand do so
    about its wrist, and of the face about the nose, so that they stay on a body that is seen moving. A person missing
    for no longer than that at the very start or end holds their nearest pose. Longer gaps stay empty: the pose picture
    is black there. (`missing_frames` before and after tells which are which.)
    """

    def filled(visit: PoseSequence) -> PoseSequence:
        keypoints = visit.keypoints.copy()
        _fill(keypoints, visit.clock(), visit.fps, longest)
        return replace(visit, keypoints=keypoints)

    return by_visit(sequence, filled, max(REACH, 2 * longest))


def by_visit(
    sequence: PoseSequence, change: Callable[[PoseSequence], PoseSequence], reach: float = REACH
) -> PoseSequence:
    """What `change` makes of each visit of each person, which comes to it alone.

    A visit goes on until its person is absent for more than twice `reach` seconds, and comes with up to `reach` seconds
    of absence on either side. So memory goes by what is seen, however long the clip.
    """
    clock = sequence.clock()

    def changed(person: PoseSequence) -> PoseSequence:
        held = person.sightings
        parts = []
        for first, last in _visits(held.frame, clock, 2 * reach):
            start = int(np.searchsorted(clock, clock[first] - reach))
            stop = int(np.searchsorted(clock, clock[last] + reach, side="right"))
            parts.append(change(person[start:stop]).sightings.shifted(start))
        return person.holding(Sightings.joined(held.frames, [parts]))

    return sequence.each_person(changed)


def _visits(frames: NDArray[np.int64], clock: NDArray[np.float64], apart: float) -> list[tuple[int, int]]:
    """The first and last frame of each of the groups of `frames` that lie more than `apart` seconds apart."""
    if not len(frames):
        return []
    ends = np.flatnonzero(np.diff(clock[frames]) > apart)
    first, last = frames[np.concatenate([[0], ends + 1])], frames[np.concatenate([ends, [len(frames) - 1]])]
    return list(zip(first.tolist(), last.tolist(), strict=True))


def steady_sight(sequence: PoseSequence) -> PoseSequence:
    """Decide for each keypoint and frame whether it is seen, without flicker, and bridge short gaps.

    By hysteresis on the score, then `fill_gaps`, then dropping sightings shorter than 0.1 s. Unseen keypoints get
    score 0; hands and face that stay seen through a dip get the score from which they are drawn.
    """
    keypoints, clock = sequence.keypoints.copy(), sequence.clock()
    scores = keypoints[..., 2]  # a view: all is done in place
    appear, stay = np.full(kp.COUNT, FINE_APPEAR, np.float32), np.full(kp.COUNT, FINE_STAY, np.float32)
    appear[: kp.FEET.stop], stay[: kp.FEET.stop] = BODY_APPEAR, BODY_STAY
    seen = _latched(scores, appear, stay) | _latched(scores[::-1], appear, stay)[::-1]
    np.maximum(scores[..., kp.FEET.stop :], DRAWN_FROM, out=scores[..., kp.FEET.stop :])
    scores[~seen] = 0
    _fill(keypoints, clock, sequence.fps, LONGEST_GAP)
    scores[~_long_enough(scores > 0, clock)] = 0
    return replace(sequence, keypoints=keypoints)


def _latched(scores: NDArray[np.float32], appear: NDArray, stay: NDArray) -> NDArray[np.bool_]:
    """Seen from a score of `appear` until one below `stay`, forwards in time."""
    seen = scores >= appear
    for i in range(1, len(scores)):
        seen[i] |= seen[i - 1] & (scores[i] >= stay)
    return seen


def _long_enough(seen: NDArray[np.bool_], clock: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`seen` (frames, ...) without the runs under SHORTEST_SIGHT that start and end within the clip."""
    before, after = _neighbours(~seen)
    inside = (before >= 0) & (after < len(seen))
    span = clock[np.minimum(after, len(seen) - 1)] - clock[before]
    return seen & ~(inside & (span < SHORTEST_SIGHT))


def _fill(keypoints: NDArray[np.float32], clock: NDArray[np.float64], fps: float, longest: float) -> None:
    """`fill_gaps` in place, of an array (frames, people, 133, 3)."""
    for start, stop in _TOGETHER:
        _bridge(keypoints, np.arange(start, stop), clock, longest + 1 / fps)
    _hold_at_ends(keypoints, clock, longest)


def _neighbours(marked: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each frame the nearest marked frame at or before it (-1: none) and at or after it (frames: none)."""
    count = len(marked)
    index = np.arange(count, dtype=np.int32).reshape(-1, *[1] * (marked.ndim - 1))
    before = np.maximum.accumulate(np.where(marked, index, -1), axis=0)
    after = np.minimum.accumulate(np.where(marked, index, count)[::-1], axis=0)[::-1]
    return before, after


def _bridge(keypoints: NDArray[np.float32], points: NDArray, clock: NDArray[np.float64], longest: float) -> None:
    """Fill the gaps between sightings at most `longest` seconds apart, of the given rows, in place."""
    last_frame = len(keypoints) - 1
    before, after = _neighbours(keypoints[:, :, points, 2] > 0)
    bridged = (before >= 0) & (after <= last_frame) & (before < after)
    gap = np.where(bridged, clock[np.minimum(after, last_frame)] - clock[before], np.inf)
    frames, people, columns = np.nonzero(gap <= longest + 1e-6)
    first, last = before[frames, people, columns], after[frames, people, columns]
    rows = points[columns]
    weight = ((clock[frames] - clock[first]) / (clock[last] - clock[first])).astype(np.float32)[:, None]
    a, b = keypoints[first, people, rows], keypoints[last, people, rows]
    at_a, at_b, here = (keypoints[index, people, _CARRIER[rows]] for index in (first, last, frames))
    carried = (rows != _CARRIER[rows]) & (at_a[:, 2] > 0) & (at_b[:, 2] > 0) & (here[:, 2] > 0)
    # how far the carrier is off its own straight line
    ride = np.where(carried[:, None], here - (at_a + weight * (at_b - at_a)), 0)
    between = a + weight * (b - a) + ride
    between[:, 2] = np.minimum(a[:, 2], b[:, 2])
    keypoints[frames, people, rows] = between


def _hold_at_ends(keypoints: NDArray[np.float32], clock: NDArray[np.float64], longest: float) -> None:
    """Fill a person's short absence at the start and end with their nearest pose, in place."""
    present = np.asarray((keypoints[..., 2] > 0).any(axis=-1))
    for person in range(keypoints.shape[1]):
        there = np.flatnonzero(present[:, person])
        if not len(there):
            continue
        first, last = there[0], there[-1]
        if clock[first] - clock[0] <= longest + 1e-6:
            keypoints[:first, person] = keypoints[first, person]
        if clock[-1] - clock[last] <= longest + 1e-6:
            keypoints[last + 1 :, person] = keypoints[last, person]


def runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The (first, last) of every run of True in (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]

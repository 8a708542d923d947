"""Who is who over a clip: gives the people of consecutive frames stable identities, and chooses one of them.

Identities are columns of `PoseSequence.keypoints`. From frame to frame people are matched by where their joints are
expected (constant speed), best overall (Hungarian method); who was lost, or is seen after a cut, by what they wear.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.appearance import Look, difference
from onetoall_cli.pose.assignment import cheapest_pairs
from onetoall_cli.pose.sightings import Sightings

if TYPE_CHECKING:
    from onetoall_cli.pose.sequence import PoseSequence

_SEEN = 0.3
"""Score from which a joint counts for matching and for a person's extent, as for drawing hands and face."""
_FEWEST_JOINTS = 3

_NEAR = 0.5
"""Mean distance of joints from where they were expected, in body diagonals, up to which it is the same person. At
24 fps a dancer's joints stay below 0.1; 0.5 allows for 5 frames a second."""
_EXPECTED_FOR = 15
"""Frames for which a lost person is still expected to move on as before."""
_SPEED_MEMORY = 0.5

_ALIKE = 0.75
"""Difference of looks up to which someone who turns up may be someone who was lost. One person over 4 s of dancing
differs from themselves by up to 0.6, people in different clothes by 0.9."""
_LOOK_WEIGHT = 0.3
_LOOK_MEMORY = 0.9

_BRIEF = 0.1
"""People seen in a smaller part of the clip than this, and in fewer than `_BRIEF_FRAMES`, are taken for errors."""
_BRIEF_FRAMES = 6


@dataclass
class _Track:
    """One identity.

    Attributes:
        sightings: Frame number and (133, 3) keypoints of each.
        speed: X, y px per frame of the body as a whole.
        look: Running mean of what they wear.
    """

    sightings: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)
    speed: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, dtype=np.float32))
    look: Look | None = None

    @property
    def last_frame(self) -> int:
        return self.sightings[-1][0]

    def expected(self, frame: int) -> NDArray[np.float32]:
        """Where the person should be in `frame`, (133, 3)."""
        keypoints = self.sightings[-1][1].copy()
        keypoints[:, :2] += self.speed * (frame - self.last_frame)
        return keypoints

    def see(self, frame: int, person: NDArray[np.float32], look: Look | None, *, moved: bool) -> None:
        """Add a sighting; `moved` if the person got there from the last one, and did not reappear there."""
        if self.sightings and moved:
            before = self.sightings[-1][1]
            both = _joints(person) & _joints(before)
            if both.sum() >= _FEWEST_JOINTS:
                shift = np.median((person - before)[both, :2], axis=0) / (frame - self.last_frame)
                self.speed = _SPEED_MEMORY * self.speed + (1 - _SPEED_MEMORY) * shift
        else:
            self.speed = np.zeros(2, dtype=np.float32)
        if look is not None:
            self.look = look if self.look is None else _LOOK_MEMORY * self.look + (1 - _LOOK_MEMORY) * look
        self.sightings.append((frame, person))


class Tracker:
    """Collects the people of a clip frame by frame."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._frame = 0

    def add(self, people: NDArray[np.float32], looks: Sequence[Look | None], *, cut: bool = False) -> None:
        """Take in the next frame.

        Args:
            people: (people, 133, 3), in any order; none is fine.
            looks: What each wears; None where unknown.
            cut: Whether the frame begins a new shot, where nobody is expected anywhere.
        """
        left = list(range(len(people)))
        if not cut:
            recent = [track for track in self._tracks if self._frame - track.last_frame <= _EXPECTED_FOR]
            left = self._match(recent, people, looks, left, _near_cost, moved=True)
        lost = [track for track in self._tracks if track.last_frame < self._frame]
        left = self._match(lost, people, looks, left, _alike_cost, moved=False)
        for index in left:
            track = _Track()
            track.see(self._frame, people[index], looks[index], moved=False)
            self._tracks.append(track)
        self._frame += 1
        self._tracks = [track for track in self._tracks if not self._is_past(track)]

    def _is_past(self, track: _Track) -> bool:
        """Whether someone seen for a moment only is long gone, while others are known: not worth the memory."""
        gone = self._frame - track.last_frame > _BRIEF_FRAMES / _BRIEF
        return gone and self._is_brief(track) and len(self._tracks) > 1 and track is not self._tracks[0]

    def sightings(self) -> Sightings:
        """Everyone over the frames so far, the longest seen first.

        People seen only for a moment are left out, unless there is no one else. Without anybody there is one
        person who is absent throughout.
        """
        tracks = sorted(self._tracks, key=lambda track: -len(track.sightings))
        lasting = [track for track in tracks if not self._is_brief(track)] or tracks[:1]
        seen = [sighting for track in lasting for sighting in track.sightings]
        keypoints = np.empty((len(seen), kp.COUNT, 3), np.float32)
        for index, (_, person) in enumerate(seen):
            keypoints[index] = person
        frame = np.array([when for when, _ in seen], np.int64)
        whose = np.repeat(np.arange(len(lasting)), [len(track.sightings) for track in lasting])
        return Sightings(self._frame, max(1, len(lasting)), frame, whose, keypoints)

    def _is_brief(self, track: _Track) -> bool:
        return len(track.sightings) < min(_BRIEF_FRAMES, _BRIEF * self._frame)

    def _match(
        self,
        tracks: list[_Track],
        people: NDArray[np.float32],
        looks: Sequence[Look | None],
        left: list[int],
        cost: Callable[[_Track, int, NDArray[np.float32], Look | None], float],
        *,
        moved: bool,
    ) -> list[int]:
        """Give the people still `left` to tracks where `cost` is finite, at the least sum; who is left after that."""
        if not tracks or not left:
            return left
        costs = np.array(
            [[cost(track, self._frame, people[index], looks[index]) for index in left] for track in tracks]
        )
        allowed = np.isfinite(costs)
        taken = set()
        for row, column in cheapest_pairs(np.where(allowed, costs, 1e6)):
            if allowed[row, column]:
                index = left[column]
                tracks[row].see(self._frame, people[index], looks[index], moved=moved)
                taken.add(index)
        return [index for index in left if index not in taken]


def tracked(keypoints: NDArray[np.float32]) -> Sightings:
    """People told apart who are in another order in every frame, by where they are.

    Args:
        keypoints: (frames, people, 133, 3) px; a person with no point seen is absent.

    Returns:
        As `Tracker.sightings`.
    """
    tracker = Tracker()
    for people in keypoints:
        there = people[(people[..., 2] > 0).any(axis=-1)]
        tracker.add(there, [None] * len(there))
    return tracker.sightings()


def _near_cost(track: _Track, frame: int, person: NDArray[np.float32], look: Look | None) -> float:
    """How far from where they were expected; a little of how different they look. Infinite: not the same.

    From one frame to the next movement decides, since looks change where people overlap; after an absence, somebody
    else may stand there.
    """
    away, unlike = _distance(track.expected(frame), person), _unlikeness(track, look)
    if away > _NEAR or (unlike > _ALIKE and frame - track.last_frame > 1):
        return np.inf
    return away + _LOOK_WEIGHT * unlike


def _alike_cost(track: _Track, frame: int, person: NDArray[np.float32], look: Look | None) -> float:
    """How different they look; a little of how far from where they were last seen. Infinite: not the same."""
    unlike = _unlikeness(track, look)
    if unlike > _ALIKE:
        return np.inf
    return unlike + _LOOK_WEIGHT * min(1.0, _distance(track.sightings[-1][1], person))


def _unlikeness(track: _Track, look: Look | None) -> float:
    """0 the same, 1 nothing in common; in between where it cannot be told."""
    return 0.5 if track.look is None or look is None else difference(track.look, look)


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean distance of the joints seen in both, or of the bodies' middles, in body diagonals."""
    both = _joints(a) & _joints(b)
    size = max(_diagonal(a), _diagonal(b), 1.0)
    if both.sum() >= _FEWEST_JOINTS:
        return float(np.linalg.norm((a - b)[both, :2], axis=1).mean()) / size
    return float(np.linalg.norm(_middle(a) - _middle(b))) / size


def _joints(person: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows are seen body joints."""
    seen = person[:, 2] >= _SEEN
    seen[kp.BODY.stop :] = False
    return seen


def _seen_points(person: NDArray[np.float32]) -> NDArray[np.float32]:
    points = person[person[:, 2] >= _SEEN, :2]
    return points if len(points) else person[:1, :2]


def _diagonal(person: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(np.ptp(_seen_points(person), axis=0)))


def _middle(person: NDArray[np.float32]) -> NDArray[np.float32]:
    points = _seen_points(person)
    return (points.min(axis=0) + points.max(axis=0)) / 2


def select_person(sequence: "PoseSequence", which: str | int = "auto") -> "PoseSequence":
    """One person of a sequence, the same one in every frame; frames without them have score 0 throughout.

    Args:
        sequence: People as identities, as `find_people` gives them.
        which: "auto": the most prominent over the whole clip: long in view, large, near the middle. "largest": who
            fills the most of the picture over the whole clip. "left", "center", "right": by where they are on
            average; only people in view at least half as long as the longest count. Or a number from 0.

    Raises:
        BadInput: No such choice, or no such number.
    """
    if isinstance(which, str) and which not in _CHOICES:
        if not which.strip().isdigit():
            raise BadInput(f"--person {which} is no choice.", f"Use {', '.join(_CHOICES)} or a number from 0.")
        which = int(which)
    if isinstance(which, int):
        if not 0 <= which < sequence.people:
            raise BadInput(
                f"There is no person {which}: {sequence.people} found.",
                f"Use a number from 0 to {sequence.people - 1}; `onetoall pose --preview` shows the numbers.",
            )
        return sequence.person(which)
    return sequence.person(_chosen(sequence, which))


_CHOICES = ("auto", "largest", "left", "center", "right")


def _chosen(sequence: "PoseSequence", which: str) -> int:
    """The index of the person meant by one of `_CHOICES`."""
    area, middle = _extents(sequence)
    off_centre = np.abs(middle - 0.5) * 2  # 0 in the middle, 1 at the border
    if which == "largest":
        return int(area.sum(axis=0).argmax())
    if which == "auto":
        # The root of the area, so that a passer-by in front of the camera does not outweigh the one who dances.
        return int((np.sqrt(area) * (1 - 0.5 * off_centre.clip(0, 1))).sum(axis=0).argmax())
    present = area > 0
    count = present.sum(axis=0)
    mean = (middle * present).sum(axis=0) / np.maximum(count, 1)
    eligible = (count > 0) & (2 * count >= count.max())
    key = {"left": mean, "right": -mean, "center": np.abs(mean - 0.5)}[which]
    return int(np.where(eligible, key, np.inf).argmin())


def _extents(sequence: "PoseSequence") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each frame and person the part of the canvas their box covers, and x of its middle, 0..1; (frames, people)."""
    held = sequence.sightings
    points, seen = held.keypoints[..., :2], held.keypoints[..., 2] >= _SEEN
    canvas = np.array([sequence.width, sequence.height], np.float32)
    inside = np.clip(points / canvas, 0, 1)
    low = np.where(seen[..., None], inside, np.inf).min(axis=1)
    high = np.where(seen[..., None], inside, -np.inf).max(axis=1)
    anyone = np.asarray(seen.any(axis=1))
    low, high = np.where(anyone[:, None], low, 0.0), np.where(anyone[:, None], high, 0.0)
    area, middle = np.zeros((2, held.frames, held.people))
    area[held.frame, held.person] = (high - low).prod(axis=-1)
    middle[held.frame, held.person] = (low + high)[:, 0] / 2
    return area, middle

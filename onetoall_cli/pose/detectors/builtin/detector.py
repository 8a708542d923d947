"""The `builtin` detector: BlazePose, face mesh and hands from the networks in the package. CPU, no download.

Several people are read, each from a region of their own; in a clip the regions follow from frame to frame, and
newcomers are looked for now and then. Nothing is smoothed: that is `--smooth`, for every detector alike.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.builtin.networks import Networks
from onetoall_cli.pose.detectors.builtin.people_finder import Find, PeopleFinder
from onetoall_cli.pose.detectors.builtin.person_reader import PersonLandmarks, PersonReader
from onetoall_cli.pose.detectors.builtin.regions import Region
from onetoall_cli.pose.detectors.builtin.search import DOUBTFUL, Candidate, Proof, is_at, search
from onetoall_cli.pose.detectors.builtin.whole_body import to_whole_body
from onetoall_cli.pose.detectors.cuts import CutFinder
from onetoall_cli.pose.detectors.interface import MAX_PEOPLE, Detector, Image, People, nobody

_SEARCH_EVERY = 8
"""Frames between searches for newcomers in a clip: a search costs about a third of reading a person."""

_SETTLED = 0.97
"""Overlap of the region read and the one its landmarks ask for at which the reading of a find is done."""
_MAX_READINGS = 10
"""Readings of one find at most. `half_body.png` settles after 8 and `full_body_cartoon.png` after 6: the first
readings end above the hips and at the knees."""

_MAX_REFUTED = 3
"""Candidates that need proof and lack it after which the rest is given up; a drawn figure is among the first."""
_PROOF_SETTLED = 0.9
_PROOF_VISIBILITY = 0.9
_PROOF_LEAN = 1.2
"""A find that needs proof is a person if the reading comes to a stand (overlap of the last two regions), the shoulders
are visible, and a face was found. What is taken for people in skirts, sleeves, hair and flags has none; where faces may
be too small, it is enough that the region leans by less than this many radians, as those mostly lie upside down."""

_SAME_PERSON = 0.1
_SAME_NOSE = 0.04
"""Two readings are one person if their body points are on average, or their noses, nearer than this part of their
region. Half a head's width is 0.05 of it."""

_FEWEST_POINTS = 3
"""A person of whom fewer body points are visible inside the frame has left it."""
_VISIBLE = 0.5
_SHOULDERS, _HIPS, _ANKLES = [11, 12], [23, 24], [27, 28]  # BlazePose's numbers

_WHOLE_SETTLED, _WHOLE_LEAN = 0.95, 0.4
"""Who is seen from behind or from the side has no face: there, hips and an ankle that are visible inside the picture,
a reading that stands still and a region that leans by less than this many radians are enough."""


class Builtin(Detector):
    """Whole-body keypoints by the networks in the package.

    Raises:
        ModelMissing: A file of the package is missing or broken.
    """

    name = "builtin"
    description = "builtin (CPU)"

    def __init__(self) -> None:
        self._networks = Networks()
        self._finder = PeopleFinder(self._networks, min_score=DOUBTFUL)
        self._reader = PersonReader(self._networks)

    def detect(self, images: Sequence[Image]) -> list[People]:
        return [_stacked(self._search(np.ascontiguousarray(image), known=[], thorough=True)) for image in images]

    def follow(self, frames: Iterable[Image]) -> Iterator[People]:
        following = _Following(self._reader, self._search)
        for frame in frames:
            yield _stacked(following.step(np.ascontiguousarray(frame)))

    def close(self) -> None:
        self._networks.close()

    def _search(self, image: Image, known: Sequence["_Person"], *, thorough: bool) -> list["_Person"]:
        """The people in the picture beside the known ones, as many as there is room for."""
        found: list[_Person] = []
        for candidates in search(self._finder, image, thorough=thorough):
            for person in _read(self._reader, image, candidates, known):
                if not any(person.is_same(other) for other in (*known, *found)):
                    found.append(person)
            if found:
                break
        return found[: MAX_PEOPLE - len(known)]


class _Person:
    """One reading of a person in a picture: the landmarks, and from them (133, 3) `keypoints`."""

    def __init__(self, landmarks: PersonLandmarks, image: Image) -> None:
        self.landmarks = landmarks
        self.keypoints = to_whole_body(landmarks, image.shape[1], image.shape[0])

    @property
    def region(self) -> Region:
        """Where to look for them next."""
        return self.landmarks.next_region

    def is_at(self, find: Find) -> bool:
        x, y = self.keypoints[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2].mean(axis=0)
        return is_at(find, (x, y), self.region.size)

    def is_same(self, other: "_Person") -> bool:
        apart = np.linalg.norm(self.keypoints[kp.BODY, :2] - other.keypoints[kp.BODY, :2], axis=1)
        size = min(self.region.size, other.region.size)
        return bool(apart.mean() < _SAME_PERSON * size or apart[kp.NOSE] < _SAME_NOSE * size)


class _Following:
    """The state of one clip: who is followed."""

    def __init__(self, reader: PersonReader, search: Callable[..., list[_Person]]) -> None:
        self._reader, self._search = reader, search
        self._cuts = CutFinder()
        self._start()

    def _start(self) -> None:
        """Begin a shot: nobody is known."""
        self._people: list[_Person] = []
        self._since_search = self._since_thorough = _SEARCH_EVERY

    def step(self, frame: Image) -> list[_Person]:
        """The people of the next frame."""
        if self._cuts.is_cut(frame):
            self._start()
        before = len(self._people)
        self._people = self._read_again(frame)
        self._since_search += 1
        self._since_thorough += 1
        now = len(self._people)
        if now == 0 or now < before or self._since_search >= _SEARCH_EVERY:
            self._people += self._newcomers(frame)
        return self._people

    def _read_again(self, frame: Image) -> list[_Person]:
        """Everyone who is followed, without who has left, and who was read twice."""
        readings = self._reader.read(frame, [(person.region, person.landmarks) for person in self._people])
        still: list[_Person] = []
        for landmarks in readings:
            if landmarks is not None and _is_in(landmarks, frame):
                person = _Person(landmarks, frame)
                if not any(person.is_same(other) for other in still):
                    still.append(person)
        return still

    def _newcomers(self, frame: Image) -> list[_Person]:
        """People found in the frame who are not followed yet."""
        thorough = not self._people and self._since_thorough >= _SEARCH_EVERY
        self._since_search = 0
        self._since_thorough = 0 if thorough else self._since_thorough
        return self._search(frame, self._people, thorough=thorough)


def _stacked(people: list[_Person]) -> People:
    return np.stack([person.keypoints for person in people]) if people else nobody()


def _read(
    reader: PersonReader, image: Image, candidates: list[Candidate], known: Sequence[_Person]
) -> Iterator[_Person]:
    """The candidates beside the known people who turn out to be people; the same one may come twice."""
    refuted = 0
    for candidate in candidates:
        if any(person.is_at(candidate.find) for person in known):
            continue
        if candidate.proof is not Proof.NONE and refuted == _MAX_REFUTED:
            continue
        landmarks, steadiness = _settle(reader, image, candidate.find.region)
        if (
            landmarks is not None
            and _is_in(landmarks, image)
            and _is_proven(candidate.proof, landmarks, steadiness, image)
        ):
            yield _Person(landmarks, image)
        else:
            refuted += 1


def _settle(reader: PersonReader, image: Image, region: Region) -> tuple[PersonLandmarks | None, float]:
    """Read a person again and again in the region that the reading before asks for, until that stands still.

    A finder's region is rough: too high, too small. A face or hand counts as found if any reading found it.

    Returns:
        The last reading, None if nobody was there in the first; and the overlap of its region with the one it asks
        for, 0 if the person was lost on the way.
    """
    landmarks: PersonLandmarks | None = None
    again: PersonLandmarks | None = None
    overlap = 0.0
    for _ in range(_MAX_READINGS):
        (again,) = reader.read(image, [(region, again)])
        if again is None:
            return landmarks, 0.0
        landmarks = again if landmarks is None else again.with_missing_from(landmarks)
        overlap = region.overlap(landmarks.next_region)
        region = landmarks.next_region
        if overlap >= _SETTLED:
            break
    return landmarks, overlap


def _is_in(landmarks: PersonLandmarks, image: Image) -> bool:
    """Whether enough of the person is visible inside the picture."""
    return int((_inside(landmarks, image) & (landmarks.body[:, 2] >= _VISIBLE)).sum()) >= _FEWEST_POINTS


def _is_proven(proof: Proof, landmarks: PersonLandmarks, steadiness: float, image: Image) -> bool:
    """Whether what was read looks like a person, beyond BlazePose's own test."""
    if proof is Proof.NONE:
        return True
    if steadiness < _PROOF_SETTLED or landmarks.body[_SHOULDERS, 2].min() < _PROOF_VISIBILITY:
        return False
    if landmarks.face is not None:
        return True
    lean = abs(landmarks.next_region.rotation)
    if proof is Proof.WHOLE:
        return steadiness >= _WHOLE_SETTLED and lean < _WHOLE_LEAN and _shows_whole_body(landmarks, image)
    return proof is Proof.STANDING and lean < _PROOF_LEAN


def _shows_whole_body(landmarks: PersonLandmarks, image: Image) -> bool:
    """Whether both hips and an ankle are visible inside the picture."""
    visible = _inside(landmarks, image) & (landmarks.body[:, 2] >= _PROOF_VISIBILITY)
    return bool(visible[_HIPS].all() and visible[_ANKLES].any())


def _inside(landmarks: PersonLandmarks, image: Image) -> NDArray[np.bool_]:
    """Which of the body's points lie inside the picture."""
    x, y = landmarks.body[:, :2].T
    return np.asarray((x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0]))

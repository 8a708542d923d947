"""Measures of people: the distance of body points (APD-body) and the likeness of faces (CSIM).

Nothing is released for the paper's figures of these names; these are our own definitions.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.evaluation.pairs.picture_measures import Picture
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.interface import Detector, People
from onetoall_cli.pose.detectors.onnx_model import OnnxModel

Person = NDArray[np.float32]  # (133, 3): x, y, score

SEEN = 0.3  # the least score of a point that counts as found
_LEAST_POINTS = 4  # of the body, found in both pictures
# Eyes, nose and corners of the mouth in a face of 112 x 112 pixels, as face embeddings expect it (ArcFace, SFace).
_FACE_SIZE = 112
_FACE_POINTS = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], np.float32
)
# The same places among the 68 landmarks.
_LANDMARKS = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))


class PeopleInPairs:
    """The person to compare in both pictures of a pair, found once for all measures.

    In the truth it is the largest person; in the result, the one whose body is nearest to it.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._pair: tuple[Picture, Picture] | None = None
        self._found: tuple[Person, Person] | None = None

    def find(self, made: Picture, true: Picture) -> tuple[Person, Person] | None:
        """The person in the result and in the truth; None if either shows nobody."""
        if self._pair is None or self._pair[0] is not made or self._pair[1] is not true:
            found, wanted = self._detector.detect([made, true])
            self._pair, self._found = (made, true), _matched(found, wanted)
        return self._found


def _matched(found: People, wanted: People) -> tuple[Person, Person] | None:
    if not len(found) or not len(wanted):
        return None
    main = max(wanted, key=_extent)
    apart = [_distance(person, main) for person in found]
    if np.isnan(apart).all():
        return None
    return found[int(np.nanargmin(apart))], main


def _extent(person: Person) -> float:
    """The diagonal of the box around the body's found points."""
    points = person[kp.BODY][person[kp.BODY, 2] >= SEEN, :2]
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0


def _distance(one: Person, other: Person) -> float:
    """The mean distance of the body points found in both, pixels; NaN for too few."""
    one, other = one[kp.BODY], other[kp.BODY]
    both = (one[:, 2] >= SEEN) & (other[:, 2] >= SEEN)
    if both.sum() < _LEAST_POINTS:
        return float("nan")
    return float(np.linalg.norm(one[both, :2] - other[both, :2], axis=1).mean())


class BodyDistance:
    """APD-body: the mean distance of body points in parts of the picture's diagonal; NaN where nobody is found."""

    def __init__(self, people: PeopleInPairs) -> None:
        self.people = people

    def __call__(self, made: Picture, true: Picture) -> float:
        found = self.people.find(made, true)
        return float("nan") if found is None else _distance(*found) / float(np.hypot(*true.shape[:2]))


class FaceLikeness:
    """CSIM: the cosine of the embeddings of both faces; NaN where a face is not found.

    Args:
        people: Finds them.
        file: SFace or ArcFace, an ONNX network of 112 x 112 faces.
        entry: Its catalogue entry.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, people: PeopleInPairs, file: Path, entry: str, device: str) -> None:
        self.people = people
        self._network = OnnxModel(file, (_FACE_SIZE, _FACE_SIZE), device=device, get=entry)
        # SFace takes RGB 0..255, ArcFace -1..1
        self._middle, self._divisor = (127.5, 127.5) if entry == "face-arcface" else (0.0, 1.0)

    def __call__(self, made: Picture, true: Picture) -> float:
        found = self.people.find(made, true)
        cut = [face_of(*each) for each in zip((made, true), found, strict=True)] if found else []
        faces = [face for face in cut if face is not None]
        if len(faces) < 2:
            return float("nan")
        batch = (np.stack(faces).astype(np.float32) - self._middle) / self._divisor
        (embeddings,) = self._network.run(batch.transpose(0, 3, 1, 2), [(None,)])
        one, other = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return float(one @ other)


def face_of(picture: Picture, person: Person) -> Picture | None:
    """A person's face, uint8 (112, 112, 3), eyes, nose and mouth in the usual places; None where not found."""
    landmarks = person[kp.FACE]
    if (landmarks[:, 2] < SEEN).mean() > 0.5:
        return None
    points = np.array([landmarks[part, :2].mean(axis=0) for part in _LANDMARKS], np.float32)
    matrix, _ = cv2.estimateAffinePartial2D(points, _FACE_POINTS, method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    return np.asarray(cv2.warpAffine(picture, matrix, (_FACE_SIZE, _FACE_SIZE)))

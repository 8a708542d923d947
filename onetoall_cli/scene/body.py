"""Where a person's body must be, can be, and is looked for, from keypoints: masks and the matting network's region."""

import math
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.skeleton import HIPS, SEEN_SCORE, SHOULDERS
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.builtin.regions import Region

Mask = NDArray[np.bool_]
"""(height, width)."""

_LIMBS = (
    (kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST),
    (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, kp.RIGHT_WRIST),
    (kp.LEFT_HIP, kp.LEFT_KNEE, kp.LEFT_ANKLE, kp.LEFT_BIG_TOE),
    (kp.RIGHT_HIP, kp.RIGHT_KNEE, kp.RIGHT_ANKLE, kp.RIGHT_BIG_TOE),
)
_HEAD = (*range(kp.NOSE, kp.RIGHT_EAR + 1), *range(kp.FACE.start, kp.FACE.stop))
_INSIDE = (255,)
_SUBPIXEL = 4  # bits of a coordinate behind the point, for OpenCV's drawing

# Lengths in units of the torso, shoulders to hips. Puppets and the dances we have differ little in them.
_BY_SHOULDERS, _BY_EARS = 1.4, 2.5  # torso over shoulder width, and over the distance of the ears
_HALF_LIMB = 0.04  # surely inside
_REACH_LIMB, _REACH_TORSO, _REACH_HEAD, _REACH_HAND = 0.4, 0.6, 0.8, 0.25  # skirts, sleeves, hair, hats
_HAIR = 0.5  # around the face
_ABOVE = 0.35  # crown over the highest keypoint
_ROOM = 1.25  # around the body in the network's region (PoseLandmarksToRoi)


class Body:
    """One person in one frame.

    Args:
        keypoints: (133, 3): x px, y px, score.

    Attributes:
        unit: Length of the torso, pixels; 0 where too little is seen to tell.
    """

    def __init__(self, keypoints: NDArray[np.float32]) -> None:
        self._points = _with_hips(keypoints)
        self.unit = self._torso_length()

    def region(self) -> Region:
        """The square around the whole body, upright along the torso, as BlazePose expects it."""
        seen = self._points[self._points[:, 2] >= SEEN_SCORE, :2]
        hips, shoulders = self._middle(HIPS), self._middle(SHOULDERS)
        centre = (seen.min(axis=0) + seen.max(axis=0)) / 2 if hips is None else hips
        radius = float(np.linalg.norm(seen - centre, axis=1).max()) + _ABOVE * self.unit
        lean = 0.0
        if hips is not None and shoulders is not None:
            lean = math.atan2(shoulders[0] - hips[0], hips[1] - shoulders[1])
        return Region(float(centre[0]), float(centre[1]), 2 * _ROOM * radius, lean)

    def core(self, width: int, height: int) -> Mask:
        """Pixels that are surely the person's."""
        return self._drawn(width, height, limb=_HALF_LIMB)

    def reach(self, width: int, height: int) -> Mask:
        """Pixels that can be the person's, clothes and hair included."""
        return self._drawn(width, height, limb=_REACH_LIMB, torso=_REACH_TORSO, head=_REACH_HEAD, hand=_REACH_HAND)

    def around_head(self, width: int, height: int) -> Mask:
        """Where hair may be."""
        mask = np.zeros((height, width), np.uint8)
        self._hull(mask, _HEAD, _HAIR)
        return mask > 0

    def _drawn(
        self, width: int, height: int, *, limb: float, torso: float = 0.0, head: float = 0.0, hand: float = 0.0
    ) -> Mask:
        """Bones as thick as twice `limb`, and torso, head and hands enlarged by as much as is said, in units."""
        mask = np.zeros((height, width), np.uint8)
        for chain in _LIMBS:
            for rows in pairwise(chain):
                if self._sees(*rows):
                    self._line(mask, self._points[rows[0], :2], self._points[rows[1], :2], limb)
        self._hull(mask, (*SHOULDERS, *HIPS[::-1]), torso)
        self._hull(mask, _HEAD, head)
        for part in (kp.LEFT_HAND, kp.RIGHT_HAND):
            self._hull(mask, range(part.start, part.stop), hand)
        neck, face = self._middle(SHOULDERS), self._seen(_HEAD)
        if neck is not None and len(face):
            self._line(mask, face.mean(axis=0), neck, limb)
        return mask > 0

    def _torso_length(self) -> float:
        hips, shoulders, lengths = self._middle(HIPS), self._middle(SHOULDERS), []
        if hips is not None and shoulders is not None:
            lengths.append(np.linalg.norm(hips - shoulders))
        for rows, factor in ((SHOULDERS, _BY_SHOULDERS), ((kp.LEFT_EAR, kp.RIGHT_EAR), _BY_EARS)):
            if self._sees(*rows):
                lengths.append(factor * np.linalg.norm(self._points[rows[0], :2] - self._points[rows[1], :2]))
        if not lengths and len(body := self._seen(range(kp.BODY.stop))):
            lengths.append(_ABOVE * np.linalg.norm(np.ptp(body, axis=0)))
        return float(max(lengths, default=0.0))

    def _sees(self, *rows: int) -> bool:
        return bool((self._points[list(rows), 2] >= SEEN_SCORE).all())

    def _seen(self, rows: "range | tuple[int, ...]") -> NDArray[np.float32]:
        """Those of some points that are seen, (n, 2)."""
        points = self._points[list(rows)]
        return points[points[:, 2] >= SEEN_SCORE, :2]

    def _middle(self, rows: tuple[int, int]) -> NDArray[np.float32] | None:
        return self._points[list(rows), :2].mean(axis=0) if self._sees(*rows) else None

    def _line(self, mask: NDArray[np.uint8], start: NDArray, end: NDArray, half: float) -> None:
        ends = [[round(float(each) * (1 << _SUBPIXEL)) for each in point] for point in (start, end)]
        cv2.line(mask, ends[0], ends[1], _INSIDE, self._thickness(half), cv2.LINE_8, _SUBPIXEL)

    def _hull(self, mask: NDArray[np.uint8], rows: "range | tuple[int, ...]", more: float) -> None:
        """Fill the hull of some points, enlarged by `more`."""
        points = self._seen(rows)
        if len(points) < 2:
            return
        hull = np.asarray(cv2.convexHull(points.astype(np.float32))).astype(np.int32)
        cv2.fillConvexPoly(mask, hull, _INSIDE)
        if more > 0:
            cv2.polylines(mask, [hull], True, _INSIDE, self._thickness(more))

    def _thickness(self, half: float) -> int:
        return min(max(1, round(2 * half * self.unit)), 32767)  # OpenCV's limit


def _with_hips(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keypoints with hips below shoulders where the picture ends above them."""
    points = keypoints.copy()
    shoulders, hips = points[list(SHOULDERS)], points[list(HIPS)]
    if (shoulders[:, 2] < SEEN_SCORE).any() or (hips[:, 2] >= SEEN_SCORE).all():
        return points
    middle = shoulders[:, :2].mean(axis=0)
    across = float(np.linalg.norm(shoulders[0, :2] - shoulders[1, :2]))
    head = points[: kp.RIGHT_EAR + 1]
    head = head[head[:, 2] >= SEEN_SCORE, :2]
    down, length = np.array([0.0, 1.0]), _BY_SHOULDERS * across
    if len(head):
        neck = middle - head.mean(axis=0)
        high = float(np.linalg.norm(neck))
        down, length = neck / max(high, 1e-6), max(length, 1.6 * high)
    for row, shoulder in zip(HIPS, shoulders[:, :2], strict=True):
        if points[row, 2] < SEEN_SCORE:
            points[row] = (*(middle + down * length + 0.7 * (shoulder - middle)), 1.0)
    return points

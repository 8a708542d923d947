"""Reads one person: BlazePose's landmarks of the body, and from them where to read both hands and the face.

Nothing is smoothed. Hands and face are read where they were in the picture before, as long as the body agrees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.builtin import regions
from onetoall_cli.pose.detectors.builtin.anchors import sigmoid
from onetoall_cli.pose.detectors.builtin.networks import Networks
from onetoall_cli.pose.detectors.builtin.regions import Points, Region
from onetoall_cli.pose.detectors.interface import Image

# Settings of MediaPipe 0.10.21's graphs.
_PRESENT = 0.5
"""Score above which a body, hand or face is there."""
_WRIST_VISIBLE = 0.1
_FACE_SURE = 0.5
_REACH = 4
"""Cells of the heatmap around a landmark that correct it: a window of 9."""
_LEAST_HEAT = 0.5

# BlazePose's numbers
_HEAD = slice(0, 11)
_LEFT_HAND, _RIGHT_HAND = [15, 17, 19], [16, 18, 20]  # wrist, little finger, index finger
_COUNT, _HIPS, _RIM = 33, 33, 34


@dataclass(frozen=True)
class PersonLandmarks:
    """One person in pixels of the picture.

    Attributes:
        body: (33, 3): x, y, visibility 0..1, BlazePose order.
        face: (468, 2) face mesh, or None where no face was found.
        left_hand, right_hand: (21, 2), the person's own left and right, or None.
        next_region: Where to look for this person in the next frame.
    """

    body: NDArray[np.float32]
    face: Points | None
    left_hand: Points | None
    right_hand: Points | None
    next_region: Region

    def with_missing_from(self, other: "PersonLandmarks") -> "PersonLandmarks":
        """This reading, with face and hands that it lacks taken from another one of the same person."""
        return replace(
            self,
            face=other.face if self.face is None else self.face,
            left_hand=other.left_hand if self.left_hand is None else self.left_hand,
            right_hand=other.right_hand if self.right_hand is None else self.right_hand,
        )


class PersonReader:
    """BlazePose, hand and face networks. Answers depend on nothing but what is given."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def read(
        self, image: Image, people: Sequence[tuple[Region, PersonLandmarks | None]]
    ) -> list[PersonLandmarks | None]:
        """Read people side by side.

        Args:
            image: The picture.
            people: Of each the region to read, and the reading of the picture before, if they were in it.

        Returns:
            The landmarks of each, None where there is nobody in their region.
        """
        found = self._networks.at_once(partial(self._read_body, image, region) for region, _ in people)
        tasks = [
            task
            for landmarks, (_, before) in zip(found, people, strict=True)
            if landmarks is not None
            for task in self._parts(image, landmarks.body, before)
        ]
        parts = iter(self._networks.at_once(tasks))
        return [
            landmarks and replace(landmarks, left_hand=next(parts), right_hand=next(parts), face=next(parts))
            for landmarks in found
        ]

    def _parts(
        self, image: Image, body: NDArray[np.float32], before: PersonLandmarks | None
    ) -> list[Callable[[], Points | None]]:
        """What reads left hand, right hand and face of a body."""
        left, right, face = (before.left_hand, before.right_hand, before.face) if before else (None, None, None)
        return [
            partial(self._read_hand, image, body[_LEFT_HAND], left),
            partial(self._read_hand, image, body[_RIGHT_HAND], right),
            partial(self._read_face, image, body[_HEAD, :2], face),
        ]

    def _read_body(self, image: Image, region: Region) -> PersonLandmarks | None:
        """The body alone."""
        network = self._networks.pose_landmark
        rows, presence, heatmaps = network.read(image, region)
        if not presence[0] > _PRESENT:
            return None
        rows = rows.reshape(-1, 5)
        points = region.to_picture(refined(rows[:, :2] / network.side, heatmaps))
        visibility = sigmoid(rows[:_COUNT, 3:4])
        body = np.concatenate([points[:_COUNT], visibility], axis=1, dtype=np.float32)
        return PersonLandmarks(body, None, None, None, regions.body_region(points[_HIPS], points[_RIM]))

    def _read_hand(self, image: Image, body: NDArray[np.float32], before: Points | None) -> Points | None:
        """A hand from the body's wrist, little finger and index finger, (3, 3)."""
        if not body[0, 2] > _WRIST_VISIBLE:
            return None
        recrop, network = self._networks.hand_recrop, self._networks.hand_landmark
        search = regions.hand_search_region(*body[:, :2])
        (ends,) = recrop.read(image, search)
        found = regions.recropped_hand_region(*search.to_picture(ends.reshape(2, 2) / recrop.side))
        region = regions.tracked(
            before,
            None if before is None else regions.hand_region(before),
            found,
            turn=40,
            shift=0.2,
            growth=0.4,
            margin=0.1,
        )
        rows, presence = network.read(image, region)
        if not presence[0] > _PRESENT:
            return None
        return region.to_picture(rows.reshape(-1, 3)[:, :2] / network.side)

    def _read_face(self, image: Image, head: Points, before: Points | None) -> Points | None:
        """A face from the body's eleven points of the head."""
        detector, network = self._networks.face_detection, self._networks.face_landmark
        search = regions.face_search_region(head)
        detections = detector.find(image, search, _FACE_SURE)
        if not detections:
            return None
        found = regions.detected_face_region(detections[0].points)
        region = regions.tracked(
            before,
            None if before is None else regions.face_region(before),
            found,
            turn=15,
            shift=0.1,
            growth=0.3,
            margin=0.2,
        )
        rows, presence = network.read(image, region)
        if not sigmoid(presence).item() > _PRESENT:
            return None
        return region.to_picture(rows.reshape(-1, 3)[:, :2] / network.side)


def refined(points: NDArray, heatmaps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landmarks moved to the middle of the heat around them, where there is some (RefineLandmarksFromHeatmap).

    Args:
        points: (n, 2), 0..1 of the region.
        heatmaps: (n, height, width) logits.
    """
    count, height, width = heatmaps.shape
    column, row = (points * (width, height)).astype(int).T
    around = np.arange(-_REACH, _REACH + 1)
    columns, rows = (column[:, None] + around)[:, None, :], (row[:, None] + around)[:, :, None]  # (n, 1, 9), (n, 9, 1)
    logits = heatmaps[np.arange(count)[:, None, None], rows.clip(0, height - 1), columns.clip(0, width - 1)]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    heat = np.where(inside, sigmoid(logits), 0.0)
    total = np.maximum(heat.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    middle = np.stack([(heat * columns).sum(axis=(1, 2)) / width, (heat * rows).sum(axis=(1, 2)) / height], axis=1)
    hot = (heat.max(axis=(1, 2)) >= _LEAST_HEAT) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(hot[:, None], middle / total[:, None], points).astype(np.float32)

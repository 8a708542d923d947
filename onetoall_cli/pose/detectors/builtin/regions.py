"""Regions: turned squares of a picture that a network looks at, and where the next ones lie.

The rules are those of MediaPipe 0.10.21's graphs; each function names the calculators it stands for.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.interface import Image

Points = NDArray[np.float32]
"""(n, 2): x, y in pixels."""

_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""Of the 21 points of a hand: the wrist, the thumb without its tip, and the first two joints of each finger."""


@dataclass(frozen=True)
class Region:
    """A turned square, in pixels of the picture.

    Attributes:
        x, y: Its centre.
        size: Length of its side.
        rotation: Radians, clockwise, by which what it holds leans.
    """

    x: float
    y: float
    size: float
    rotation: float

    @staticmethod
    def around(points: Points, rotation: float, *, zoom: float, rise: float = 0.0) -> "Region":
        """The square around the upright box of some points (DetectionsToRects, RectTransformation).

        Args:
            points: What it holds.
            rotation: Its own.
            zoom: Its side, as a multiple of the box's longer one.
            rise: How far it is moved up, along its own axis, as a part of the box's height.
        """
        low, high = points.min(axis=0), points.max(axis=0)
        (x, y), (width, height) = (low + high) / 2, high - low
        return Region(float(x), float(y), zoom * float(max(width, height)), rotation).risen(rise * float(height))

    def risen(self, distance: float) -> "Region":
        """The region moved up along its own axis, pixels."""
        x, y = self.x + distance * math.sin(self.rotation), self.y - distance * math.cos(self.rotation)
        return replace(self, x=x, y=y)

    def cut(self, image: Image, side: int, *, border: int = cv2.BORDER_REPLICATE) -> Image:
        """What it shows, (side, side, 3); `border` is OpenCV's name for what lies outside the picture."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shown = cv2.warpAffine(image, self._matrix(side), (side, side), flags=flags, borderMode=border)
        return np.asarray(shown, dtype=np.uint8)

    def laid_back(self, values: NDArray[np.float32], width: int, height: int, outside: float) -> NDArray[np.float32]:
        """Values (side, side) of what it shows, on the picture (height, width); `outside` where it shows nothing."""
        matrix, border = self._matrix(len(values)), cv2.BORDER_CONSTANT
        laid = cv2.warpAffine(values, matrix, (width, height), borderMode=border, borderValue=(outside,))
        return np.asarray(laid, dtype=np.float32)

    def _matrix(self, side: int) -> NDArray[np.float64]:
        """The map (2, 3) from pixels of its picture of `side` pixels to those of the whole."""
        across, down = self._axes() / side
        corner = np.array([self.x, self.y]) - (across + down) * side / 2
        return np.stack([across, down, corner], axis=1)

    def to_picture(self, points: NDArray) -> Points:
        """Points (n, 2) of the region, 0..1 from its upper left corner, in pixels of the picture."""
        return ((points - 0.5) @ self._axes() + (self.x, self.y)).astype(np.float32)

    def to_own_axes(self, points: NDArray) -> NDArray[np.float64]:
        """Points (n, 2) in pixels of the picture, from its centre along its own axes, in pixels."""
        return (points - np.array([self.x, self.y])) @ self._axes().T / self.size

    def overlap(self, other: "Region") -> float:
        """Intersection over union of the two squares, as if neither were turned, 0..1."""
        reach = (self.size + other.size) / 2
        wide = max(0.0, min(self.size, other.size, reach - abs(self.x - other.x)))
        high = max(0.0, min(self.size, other.size, reach - abs(self.y - other.y)))
        return wide * high / (self.size**2 + other.size**2 - wide * high)

    def _axes(self) -> NDArray[np.float64]:
        """Its upper and its left side as vectors, the rows of (2, 2)."""
        cosine, sine = math.cos(self.rotation) * self.size, math.sin(self.rotation) * self.size
        return np.array([[cosine, sine], [-sine, cosine]])


def direction(start: NDArray, end: NDArray, upright: float) -> float:
    """How far the line between two points (x, y) is turned clockwise from `upright` (radians, counterclockwise from
    the x axis), -pi..pi."""
    dx, dy = end - start
    return math.remainder(upright - math.atan2(-dy, dx), 2 * math.pi)


def body_region(hips: NDArray, rim: NDArray) -> Region:
    """The square around a body, of the hips' middle and a point on the circle around it, above the head
    (AlignmentPointsRects; PoseDetectionToRoi and PoseLandmarksToRoi enlarge by 1.25)."""
    return Region(float(hips[0]), float(hips[1]), 2 * _distance(hips, rim) * 1.25, direction(hips, rim, math.pi / 2))


def face_search_region(head: Points) -> Region:
    """Where to look for the face of a body whose first eleven points are given (FaceLandmarksFromPoseToRecropRoi)."""
    return Region.around(head, direction(head[5], head[2], 0.0), zoom=3.0)


def detected_face_region(points: Points) -> Region:
    """The face of the face detector's six points, right and left eye first (FaceDetectionFrontDetectionsToRoi)."""
    return Region.around(points, direction(points[0], points[1], 0.0), zoom=2.0, rise=0.1)


def face_region(mesh: Points) -> Region:
    """The face of a mesh of 468 points (FaceLandmarksToRoi)."""
    return Region.around(mesh, direction(mesh[33], mesh[263], 0.0), zoom=1.5)


def hand_search_region(wrist: NDArray, little: NDArray, index: NDArray) -> Region:
    """Where to look for a hand, of the body's wrist and knuckles (HandLandmarksFromPoseToRecropRoi)."""
    middle = (2 * index + little) / 3
    size = 2 * _distance(middle, wrist)
    found = Region(float(middle[0]), float(middle[1]), 2.7 * size, direction(wrist, middle, math.pi / 2))
    return found.risen(0.1 * size)


def recropped_hand_region(centre: NDArray, rim: NDArray) -> Region:
    """The hand of the two points of the recrop network (HandRecropByRoi)."""
    size = 2 * _distance(centre, rim)
    return Region(float(centre[0]), float(centre[1]), size, direction(centre, rim, -math.pi / 2)).risen(0.1 * size)


def hand_region(hand: Points) -> Region:
    """The hand of its 21 points (HandLandmarksToRoi): the box of the palm, taken along the hand."""
    palm = hand[_PALM]
    knuckles = ((hand[5] + hand[13]) / 2 + hand[9]) / 2  # index and ring finger's, middle finger's
    rotation = direction(hand[0], knuckles, math.pi / 2)
    x, y = (palm.min(axis=0) + palm.max(axis=0)) / 2
    along = Region(float(x), float(y), 1.0, rotation)
    own = along.to_own_axes(palm)
    low, high = own.min(axis=0), own.max(axis=0)
    x, y = along.to_picture((low + high)[None] / 2 + 0.5)[0]
    width, height = high - low
    return Region(float(x), float(y), 2.0 * float(max(width, height)), rotation).risen(0.1 * float(height))


def tracked(
    before: Points | None,
    region_before: Region | None,
    found: Region,
    *,
    turn: float,
    shift: float,
    growth: float,
    margin: float,
) -> Region:
    """Where to read a part: the region of its points in the frame before, or the one found in this frame where the part
    moved on from there (RoiTracking).

    Args:
        before, region_before: The points of the frame before and their region; None where it was not seen.
        found: The region found now.
        turn: Degrees by which the two may differ.
        shift, growth: Parts of the found region's side by which centre and side may differ.
        margin: Part of that side by which the points before must keep inside it.
    """
    if before is None or region_before is None:
        return found
    turned = abs(math.degrees(math.remainder(region_before.rotation - found.rotation, 2 * math.pi)))
    centre = found.to_own_axes(np.array([[region_before.x, region_before.y]]))[0]
    points = found.to_own_axes(before)
    near = (
        turned <= turn
        and np.abs(centre).max() <= shift * found.size
        and abs(region_before.size - found.size) <= growth * found.size
        and np.abs(points).max() < (1 - margin) * found.size / 2
    )
    return region_before if near else found


def _distance(a: NDArray, b: NDArray) -> float:
    return float(np.linalg.norm(a - b))

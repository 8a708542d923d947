"""A small anti-aliased painter on OpenCV: filled shapes on a supersampled canvas that records which part painted each
pixel.

Coordinates are picture pixels, x right, y down, with 0 at the picture's left and top edge.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.puppets.identity import Colour

Points = NDArray[Any]  # (n, 2) of any number type

_SHIFT = 4  # OpenCV's fixed-point bits: 1/16 of a supersampled pixel
_ARC = np.linspace(-1.0, 1.0, 9)
_CIRCLE = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
CIRCLE_POINTS = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)


class Canvas:
    """Paints opaque shapes. The fourth channel holds the number of the part that painted last; 0 is unpainted."""

    def __init__(self, width: int, height: int, supersample: int = 3) -> None:
        self.width, self.height, self.supersample = width, height, supersample
        self._image = np.zeros((height * supersample, width * supersample, 4), np.uint8)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        # The centre of OpenCV's pixel i is at i, ours is at i + 0.5. Far-off points must not overflow its integers.
        scaled = np.minimum(np.maximum(points, -4000.0), 8000.0) * (self.supersample << _SHIFT)
        return np.rint(scaled - (1 << _SHIFT) / 2).astype(np.int32)

    def fill(self, points: Points, colour: Colour, part: int, *, convex: bool = False) -> None:
        """Paint a filled polygon, points (n, 2)."""
        paint = cv2.fillConvexPoly if convex else _fill_any
        paint(self._image, self._fixed(points), (*colour, part), lineType=cv2.LINE_8, shift=_SHIFT)

    def stroke(self, points: Points, width: float, colour: Colour, part: int, *, closed: bool = False) -> None:
        """Paint a line of the given width through points (n, 2)."""
        thickness = max(1, round(width * self.supersample))
        fixed = self._fixed(points)
        cv2.polylines(self._image, [fixed], closed, (*colour, part), thickness, cv2.LINE_8, _SHIFT)

    def disc(self, centre: Points, radius: float, colour: Colour, part: int) -> None:
        """Paint a filled disc."""
        self.fill(np.asarray(centre) + CIRCLE_POINTS * radius, colour, part, convex=True)

    def owner(self, points: Points) -> NDArray[np.uint8]:
        """The part that painted last at each of points (n, 2); 0 where unpainted or outside the picture."""
        cells = np.floor(np.asarray(points) * self.supersample).astype(np.int64)
        inside = (cells >= 0).all(axis=1) & (cells[:, 0] < self._image.shape[1]) & (cells[:, 1] < self._image.shape[0])
        owners = np.zeros(len(cells), np.uint8)
        owners[inside] = self._image[cells[inside, 1], cells[inside, 0], 3]
        return owners

    def over(self, background: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The painting over a background uint8 (H, W, 3): picture (H, W, 3) and coverage (H, W), 255 = painted."""
        size = (self.width, self.height)
        owners = cv2.extractChannel(self._image, 3)
        painted = cv2.threshold(owners, 0, 255, cv2.THRESH_BINARY)[1]
        coverage = cv2.resize(painted, size, interpolation=cv2.INTER_AREA)
        # Unpainted cells are black, so the shrunk colours are already multiplied by their coverage.
        colours = cv2.cvtColor(cv2.resize(self._image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGBA2RGB)
        behind = cv2.multiply(background, cv2.cvtColor(255 - coverage, cv2.COLOR_GRAY2RGB), scale=1 / 255)
        return np.asarray(cv2.add(colours, behind), np.uint8), np.asarray(coverage, np.uint8)


def _fill_any(image: NDArray[np.uint8], points: NDArray[np.int32], colour: tuple, lineType: int, shift: int) -> None:
    cv2.fillPoly(image, [points], colour, lineType, shift)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or lighter (> 1) colour of the same hue."""
    if factor <= 1:
        red, green, blue = (int(channel * factor) for channel in colour)
    else:
        red, green, blue = (int(255 - (255 - channel) * (2 - factor)) for channel in colour)
    return red, green, blue


def capsule(a: Points, b: Points, radius_a: float, radius_b: float) -> Points:
    """Outline (n, 2) of two discs and their common tangents: a tapered limb."""
    dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
    length = math.hypot(dx, dy)
    if length <= abs(radius_a - radius_b) + 1e-6:  # one disc lies inside the other
        centre, radius = (a, radius_a) if radius_a >= radius_b else (b, radius_b)
        return np.asarray(centre) + CIRCLE_POINTS * radius
    axis = math.atan2(dy, dx)
    tilt = math.asin((radius_a - radius_b) / length)  # how far the tangents lean towards the thinner end
    angles = np.concatenate(
        [axis + math.pi + _ARC * (math.pi / 2 + tilt), axis + _ARC * (math.pi / 2 - tilt)],
    )
    outline = np.empty((len(angles), 2))
    np.cos(angles, out=outline[:, 0])
    np.sin(angles, out=outline[:, 1])
    outline[: len(_ARC)] = outline[: len(_ARC)] * radius_a + a
    outline[len(_ARC) :] = outline[len(_ARC) :] * radius_b + b
    return outline


def ellipse(centre: Points | tuple[float, float], radius_x: float, radius_y: float, angle: float = 0.0) -> Points:
    """Outline (24, 2) of an ellipse whose x axis is turned by `angle` radians (clockwise on the picture)."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = (CIRCLE_POINTS * (radius_x, radius_y)) @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(centre) + turned


def rounded(points: Points, steps: int = 4) -> Points:
    """A closed Catmull-Rom curve through points (n, 2): (n * steps, 2)."""
    p = np.asarray(points, dtype=np.float64)
    before, after, later = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0), np.roll(p, -2, axis=0)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - later) * t**2
        + (3 * p - before - 3 * after + later) * t**3
    )
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def hull(points: Points) -> Points:
    """The convex outline (m, 2) of points (n, 2)."""
    return np.asarray(cv2.convexHull(np.asarray(points, dtype=np.float32))[:, 0], np.float64)


def mix(a: Colour, b: Colour, part: float) -> Colour:
    """`part` (0..1) of the way from colour a to colour b."""
    red, green, blue = (int(x + (y - x) * part) for x, y in zip(a, b, strict=True))
    return red, green, blue

"""Painting a puppet's head: skull, face, hair, hats and glasses, in the head's own orientation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import face as geometry
from onetoall_cli.puppets.canvas import CIRCLE_POINTS, Canvas, ellipse, hull, mix, rounded, shade
from onetoall_cli.puppets.identity import Colour, FaceShape, Identity, Look
from onetoall_cli.puppets.skeleton import EAR_Y, EAR_Z
from onetoall_cli.puppets.view import View

Array = NDArray[np.float64]

_TEMPLE = 0.06  # height of the hair line's ends, beside the eyes


@dataclass(frozen=True, eq=False)
class HeadView:
    """A head on the picture: maps head coordinates (chin to crown = 1) to pixels."""

    centre: Array  # (2,) px
    rotation: Array  # (3, 3)
    size: float  # px per head height
    landmarks: Array  # (68, 2) px
    facing: Array  # (68,) each landmark's depth before the head's centre, head heights
    face: FaceShape
    look: Look

    @classmethod
    def of(cls, view: View, identity: Identity) -> "HeadView":
        points = view.points[kp.FACE]
        size = identity.body.head * view.scale
        depth = (points[:, 2] - view.head_centre[2]) / size
        return cls(view.head_centre[:2], view.head_rotation, size, points[:, :2], depth, identity.face, identity.look)

    def place(self, points: Array) -> Array:
        """Head coordinates (n, 3) to pixels (n, 2)."""
        return self.centre + self.size * (points @ self.rotation.T)[:, :2]

    def depth(self, points: Array) -> Array:
        """How far head coordinates (n, 3) lie in front of the head's centre, in head heights."""
        return (points @ self.rotation.T)[:, 2]

    @property
    def forward(self) -> float:
        """1 when the face looks at the viewer, -1 when it looks away."""
        return float(self.rotation[2, 2])

    @property
    def roll(self) -> float:
        """The head's tilt on the picture, radians clockwise."""
        down = self.rotation[:2, 1]
        return float(np.arctan2(-down[0], down[1]))

    @property
    def half_width(self) -> float:
        """Half the skull's visible width, in head heights."""
        across, deep = self.rotation[0, 0] * self.face.half_width, self.rotation[0, 2] * geometry.HALF_DEPTH
        return float(np.hypot(across, deep))

    def flat(self, points: Array) -> Array:
        """Picture-plane coordinates (n, 2), tilted with the head but not turned, to pixels."""
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return self.centre + self.size * (np.asarray(points) @ np.array([[cos, sin], [-sin, cos]]))

    def dome(self, line: Array, grow: float) -> Array:
        """Outline of hair or a hat that covers the skull above a line on its front.

        Args:
            line: Azimuth in radians (0 = middle of the face, positive to the puppet's left) and height y, (n, 2).
            grow: Size relative to the skull.
        """
        radius = np.sqrt(np.clip(1 - (line[:, 1] / (geometry.HALF_HEIGHT * grow)) ** 2, 0.05, 1)) * grow
        across = np.sin(line[:, 0]) * radius * self.face.half_width * 1.02
        forward = np.cos(line[:, 0]) * radius * geometry.HALF_DEPTH
        points = np.stack([across, line[:, 1], forward], axis=1)
        seen = points[self.depth(points) > -0.05]
        half, high = self.half_width * 1.02 * grow, geometry.HALF_HEIGHT * grow
        if len(seen) < 2:
            return self.flat(CIRCLE_POINTS * (half, high))
        ends = self._unflat(self.place(seen[[0, -1]]))
        first, last = (np.arctan2(end[1] / high, end[0] / half) for end in ends)
        # From the line's last point over the crown (angle -pi/2) back to its first.
        if last > np.pi / 2:
            last -= 2 * np.pi
        if first > np.pi / 2:
            first -= 2 * np.pi
        arc = np.linspace(last, first, 14)
        return np.concatenate([self.place(seen), self.flat(np.stack([np.cos(arc) * half, np.sin(arc) * high], axis=1))])

    def _unflat(self, pixels: Array) -> Array:
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return (pixels - self.centre) / self.size @ np.array([[cos, -sin], [sin, cos]])


def paint_back_hair(canvas: Canvas, head: HeadView, part: int) -> None:
    """Hair that hangs behind the head (in front of it when the puppet looks away)."""
    look = head.look
    colour = shade(look.hair, 0.88)
    half = head.half_width
    style = look.hair_style
    turn = -head.rotation[0, 2]  # where the back of the head points, -1..1 to the right
    if style in ("long", "bob"):
        low = 1.0 if style == "long" else 0.5
        wide = half + (0.12 if style == "long" else 0.15)
        half_outline = np.array([[0.8, -0.45], [1.0, 0.0], [1.02, low * 0.7], [0.7, low]])
        sides = np.concatenate([half_outline * (-1, 1), [[0, low * 1.06]], half_outline[::-1]]) * (wide, 1)
        sides[:, 0] += 0.1 * turn
        _shape(canvas, rounded(head.flat(sides), 3), colour, part)
    elif style == "afro":
        _shape(canvas, head.flat(CIRCLE_POINTS * (half + 0.3, 0.68) + (0.06 * turn, -0.2)), colour, part)
    elif style == "curls":
        for angle in np.linspace(-0.25, np.pi + 0.25, 8):
            spot = np.array([[np.cos(angle) * (half + 0.05), -np.sin(angle) * 0.5 - 0.02]])
            canvas.disc(head.flat(spot)[0], 0.2 * head.size, colour, part)
    elif style == "bun":
        _shape(canvas, head.flat(CIRCLE_POINTS * 0.22 + (0.2 * turn, -0.62)), colour, part)
    elif style == "ponytail":
        tail = np.array([[0.1, -0.45], [0.5, -0.5], [0.62, -0.1], [0.5, 0.45], [0.38, 0.1], [0.3, -0.25]])
        side = -1.0 if turn < -0.05 else 1.0
        _shape(canvas, rounded(head.flat(tail * (side, 1)), 4), colour, part)
    elif style == "pigtails":
        for side in (-1.0, 1.0):
            tail = np.array([[0.8, -0.2], [1.45, -0.28], [1.6, 0.3], [1.2, 0.72], [1.05, 0.2]]) * (side * 0.42, 1)
            _shape(canvas, rounded(head.flat(tail), 4), colour, part)


def paint_head(canvas: Canvas, head: HeadView, part: int) -> None:
    """Skull, face, front hair, hat and glasses."""
    look = head.look
    _paint_ears(canvas, head, part, near=False)
    if look.hair_style == "spiky":
        _paint_spikes(canvas, head, part)
    skull = ellipse((0, 0), head.half_width, geometry.HALF_HEIGHT - 0.03)
    outline = hull(np.concatenate([head.flat(skull[skull[:, 1] < 0.08]), head.landmarks[geometry.JAW]]))
    if head.forward > -0.2 or look.hair_style == "bald":
        _shape(canvas, outline, look.skin, part, convex=True)
        _paint_face(canvas, head, part)
    else:
        _shape(canvas, outline, look.hair, part, convex=True)
    _paint_ears(canvas, head, part, near=True)
    _paint_front_hair(canvas, head, part)
    _paint_hat(canvas, head, part)


def _shape(canvas: Canvas, points: Array, colour: Colour, part: int, *, convex: bool = False) -> None:
    line = max(1.0, float(np.ptp(points[:, 1])) * 0.03)
    canvas.stroke(points, min(line, 2.5), shade(colour, 0.55), part, closed=True)
    canvas.fill(points, colour, part, convex=convex)


def _paint_ears(canvas: Canvas, head: HeadView, part: int, *, near: bool) -> None:
    for side in (-1.0, 1.0):
        ear = np.array([[side * head.face.half_width, EAR_Y, EAR_Z]])
        if (head.depth(ear)[0] > 0.05) == near:
            spot = head.place(ear)[0]
            _shape(canvas, ellipse(spot, 0.07 * head.size, 0.11 * head.size, head.roll), head.look.skin, part)


def _paint_face(canvas: Canvas, head: HeadView, part: int) -> None:
    look, marks, size = head.look, head.landmarks, head.size
    dark = shade(look.skin, 0.62)
    if look.blush:
        for side in (-1.0, 1.0):
            spot = _on_skin(head, side * (head.face.eye_spacing + 0.06), head.face.eye_y + 0.14)
            if spot is not None:
                canvas.fill(ellipse(spot, 0.06 * size, 0.035 * size), mix(look.skin, (236, 110, 110), 0.35), part)
    if look.beard == "beard":
        jaw = marks[2:15]
        mouth = marks[[54, 53, 52, 51, 50, 49, 48]] + (0, -0.02 * size)
        canvas.fill(np.concatenate([jaw, mouth]), shade(look.hair, 0.95), part)
    for eye in (marks[36:42], marks[42:48]):
        _paint_eye(canvas, head, eye, part)
    brow_colour = shade(look.hair, 0.7) if look.hair_style != "bald" else shade(look.skin, 0.4)
    for brow, row in ((marks[17:22], 19), (marks[22:27], 24)):
        if head.facing[row] > 0:
            canvas.stroke(brow, max(0.8, head.face.brow_weight * size), brow_colour, part)
    if head.facing[33] > 0:
        canvas.stroke(marks[[28, 30, 33]], max(0.6, 0.018 * size), dark, part)
        canvas.stroke(marks[[31, 33, 35]], max(0.7, 0.022 * size), dark, part)
    if look.beard == "moustache" and head.facing[51] > 0:
        canvas.stroke(marks[[48, 50, 51, 52, 54]] + (0, -0.035 * size), max(1.0, 0.055 * size), look.hair, part)
    if head.facing[51] > -0.05:
        canvas.fill(marks[48:60], look.lips, part)
        canvas.fill(marks[60:68], (70, 24, 30), part)
        canvas.stroke(marks[60:65], max(0.6, 0.014 * size), shade(look.lips, 0.6), part)
    if look.glasses:
        _paint_glasses(canvas, head, part)


def _paint_eye(canvas: Canvas, head: HeadView, eye: Array, part: int) -> None:
    rows = slice(36, 42) if eye[0, 0] == head.landmarks[36, 0] else slice(42, 48)
    if head.facing[rows].mean() < 0.02:
        return
    size = head.size
    open_height = float(np.linalg.norm((eye[1] + eye[2]) / 2 - (eye[4] + eye[5]) / 2)) / size
    line = max(0.7, 0.026 * size)
    if open_height > 0.03:
        canvas.fill(rounded(eye, 3), (250, 250, 252), part)
        centre = eye.mean(axis=0)
        radius = min(open_height * 0.52, float(np.ptp(eye[:, 0])) / size * 0.36) * size
        canvas.disc(centre, radius, head.look.iris, part)
        canvas.disc(centre, radius * 0.55, (20, 16, 20), part)
        canvas.disc(centre + np.array([-0.3, -0.35]) * radius, radius * 0.28, (255, 255, 255), part)
    canvas.stroke(eye[:4], line, (40, 28, 30), part)


def _paint_glasses(canvas: Canvas, head: HeadView, part: int) -> None:
    frame = shade(head.look.accent, 0.5)
    line = max(0.8, 0.028 * head.size)
    for rows in (slice(36, 42), slice(42, 48)):
        if head.facing[rows].mean() > 0.05:
            eye = head.landmarks[rows]
            radius = 0.12 * head.size
            squash = max(0.35, head.forward)
            canvas.stroke(ellipse(eye.mean(axis=0), radius * squash, radius, head.roll), line, frame, part, closed=True)
    canvas.stroke(head.landmarks[[39, 27, 42]], line, frame, part)


def _on_skin(head: HeadView, x: float, y: float) -> Array | None:
    """The pixel of a point on the face's surface, None when it is turned away."""
    point = np.array([[x, y, float(geometry.surface(np.array(x), np.array(y), head.face.half_width))]])
    return head.place(point)[0] if head.depth(point)[0] > 0.05 else None


def _hair_line(fringe: str) -> Array:
    """(n, 2): azimuth in radians and height of the hair line from the right to the left temple."""
    part = np.linspace(-1, 1, 15)
    if fringe == "straight":
        y = np.where(np.abs(part) < 0.72, -0.16, -0.16 + (np.abs(part) - 0.72) * 0.8)
    elif fringe == "side":
        y = np.where(part < -0.35, -0.36 - 0.5 * (part + 0.35), -0.36 + 0.19 * (part + 0.35))
    elif fringe == "centre":
        y = -0.4 + 0.42 * np.abs(part) ** 1.1
    elif fringe == "choppy":
        y = -0.2 + 0.09 * (np.arange(15) % 2) + 0.1 * np.abs(part) ** 3
    else:
        y = -0.36 + 0.1 * part**2
    y = np.where(np.abs(part) > 0.99, _TEMPLE, y)
    return np.stack([part * 1.75, y], axis=1)


def _paint_front_hair(canvas: Canvas, head: HeadView, part: int) -> None:
    look = head.look
    style = look.hair_style
    if style == "bald" or (head.forward <= -0.2 and style != "mohawk"):
        return
    if style == "mohawk":
        crest = np.array([[-0.13, -0.4], [-0.17, -0.7], [-0.06, -0.82], [0.06, -0.82], [0.17, -0.7], [0.13, -0.4]])
        crest[:, 0] -= 0.25 * head.rotation[0, 2] * (crest[:, 1] < -0.5)
        _shape(canvas, rounded(head.flat(crest), 3), look.hair, part)
        return
    grow = 1.12 if style in ("afro", "curls") else 1.05
    _shape(canvas, head.dome(_hair_line(look.fringe), grow), look.hair, part)
    gleam = np.array([[-0.22, -0.43], [-0.05, -0.5], [0.12, -0.48], [-0.05, -0.46]]) * (head.half_width / 0.42, 1)
    canvas.fill(head.flat(gleam), shade(look.hair, 1.25), part)


def _paint_spikes(canvas: Canvas, head: HeadView, part: int) -> None:
    angle = np.linspace(np.pi * 1.02, -0.02 * np.pi, 15)
    radius = np.where(np.arange(15) % 2, 1.3, 1.0)
    spikes = np.stack([np.cos(angle) * radius * (head.half_width + 0.04), -np.sin(angle) * radius * 0.55], axis=1)
    _shape(canvas, head.flat(spikes), head.look.hair, part)


def _paint_hat(canvas: Canvas, head: HeadView, part: int) -> None:
    look = head.look
    colour = look.hat_colour
    turn = np.array([head.rotation[0, 2], 0.0])  # where the face looks, sideways
    half = head.half_width
    level = np.stack([np.linspace(-1.75, 1.75, 11), np.full(11, -0.2)], axis=1)
    if look.hat in ("cap", "beanie"):
        _shape(canvas, head.dome(level, 1.16), colour, part)
    if look.hat == "cap" and head.forward > -0.2:
        brim = ellipse((0.42 * turn[0], -0.17), half * (0.75 + 0.25 * abs(turn[0])), 0.07)
        _shape(canvas, head.flat(brim), shade(colour, 0.8), part)
    elif look.hat == "beanie":
        band = np.array([[-half * 1.1, -0.3], [half * 1.1, -0.3], [half * 1.14, -0.16], [-half * 1.14, -0.16]])
        _shape(canvas, head.flat(band), shade(colour, 0.75), part)
        canvas.disc(head.flat(np.array([[0.0, -0.68]]))[0], 0.1 * head.size, look.accent, part)
    elif look.hat == "top_hat":
        tube = np.array([[-half * 0.8, -0.35], [-half * 0.85, -0.95], [half * 0.85, -0.95], [half * 0.8, -0.35]])
        _shape(canvas, head.flat(tube), colour, part)
        band = np.array([[-half * 0.81, -0.42], [-half * 0.82, -0.52], [half * 0.82, -0.52], [half * 0.81, -0.42]])
        canvas.fill(head.flat(band), look.accent, part)
        _shape(canvas, head.flat(ellipse((0, -0.36), half * 1.45, 0.07)), colour, part)
    elif look.hat == "crown":
        zigzag = [[-0.8, -0.38], [-0.95, -0.75], [-0.45, -0.55], [0, -0.82], [0.45, -0.55], [0.95, -0.75], [0.8, -0.38]]
        _shape(canvas, head.flat(np.array(zigzag) * (half, 1)), (242, 196, 60), part)
    elif look.hat == "bow":
        bow = np.array([[0.0, 0.0], [-0.2, -0.15], [-0.2, 0.15], [0.0, 0.0], [0.2, 0.15], [0.2, -0.15]])
        _shape(canvas, head.flat(bow + np.array([0.28 - 0.2 * turn[0], -0.48])), colour, part)
    elif look.hat in ("headband", "cat_ears"):
        _paint_headband(canvas, head, colour, part)


def _paint_headband(canvas: Canvas, head: HeadView, colour: Colour, part: int) -> None:
    half = head.half_width
    if head.look.hat == "cat_ears":
        for side in (-1.0, 1.0):
            ear = np.array([[0.25, -0.45], [0.42, -0.86], [0.78, -0.4]]) * (side * half / 0.6, 1)
            _shape(canvas, head.flat(ear), head.look.hair, part)
            canvas.fill(head.flat(ear * 0.55 + ear.mean(axis=0) * 0.45), colour, part)
        return
    across = np.linspace(-1, 1, 9)
    upper = np.stack([across * half * 1.04, -0.26 + 0.06 * across**2], axis=1)
    band = np.concatenate([upper, upper[::-1] + np.array([0.0, 0.11])])
    _shape(canvas, head.flat(band), colour, part)

"""Painting a puppet's body: limbs, torso, clothes and hands, from the furthest to the nearest."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import head as head_painting
from onetoall_cli.puppets.canvas import CIRCLE_POINTS, Canvas, capsule, hull, rounded, shade
from onetoall_cli.puppets.identity import Colour, Identity
from onetoall_cli.puppets.view import View

Array = NDArray[np.float64]

# Part numbers on the canvas.
HEAD, TORSO, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = 1, 2, 3, 4, 5, 6

_OUTLINE = 0.006  # width of the dark line round shapes
_LIGHT = np.array([-0.3, -0.12])  # light falls from the upper left
# Cross-sections of the torso: neck, shoulders, chest, waist, hips, seat. Their places from neck (0) to pelvis (1), and
# their half depths, as parts of the girth.
_LEVELS = np.array([-0.06, 0.02, 0.2, 0.64, 0.97, 1.1])
_DEPTHS = np.array([0.03, 0.05, 0.075, 0.062, 0.075, 0.06])
# How many of a limb's two bones a sleeve or trouser leg covers, 0..2.
_SLEEVES = {
    "tee": 0.62,
    "long_sleeve": 1.95,
    "tank": 0.0,
    "hoodie": 1.95,
    "shirt": 1.9,
    "jacket": 1.9,
    "dress": 0.45,
    "raglan": 1.3,
}
_LEGS = {"trousers": 1.9, "leggings": 1.95, "shorts": 0.75, "skirt": 0.0, "long_skirt": 0.0}
_SKIRTS = {"skirt": 0.85, "long_skirt": 1.55}


def paint_puppet(canvas: Canvas, view: View, identity: Identity) -> None:
    """Paint the whole puppet."""
    painter = _Painter(canvas, view, identity)
    facing = view.front[2] >= 0
    head = head_painting.HeadView.of(view, identity)
    arms = sorted((0, 1), key=painter.arm_depth)
    in_front = [side for side in arms if painter.arm_depth(side) > -0.03 * view.scale]
    if facing:
        head_painting.paint_back_hair(canvas, head, HEAD)
    for side in arms:
        if side not in in_front:
            painter.arm(side)
    for side in sorted((0, 1), key=painter.leg_depth):
        painter.leg(side)
    painter.bottom()
    painter.torso()
    painter.neck()
    head_painting.paint_head(canvas, head, HEAD)
    if not facing:
        head_painting.paint_back_hair(canvas, head, HEAD)
    for side in in_front:
        painter.arm(side)


class _Painter:
    """Paints body parts. Side 0 is the puppet's left."""

    def __init__(self, canvas: Canvas, view: View, identity: Identity) -> None:
        self.canvas, self.view, self.look = canvas, view, identity.look
        self.xy = view.points[:, :2]
        self.unit = view.scale
        self.girth = identity.body.girth * view.scale
        self.line = max(0.5, _OUTLINE * view.scale)
        self._torso_edges(identity)

    def arm_depth(self, side: int) -> float:
        z = self.view.points[[kp.LEFT_ELBOW + side, kp.LEFT_WRIST + side], 2].mean()
        return float(z - (self.view.neck[2] + self.view.pelvis[2]) / 2)

    def leg_depth(self, side: int) -> float:
        return float(self.view.points[[kp.LEFT_KNEE + side, kp.LEFT_ANKLE + side], 2].sum())

    def _torso_edges(self, identity: Identity) -> None:
        """Left and right edge points of the torso's cross-sections, (6, 2) each, and their middles and depths."""
        body, view = identity.body, self.view
        shoulder, hip = body.shoulder_width / 2 * self.unit, body.hip_width / 2 * self.unit
        girth = self.girth
        waist = 0.5 * (shoulder * 0.72 + hip) + 0.02 * girth
        neck, shoulders = 0.042 * girth, shoulder + 0.004 * girth
        hips, seat = hip + 0.043 * girth, hip * 0.8 + 0.03 * girth
        halves = np.array([neck, shoulders, shoulder * 0.86, waist, hips, seat])
        points = view.points
        across_top = points[kp.LEFT_SHOULDER] - points[kp.RIGHT_SHOULDER]
        across_low = points[kp.LEFT_HIP] - points[kp.RIGHT_HIP]
        top = across_top / max(np.linalg.norm(across_top), 1e-6)
        low = across_low / max(np.linalg.norm(across_low), 1e-6)
        part = np.clip(_LEVELS, 0, 1)[:, None]
        self.across = top * (1 - part) + low * part  # (6, 3)
        down = (view.pelvis - view.neck)[:2]
        self.middles = view.neck[:2] + _LEVELS[:, None] * down
        self.depths = _DEPTHS * girth
        aside = np.array([down[1], -down[0]]) / max(np.linalg.norm(down), 1e-6)
        flat = self.across[:, :2]
        along = flat @ aside
        # A turned torso is an ellipse seen from the side: never thinner than its depth.
        seen = np.hypot(halves * along, self.depths * np.sqrt(np.clip(1 - along**2, 0, 1)))
        direction = flat - along[:, None] * aside + np.sign(along + 1e-9)[:, None] * aside
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
        self.left, self.right = self.middles + direction * seen[:, None], self.middles - direction * seen[:, None]
        self.halves = halves

    def _edge(self, level: float) -> tuple[Array, Array]:
        """Left and right edge of the torso at a place between neck (0) and pelvis (1)."""
        left = np.array([np.interp(level, _LEVELS, self.left[:, axis]) for axis in (0, 1)])
        right = np.array([np.interp(level, _LEVELS, self.right[:, axis]) for axis in (0, 1)])
        return left, right

    def _on_front(self, level: float, angle: float = 0.0) -> tuple[Array, float]:
        """A point on the torso's surface, `angle` round from its front, and how much it faces the viewer."""
        middle = np.array([np.interp(level, _LEVELS, self.middles[:, axis]) for axis in (0, 1)])
        half, depth = np.interp(level, _LEVELS, self.halves), np.interp(level, _LEVELS, self.depths)
        across = np.array([np.interp(level, _LEVELS, self.across[:, axis]) for axis in (0, 1, 2)])
        out = across * np.sin(angle) + self.view.front * np.cos(angle)
        return middle + across[:2] * (half * np.sin(angle)) + self.view.front[:2] * (depth * np.cos(angle)), out[2]

    def _shape(self, points: Array, colour: Colour, part: int, *, convex: bool = False) -> None:
        self.canvas.stroke(points, 2 * self.line, shade(colour, 0.55), part, closed=True)
        self.canvas.fill(points, colour, part, convex=convex)

    def _limb(self, segments: list[tuple[Array, Array, float, float, Colour]], part: int) -> None:
        """Tapered pieces, first all outlines, then all fills, so that joints show no seam."""
        for a, b, ra, rb, colour in segments:
            outline = capsule(a, b, ra + self.line, rb + self.line)
            self.canvas.fill(outline, shade(colour, 0.55), part, convex=True)
        for a, b, ra, rb, colour in segments:
            self.canvas.fill(capsule(a, b, ra, rb), colour, part, convex=True)
            bright = capsule(a + _LIGHT * ra, b + _LIGHT * rb, ra * 0.5, rb * 0.5)
            self.canvas.fill(bright, shade(colour, 1.09), part, convex=True)

    def arm(self, side: int) -> None:
        part, look, girth = LEFT_ARM + side, self.look, self.girth
        shoulder, elbow, wrist = (self.xy[row + side] for row in (kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST))
        self._hand(side, part)
        radii = (0.038 * girth, 0.03 * girth, 0.021 * girth)
        skin = [(shoulder, elbow, radii[0], radii[1], look.skin), (elbow, wrist, radii[1], radii[2], look.skin)]
        covered = _SLEEVES[look.top]
        wide = 1.28 if look.top in ("hoodie", "jacket") else 1.14
        colour = look.pattern_colour if look.top == "raglan" else look.top_colour
        cloth = _cover([shoulder, elbow, wrist], radii, covered, wide, colour)
        self._limb([*skin, *cloth], part)
        if look.top in ("hoodie", "jacket") and cloth:
            a, b, _, radius, _ = cloth[-1]
            cuff = b + (a - b) * min(1.0, 0.02 * self.unit / max(float(np.linalg.norm(a - b)), 1e-6))
            self.canvas.fill(capsule(cuff, b, radius, radius), shade(colour, 0.8), part, convex=True)

    def _hand(self, side: int, part: int) -> None:
        hand = self.xy[kp.LEFT_HAND if side == 0 else kp.RIGHT_HAND]
        skin, dark = self.look.skin, shade(self.look.skin, 0.62)
        width = max(0.9, 0.021 * self.unit)
        palm = hull(hand[[0, 1, 2, 5, 9, 13, 17]])
        fingers = [hand[start : start + 4] for start in (5, 9, 13, 17)] + [hand[1:5]]
        self.canvas.stroke(palm, width * 0.9 + 2 * self.line, dark, part, closed=True)
        for finger in fingers:  # one after the other, so that each has its outline
            self.canvas.stroke(finger, width + 1.4 * self.line, dark, part)
            self.canvas.stroke(finger, width, skin, part)
        self.canvas.fill(palm, skin, part, convex=True)
        self.canvas.stroke(palm, width * 0.9, skin, part, closed=True)

    def leg(self, side: int) -> None:
        part, look, girth = LEFT_LEG + side, self.look, self.girth
        hip, knee, ankle = (self.xy[row + side] for row in (kp.LEFT_HIP, kp.LEFT_KNEE, kp.LEFT_ANKLE))
        radii = (0.064 * girth, 0.045 * girth, 0.027 * girth)
        segments = [(hip, knee, radii[0], radii[1], look.skin), (knee, ankle, radii[1], radii[2], look.skin)]
        wide = 1.0 if look.bottom == "leggings" else 1.16
        cloth = _cover([hip, knee, ankle], radii, _LEGS[look.bottom], wide, look.bottom_colour)
        if look.bottom == "trousers" and cloth:
            a, b, ra, rb, colour = cloth[-1]
            cloth[-1] = (a, b, ra, rb * 1.25, colour)
        shoes = self._shoe(side, knee, ankle, radii)
        if look.shoe == "boot" and look.bottom != "trousers":
            self._limb([*segments, *cloth, *shoes], part)
        else:
            self._limb([*segments, *shoes, *cloth], part)

    def _shoe(self, side: int, knee: Array, ankle: Array, radii: tuple) -> list:
        toe, small, heel = self.xy[kp.LEFT_BIG_TOE + 3 * side : kp.LEFT_BIG_TOE + 3 * side + 3]
        colour = self.look.shoe_colour
        tip = (toe + small) / 2
        thick = 0.028 * self.unit
        pieces = [(heel, tip, thick * 0.95, thick * 0.85, colour), (ankle, heel, radii[2] * 1.05, thick * 0.9, colour)]
        if self.look.shoe == "boot":
            shin = ankle + (knee - ankle) * 0.42
            pieces.append((shin, ankle, radii[2] * 1.6, radii[2] * 1.25, colour))
        elif self.look.shoe == "sock":
            shin = ankle + (knee - ankle) * 0.3
            pieces.insert(0, (shin, ankle, radii[2] * 1.35, radii[2] * 1.1, self.look.accent))
        return pieces

    def bottom(self) -> None:
        """The hips, and a skirt if there is one."""
        look = self.look
        left, right = zip(*(self._edge(level) for level in (0.62, 0.8, 0.97, 1.1)), strict=True)
        hips = np.array([*left, *right[::-1]])
        self.canvas.fill(hips, look.bottom_colour, TORSO)
        if look.bottom not in _SKIRTS:
            return
        hem = self._hem()
        thighs = [self.xy[row] + CIRCLE_POINTS[::2] * 0.068 * self.girth for row in (kp.LEFT_HIP, kp.RIGHT_HIP)]
        outline = hull(np.concatenate([np.array([left[0], right[0]]), *thighs, hem]))
        self._shape(outline, look.bottom_colour, TORSO, convex=True)
        low = np.stack([hem[hem[:, 0].argmin()], hem[hem[:, 0].argmax()]])
        waist = (left[0] + right[0]) / 2
        for part in (0.3, 0.5, 0.7):  # pleats
            foot = low[0] * (1 - part) + low[1] * part
            pleat = np.stack([waist + (foot - waist) * 0.45, waist + (foot - waist) * 0.97])
            self.canvas.stroke(pleat, self.line, shade(look.bottom_colour, 0.72), TORSO)

    def _hem(self) -> Array:
        """Points round a skirt's hem: discs on both legs, wider where the skirt is longer."""
        covered, points = _SKIRTS[self.look.bottom], []
        for side in (0, 1):
            hip, knee, ankle = (self.xy[row + side] for row in (kp.LEFT_HIP, kp.LEFT_KNEE, kp.LEFT_ANKLE))
            end = hip + (knee - hip) * min(covered, 1) + (ankle - knee) * max(covered - 1, 0)
            radius = (0.075 + 0.03 * covered) * self.girth
            points.append(end + CIRCLE_POINTS[::2] * (radius, radius * 0.45))
        return np.concatenate(points)

    def torso(self) -> None:
        look, view = self.look, self.view
        hem = 0.66 if look.top == "dress" else (0.95 if look.top in ("hoodie", "jacket", "tee") else 0.8)
        levels = [0.02, 0.2, 0.42, 0.64, hem] if hem > 0.7 else [0.02, 0.2, 0.42, hem]
        left, right = zip(*(self._edge(level) for level in levels), strict=True)
        neck_left, neck_right = self._edge(-0.05)
        outline = rounded(np.array([neck_left, *left, *right[::-1], neck_right]), 3)
        self._shape(outline, look.top_colour, TORSO)
        self._pattern(hem)
        if view.front[2] > 0.15:
            self._front_details(hem)

    def _pattern(self, hem: float) -> None:
        look = self.look
        if look.pattern == "stripes":
            bands = [(level, level + 0.07) for level in np.arange(0.14, hem - 0.08, 0.16)]
        elif look.pattern == "band":
            bands = [(0.3, 0.52)]
        else:
            bands = []
        for start, end in bands:
            (l0, r0), (l1, r1) = self._edge(start), self._edge(end)
            self.canvas.fill(np.array([l0, l1, r1, r0]), look.pattern_colour, TORSO)
        if look.pattern == "dots":
            for row, level in enumerate(np.arange(0.14, hem - 0.03, 0.13)):
                for angle in np.arange(-1.2, 1.3, 0.48) + (0.24 if row % 2 else 0):
                    spot, facing = self._on_front(level, angle)
                    if facing > 0.25:
                        self.canvas.disc(spot, 0.014 * self.unit, look.pattern_colour, TORSO)

        if look.pattern == "checks":  # on no puppet of a split: for characters that no training has seen
            levels, columns = np.arange(0.06, hem, 0.12), np.linspace(0, 1, 7)
            rows = [np.array(self._edge(level)) for level in levels]
            lines = [left + columns[:, None] * (right - left) for left, right in rows]
            for row, (above, below) in enumerate(pairwise(lines)):
                for column in range(row % 2, len(columns) - 1, 2):
                    part = slice(column, column + 2)
                    square = np.concatenate([above[part], below[part][::-1]])
                    self.canvas.fill(square, look.pattern_colour, TORSO)

    def _front_details(self, hem: float) -> None:
        look, dark = self.look, shade(self.look.top_colour, 0.6)
        line = [self._on_front(level)[0] for level in (0.0, 0.3, 0.6, hem)]
        if look.pattern == "emblem" and look.top not in ("shirt", "jacket"):
            self._emblem()
        if look.top == "jacket":
            inside = [
                self._on_front(level, angle)[0]
                for level, angle in ((-0.04, -0.5), (0.4, -0.22), (hem, -0.3), (hem, 0.3), (0.4, 0.22), (-0.04, 0.5))
            ]
            self.canvas.fill(np.array(inside), look.pattern_colour, TORSO)
            self.canvas.stroke(np.array(inside), self.line * 1.4, dark, TORSO)
        elif look.top == "shirt":
            self.canvas.stroke(np.array(line), self.line, dark, TORSO)
            for level in (0.22, 0.42, 0.62):
                self.canvas.disc(self._on_front(level)[0], 0.01 * self.unit, look.accent, TORSO)
        elif look.top == "hoodie":
            pocket = [
                self._on_front(level, angle)[0]
                for level, angle in ((0.62, -0.5), (0.88, -0.75), (0.88, 0.75), (0.62, 0.5))
            ]
            self.canvas.fill(np.array(pocket), shade(look.top_colour, 0.85), TORSO)
        elif look.top == "dress":
            (left, right), (low_left, low_right) = self._edge(0.6), self._edge(0.67)
            self.canvas.fill(np.array([left, low_left, low_right, right]), look.accent, TORSO)

    def _emblem(self) -> None:
        look = self.look
        centre, _ = self._on_front(0.34)
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False) - np.pi / 2
        if look.emblem == "star":
            angle = np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2
            radius = np.where(np.arange(10) % 2, 0.42, 1.0)
            shape = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]
        elif look.emblem == "heart":
            up = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
            shape = np.stack([np.sin(angle) ** 3, -up / 16], axis=1)
        elif look.emblem == "square":
            shape = np.array([[-0.8, -0.8], [0.8, -0.8], [0.8, 0.8], [-0.8, 0.8]])
        else:
            shape = CIRCLE_POINTS
        across = self.across[2, :2] / max(float(np.linalg.norm(self.across[2])), 1e-6)
        down = self.view.pelvis[:2] - self.view.neck[:2]
        down = down / max(float(np.linalg.norm(down)), 1e-6)
        size = 0.058 * self.unit
        self.canvas.fill(centre + shape[:, :1] * across * size + shape[:, 1:] * down * size, look.pattern_colour, TORSO)

    def neck(self) -> None:
        """The neck, with the collar under it."""
        look, view = self.look, self.view
        base = view.neck[:2] + (view.pelvis - view.neck)[:2] * 0.015
        top = view.head_centre[:2] * 0.55 + view.neck[:2] * 0.45
        collar = self._edge(-0.02)
        if look.top in ("shirt", "hoodie", "raglan"):
            colour = look.accent if look.top == "shirt" else shade(look.top_colour, 0.8)
            self.canvas.stroke(np.stack(collar), 0.035 * self.unit, colour, TORSO)
        self._limb([(base, top, 0.034 * self.girth, 0.033 * self.girth, shade(look.skin, 0.9))], HEAD)


def _cover(
    joints: list[Array], radii: tuple[float, float, float], covered: float, wide: float, colour: Colour
) -> list[tuple[Array, Array, float, float, Colour]]:
    """Cloth over the first `covered` (0..2) of a limb of two bones."""
    pieces = []
    for bone in (0, 1):
        part = float(np.clip(covered - bone, 0, 1))
        if part > 0:
            a, b = joints[bone], joints[bone + 1]
            end = radii[bone] + (radii[bone + 1] - radii[bone]) * part
            pieces.append((a, a + (b - a) * part, radii[bone] * wide, end * wide, colour))
    return pieces

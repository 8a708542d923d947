"""Backdrops: what stands behind a puppet.

A backdrop is defined in world coordinates, so that a close-up and a wide shot show the same place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.puppets.canvas import Canvas, shade
from onetoall_cli.puppets.identity import Colour, Split, seeded
from onetoall_cli.puppets.view import Camera

KINDS = ("plain", "gradient", "room", "room", "hills", "stripes", "dots", "stage", "blocks", "white")
_WALL = (-60.0, -40.0, 60.0, 40.0)  # far enough for any camera: left, top, right, bottom


@dataclass(frozen=True)
class Backdrop:
    """A place. `seed` fixes its details; colours are RGB."""

    kind: str
    first: Colour
    second: Colour
    third: Colour
    horizon: float  # height of the floor's edge in the world (0 = under the feet, negative = above)
    seed: int


def sample_backdrop(split: Split, seed: int) -> Backdrop:
    """The backdrop number `seed` of a split."""
    rng = seeded("backdrop", split, seed)
    colours = []
    for _ in range(3):
        hue, saturation, value = rng.uniform(0, 180), rng.uniform(20, 130), rng.uniform(120, 245)
        rgb = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        colours.append((int(rgb[0]), int(rgb[1]), int(rgb[2])))
    kind = KINDS[int(rng.integers(len(KINDS)))]
    first, second, third = colours
    return Backdrop(kind, first, second, third, float(rng.uniform(-0.25, -0.05)), int(rng.integers(2**31)))


def paint_backdrop(backdrop: Backdrop, camera: Camera, width: int, height: int) -> NDArray[np.uint8]:
    """A backdrop as a camera sees it: uint8 (height, width, 3) RGB."""
    if backdrop.kind == "white":
        return np.full((height, width, 3), 255, np.uint8)
    if backdrop.kind == "gradient":
        return _gradient(backdrop, camera, width, height)
    canvas = Canvas(width, height, supersample=2)
    rectangle(canvas, camera, _WALL, backdrop.first)
    rng = np.random.default_rng(backdrop.seed)
    if backdrop.kind in _PAINTERS:
        _PAINTERS[backdrop.kind](canvas, camera, backdrop, rng)
    return canvas.over(np.zeros((height, width, 3), np.uint8))[0]


def rectangle(canvas: Canvas, camera: Camera, box: tuple[float, float, float, float], colour: Colour) -> None:
    """Paint an upright rectangle; `box` is left, top, right, bottom in the world."""
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    canvas.fill(camera.place(corners), colour, 1, convex=True)


def _gradient(backdrop: Backdrop, camera: Camera, width: int, height: int) -> NDArray[np.uint8]:
    world = (np.arange(height) + 0.5 - camera.shift_y) / camera.scale
    part = np.clip((world + 1.9) / 2.1, 0, 1)[:, None, None]
    colours = np.array(backdrop.first) * (1 - part) + np.array(backdrop.second) * part
    return np.broadcast_to(np.rint(colours), (height, width, 3)).astype(np.uint8)


def _floor(canvas: Canvas, camera: Camera, backdrop: Backdrop, colour: Colour) -> None:
    rectangle(canvas, camera, (_WALL[0], backdrop.horizon, _WALL[2], _WALL[3]), colour)


def _paint_room(canvas: Canvas, camera: Camera, backdrop: Backdrop, rng: np.random.Generator) -> None:
    """A wall with skirting board, a floor, and a few windows, pictures or lamps."""
    _floor(canvas, camera, backdrop, shade(backdrop.second, 0.8))
    skirting = (_WALL[0], backdrop.horizon - 0.05, _WALL[2], backdrop.horizon)
    rectangle(canvas, camera, skirting, shade(backdrop.first, 0.8))
    for place in rng.uniform(-0.35, 0.35, 6) + np.array([-2.6, -1.5, -0.65, 0.65, 1.5, 2.6]):
        if rng.random() < 0.3:
            continue
        wide, high, top = rng.uniform(0.12, 0.3), rng.uniform(0.25, 0.55), rng.uniform(-1.5, -0.95)
        frame, inner = shade(backdrop.third, 0.6), backdrop.third
        rectangle(canvas, camera, (place - wide, top, place + wide, top + high), frame)
        rectangle(canvas, camera, (place - wide + 0.035, top + 0.035, place + wide - 0.035, top + high - 0.035), inner)
        if rng.random() < 0.5:
            rectangle(canvas, camera, (place - 0.015, top, place + 0.015, top + high), frame)
            middle = top + high / 2
            rectangle(canvas, camera, (place - wide, middle - 0.015, place + wide, middle + 0.015), frame)


def _paint_hills(canvas: Canvas, camera: Camera, backdrop: Backdrop, rng: np.random.Generator) -> None:
    """Sky, sun, two rows of hills and a meadow."""
    sky = (176, 214, 240)
    rectangle(canvas, camera, _WALL, sky)
    sun = camera.place(np.array([rng.uniform(-0.7, 0.7), rng.uniform(-1.7, -1.3)]))
    canvas.disc(sun, 0.14 * camera.scale, (255, 236, 170), 1)
    x = np.linspace(-8, 8, 120)
    for base, colour in ((-0.55, backdrop.first), (-0.3, backdrop.second)):
        waves = sum(rng.uniform(0.05, 0.12) * np.sin(x * rng.uniform(1.2, 3.5) + rng.uniform(0, 6)) for _ in range(3))
        ridge = np.stack([x, base + waves], axis=1)
        canvas.fill(camera.place(np.concatenate([ridge, [[8, 5], [-8, 5]]])), colour, 1)
    _floor(canvas, camera, backdrop, shade(backdrop.second, 0.82))


def _paint_stripes(canvas: Canvas, camera: Camera, backdrop: Backdrop, rng: np.random.Generator) -> None:
    wide = rng.uniform(0.08, 0.22)
    for left in np.arange(-5, 5, 2 * wide):
        rectangle(canvas, camera, (left, _WALL[1], left + wide, _WALL[3]), backdrop.second)
    if rng.random() < 0.6:
        _floor(canvas, camera, backdrop, backdrop.third)


def _paint_dots(canvas: Canvas, camera: Camera, backdrop: Backdrop, rng: np.random.Generator) -> None:
    step, radius = rng.uniform(0.22, 0.4), rng.uniform(0.04, 0.09)
    for row, y in enumerate(np.arange(-2.4, 0.8, step * 0.8)):
        for x in np.arange(-3.2, 3.2, step) + (step / 2 if row % 2 else 0):
            canvas.disc(camera.place(np.array([x, y])), radius * camera.scale, backdrop.second, 1)


def _paint_stage(canvas: Canvas, camera: Camera, backdrop: Backdrop, rng: np.random.Generator) -> None:
    """Dark curtains, wooden floor, two light cones."""
    curtain = shade(backdrop.first, 0.5)
    rectangle(canvas, camera, _WALL, curtain)
    for left in np.arange(-4, 4, 0.24):
        rectangle(canvas, camera, (left, _WALL[1], left + 0.08, _WALL[3]), shade(curtain, 0.8))
    for x in (rng.uniform(-0.9, -0.4), rng.uniform(0.4, 0.9)):
        cone = np.array([[x - 0.05, -3.5], [x + 0.05, -3.5], [x * 0.3 + 0.45, 0.1], [x * 0.3 - 0.45, 0.1]])
        canvas.fill(camera.place(cone), shade(curtain, 1.2), 1, convex=True)
    _floor(canvas, camera, backdrop, shade(backdrop.second, 0.7))


def _paint_blocks(canvas: Canvas, camera: Camera, backdrop: Backdrop, rng: np.random.Generator) -> None:
    """A busy wall of coloured discs and blocks."""
    for _ in range(26):
        colour = (backdrop.second, backdrop.third, shade(backdrop.first, 0.85))[rng.integers(3)]
        x, y, size = rng.uniform(-2.2, 2.2), rng.uniform(-1.9, 0.2), rng.uniform(0.07, 0.24)
        if rng.random() < 0.5:
            canvas.disc(camera.place(np.array([x, y])), size * camera.scale, colour, 1)
        else:
            rectangle(canvas, camera, (x - size, y - size * 0.7, x + size, y + size * 0.7), colour)


_PAINTERS = {
    "room": _paint_room,
    "hills": _paint_hills,
    "stripes": _paint_stripes,
    "dots": _paint_dots,
    "stage": _paint_stage,
    "blocks": _paint_blocks,
}

"""Draws a pose the way the network was trained to read it; pixel for pixel the research code's pictures.

The pose is drawn on a large black canvas with hard edges, then shrunk, which gives the edges their softness.
"""

import colorsys
import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from onetoall_cli.pose.openpose import to_openpose
from onetoall_cli.pose.sequence import PoseSequence

Face = Literal["full", "light", "off"]
Head = Literal["full", "light"]
Colour = tuple[float, float, float]

# Limbs of the 18-point body in drawing order, and its colours by limb and by joint (OpenPose's rainbow).
LIMBS = (
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
)
COLOURS = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
HEAD_POINTS = frozenset({0, 14, 15, 16, 17})  # nose, eyes, ears
HAND_EDGES = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1) for finger in range(5) for joint in range(4)
)
HAND_COLOURS = tuple(colorsys.hsv_to_rgb(edge / len(HAND_EDGES), 1.0, 1.0) for edge in range(len(HAND_EDGES)))
FACE_POINTS = (*range(17, 27), *range(36, 68))  # brows, eyes and mouth; not the jaw line and the nose

LIMB_DIMMING = 0.6  # limbs are darker than joints
LIGHT = 0.35  # the dim signal: "do not follow this face (head) exactly"
MIN_SCORE = 0.3  # of hand and face points; body points are drawn at any score above 0
# Pen widths by the canvas' long side: a multiple of the base width, integer part.
PEN_STEPS = ((512, 1.0), (1080, 1.5), (2160, 2.0), (3240, 2.5), (4320, 3.5), (5400, 4.5))
PEN_BEYOND = 4.0
LIMB_PEN = 3
FINE_PEN = 2  # hands and face
# A point further out than this (canvas px) is a detector's mistake, and cv2 counts in 32 bits.
MAX_REACH = 1e6


def draw_pose(
    keypoints: ArrayLike,
    canvas: tuple[int, int],
    size: tuple[int, int],
    *,
    face: Face = "full",
    head: Head = "full",
    canvas_short_side: int = 2160,
) -> NDArray[np.uint8]:
    """Draw one person's pose.

    Args:
        keypoints: (133, 3): x px, y px, score 0..1. Points with score 0 are not drawn, nor limbs that need one;
            points outside the canvas are, clipped.
        canvas: (width, height) the keypoints are in pixels of; stretched to `size` if the aspects differ.
        size: (height, width) of the picture.
        face: "full"; "light": landmarks at 0.35 brightness, for a face that does not fit the reference; "off".
        head: "full"; "light": head bones at 0.35 and head joints black.
        canvas_short_side: Short side of the picture drawn before it is shrunk; 2160 in the released models.

    Returns:
        Uint8 (H, W, 3) RGB on black.
    """
    height, width = size
    scale = canvas_short_side / min(height, width)
    drawn = np.zeros((int(height * scale), int(width * scale), 3), np.uint8)
    pose = to_openpose(keypoints)
    to_canvas = np.array([drawn.shape[1] / canvas[0], drawn.shape[0] / canvas[1], 1.0])
    limb_pen, fine_pen = _pen(LIMB_PEN, drawn), _pen(FINE_PEN, drawn)
    _draw_body(drawn, pose.body * to_canvas, limb_pen, head)
    for hand in pose.hands:
        _draw_hand(drawn, hand * to_canvas, fine_pen)
    if face != "off":
        _draw_face(drawn, pose.face * to_canvas, fine_pen, None if face == "full" else LIGHT)
    return np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_motion(
    motion: PoseSequence, *, face: Face = "full", head: Head = "full", canvas_short_side: int = 2160
) -> NDArray[np.uint8]:
    """Draw every frame of one person's motion at the size of its canvas; options as of `draw_pose`.

    Returns:
        Uint8 (frames, H, W, 3) RGB on black.
    """
    drawn = np.empty((len(motion), motion.height, motion.width, 3), np.uint8)
    for frame, keypoints in zip(drawn, motion.keypoints[:, 0], strict=True):
        frame[:] = draw_pose(
            keypoints,
            (motion.width, motion.height),
            (motion.height, motion.width),
            face=face,
            head=head,
            canvas_short_side=canvas_short_side,
        )
    return drawn


def _pen(base: int, drawn: NDArray[np.uint8]) -> int:
    long_side = max(drawn.shape)
    return int(base * next((multiple for limit, multiple in PEN_STEPS if long_side < limit), PEN_BEYOND))


def _usable(points: NDArray[np.float64], min_score: float = 0.0) -> NDArray[np.bool_]:
    """Which points (n, 3) to draw: sure enough, and where cv2 can count (NaN is nowhere)."""
    sure = points[:, 2] >= min_score if min_score else points[:, 2] > 0
    return sure & (np.abs(points[:, :2]) < MAX_REACH).all(axis=1)


def _draw_body(drawn: NDArray[np.uint8], body: NDArray[np.float64], pen: int, head: Head) -> None:
    usable = _usable(body)
    light = HEAD_POINTS if head == "light" else frozenset()
    for (a, b), colour in zip(LIMBS, COLOURS, strict=False):  # 17 limbs, 18 colours
        if usable[a] and usable[b]:
            brightness = LIGHT if light & {a, b} else body[a, 2] * body[b, 2]
            # Dimmed as uint8 pixels are: both steps drop the fraction.
            dimmed = [int(min(255, int(channel * brightness)) * LIMB_DIMMING) for channel in colour]
            cv2.fillConvexPoly(drawn, _ellipse(body[a], body[b], pen), dimmed)
    for i in np.flatnonzero(usable):
        brightness = 0.0 if i in light else body[i, 2]
        _disc(drawn, body[i], pen, [int(channel * brightness) for channel in COLOURS[i]])


def _ellipse(a: NDArray[np.float64], b: NDArray[np.float64], pen: int) -> NDArray[np.int32]:
    """The outline of a limb: an ellipse from a to b, `pen` to each side."""
    (mid_x, mid_y), (dx, dy) = (a[:2] + b[:2]) / 2, a[:2] - b[:2]
    axes = (int(math.hypot(dx, dy) / 2), pen)
    angle = int(math.degrees(math.atan2(dy, dx)))
    return np.asarray(cv2.ellipse2Poly((int(mid_x), int(mid_y)), axes, angle, 0, 360, 1), np.int32)


def _draw_hand(drawn: NDArray[np.uint8], hand: NDArray[np.float64], pen: int) -> None:
    usable = _usable(hand, MIN_SCORE)
    for (a, b), colour in zip(HAND_EDGES, HAND_COLOURS, strict=True):
        if usable[a] and usable[b]:
            brightness = int(hand[a, 2] * hand[b, 2] * 255)
            cv2.line(drawn, _pixel(hand[a]), _pixel(hand[b]), [channel * brightness for channel in colour], pen)
    for i in np.flatnonzero(usable):
        _disc(drawn, hand[i], pen, (0, 0, int(hand[i, 2] * 255)))


def _draw_face(drawn: NDArray[np.uint8], face: NDArray[np.float64], pen: int, brightness: float | None) -> None:
    """Landmarks as grey discs of `brightness`, None for each one's own score."""
    usable = _usable(face, MIN_SCORE)
    for i in FACE_POINTS:
        if usable[i]:
            grey = int(255 * (face[i, 2] if brightness is None else brightness))
            _disc(drawn, face[i], pen, (grey, grey, grey))


def _disc(drawn: NDArray[np.uint8], point: NDArray[np.float64], radius: int, colour: tuple | list) -> None:
    cv2.circle(drawn, _pixel(point), radius, colour, thickness=cv2.FILLED)


def _pixel(point: NDArray[np.float64]) -> tuple[int, int]:
    return int(point[0]), int(point[1])

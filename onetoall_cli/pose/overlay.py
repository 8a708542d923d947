"""Shows poses on the picture they came from, for people: skeletons, person numbers and scores.

For `--preview` only; what the network sees is drawn by `drawing.py`.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.drawing import COLOURS, FACE_POINTS, HAND_COLOURS, HAND_EDGES, LIMBS, MAX_REACH, MIN_SCORE
from onetoall_cli.pose.openpose import OpenPose, to_openpose

Image8 = NDArray[np.uint8]
Rgb = tuple[int, int, int]

# One colour a person, for box and label; far apart in hue, light enough for dark text.
PERSON_COLOURS: tuple[Rgb, ...] = (
    (255, 214, 10),
    (90, 200, 250),
    (255, 120, 180),
    (120, 230, 120),
    (255, 150, 60),
    (190, 150, 255),
)
TEXT: Rgb = (20, 20, 20)
OUTLINE: Rgb = (0, 0, 0)
OPACITY = 0.9  # of skeletons, so that the limb beneath stays visible
OTHERS_OPACITY = 0.4  # of people who are not the chosen one
_SHIFT = 4  # fractional bits of cv2 coordinates, for smooth motion between frames


def overlay_pose(
    image: Image8,
    keypoints: ArrayLike,
    *,
    canvas: tuple[int, int] | None = None,
    chosen: int | None = None,
    caption: str | None = None,
) -> Image8:
    """Draw skeletons over a picture.

    Every person has a box and a label in a colour of their own: number (as --person takes it), mean score of the body,
    of the face and of the left and right hand ("#0  body 0.97  face 0.99  L 0.81  R 0.40"; parts not seen are left
    out). Points with a score below 0.3 are rings instead of dots, and limbs between them thin.

    Args:
        image: Uint8 (H, W, 3) RGB; not changed.
        keypoints: (133, 3) or (people, 133, 3): x, y, score. People without a seen point are skipped.
        canvas: (width, height) the keypoints are in pixels of, if not the picture's.
        chosen: Index of the person the program uses; the others are drawn faintly.
        caption: A line of text for the lower left corner.

    Returns:
        Uint8 (H, W, 3) RGB.
    """
    result = np.ascontiguousarray(image).copy()
    height, width = result.shape[:2]
    people = np.asarray(keypoints, np.float64)
    people = people[None] if people.ndim == 2 else people
    scale = np.array([width / canvas[0], height / canvas[1], 1.0]) if canvas else np.ones(3)
    for index, person in enumerate(people * scale):
        if (person[:, 2] > 0).any():
            opacity = OPACITY if chosen in (None, index) else OTHERS_OPACITY
            _draw_person(result, person, index, opacity)
    if caption:
        _paste(result, _label(caption, _text_size(result), (235, 235, 235)), (0, height))
    return result


def _draw_person(image: Image8, person: NDArray[np.float64], index: int, opacity: float) -> None:
    seen = person[(person[:, 2] > 0) & (np.abs(person[:, :2]) < MAX_REACH).all(axis=1)]
    if not len(seen):
        return
    line = max(1, round(min(image.shape[:2]) / 300))
    colour = PERSON_COLOURS[index % len(PERSON_COLOURS)]
    low, high = seen[:, :2].min(axis=0) - 4 * line, seen[:, :2].max(axis=0) + 4 * line
    left, top = np.clip(low, 0, image.shape[1::-1]).astype(int)
    right, bottom = np.clip(high + 1, 0, image.shape[1::-1]).astype(int)
    if right > left and bottom > top:
        window = image[top:bottom, left:right]  # only what changes is copied and blended
        layer = window.copy()
        _draw_skeleton(layer, to_openpose(person - [left, top, 0]), line)
        cv2.rectangle(layer, (0, 0), (layer.shape[1] - 1, layer.shape[0] - 1), colour, line)
        cv2.addWeighted(layer, opacity, window, 1 - opacity, 0, dst=window)
    _paste(image, _label(_summary(person, index), _text_size(image), colour), (int(left), int(top)))


def _draw_skeleton(layer: Image8, pose: OpenPose, line: int) -> None:
    body = pose.body
    for (a, b), colour in zip(LIMBS, COLOURS, strict=False):  # 17 limbs, 18 colours
        _bone(layer, body[a], body[b], colour, 2 * line)
    for ankle, toe in ((13, pose.toes[0]), (10, pose.toes[1])):
        _bone(layer, body[ankle], toe, COLOURS[ankle], line)
    for hand in pose.hands:
        for (a, b), hue in zip(HAND_EDGES, HAND_COLOURS, strict=True):
            _bone(layer, hand[a], hand[b], tuple(int(255 * channel) for channel in hue), line)
    for point in pose.face[list(FACE_POINTS)]:
        _joint(layer, point, (255, 255, 255), line)
    for point, colour in zip(body, COLOURS, strict=True):
        _joint(layer, point, colour, 2 * line)


def _bone(layer: Image8, a: NDArray, b: NDArray, colour: tuple, width: int) -> None:
    """A limb with a dark edge; hair-thin if either end is unsure, nothing if it is unseen."""
    if not (_drawable(a) and _drawable(b)):
        return
    sure = min(a[2], b[2]) >= MIN_SCORE
    ends = _fixed(a), _fixed(b)
    if sure:
        cv2.line(layer, *ends, OUTLINE, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.line(layer, *ends, colour, width if sure else 1, cv2.LINE_AA, _SHIFT)


def _joint(layer: Image8, point: NDArray, colour: tuple, radius: int) -> None:
    """A dot with a dark edge; a ring if unsure, nothing if unseen."""
    if not _drawable(point):
        return
    sure = point[2] >= MIN_SCORE
    if sure:
        cv2.circle(layer, _fixed(point), (radius + 1) << _SHIFT, OUTLINE, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    cv2.circle(layer, _fixed(point), radius << _SHIFT, colour, cv2.FILLED if sure else 1, cv2.LINE_AA, _SHIFT)


def _drawable(point: NDArray) -> bool:
    return bool(point[2] > 0 and (np.abs(point[:2]) < MAX_REACH).all())


def _fixed(point: NDArray) -> tuple[int, int]:
    return round(point[0] * (1 << _SHIFT)), round(point[1] * (1 << _SHIFT))


def _summary(person: NDArray[np.float64], index: int) -> str:
    parts = (("body", kp.BODY), ("face", kp.FACE), ("L", kp.LEFT_HAND), ("R", kp.RIGHT_HAND))
    seen = [(name, person[rows, 2]) for name, rows in parts if (person[rows, 2] > 0).any()]
    return "  ".join([f"#{index}", *(f"{name} {scores[scores > 0].mean():.2f}" for name, scores in seen)])


def _text_size(image: Image8) -> int:
    return max(11, round(min(image.shape[:2]) / 36))


@lru_cache(maxsize=256)
def _label(text: str, size: int, colour: Rgb) -> Image8:
    """Dark text on a coloured plate, uint8 (h, w, 3)."""
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(text)
    margin = size // 3
    # The height of every label of one size is the same, whatever its letters.
    plate = Image.new("RGB", (int(right - left) + 2 * margin, round(1.2 * size) + margin), colour)
    ImageDraw.Draw(plate).text((margin - left, plate.height / 2), text, TEXT, font, anchor="lm")
    return np.asarray(plate)


def _paste(image: Image8, plate: Image8, corner: tuple[int, int]) -> None:
    """Put `plate` on top of `corner` (its lower left), moved and cut so that it stays inside the picture."""
    height, width = plate.shape[:2]
    left = max(0, min(corner[0], image.shape[1] - width))
    top = max(0, min(corner[1] - height, image.shape[0] - height))
    place = image[top : top + height, left : left + width]
    place[:] = plate[: place.shape[0], : place.shape[1]]

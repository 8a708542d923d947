"""Previews of an alignment, to check the reference's place on the body, the mask and the fit of the motion.

The network's inputs are drawn by `pose.drawing`; these pictures are drawn to make mistakes visible.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from onetoall_cli.alignment.conditioning import Conditioning
from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import SEEN_SCORE
from onetoall_cli.pose import PoseSequence, overlay_pose, to_openpose
from onetoall_cli.pose.cropping import on_canvas
from onetoall_cli.pose.drawing import HAND_EDGES, LIMBS, MAX_REACH

Image8 = NDArray[np.uint8]  # (H, W, 3) RGB
Rgb = tuple[int, int, int]

PANEL_HEIGHT = 720
GAP = 12
# Margin around the canvas, of its larger side, that shows limbs outside the output.
SURROUNDINGS = 0.12

BACKGROUND: Rgb = (24, 24, 28)
BLANK: Rgb = (58, 58, 64)  # a driving frame without a picture
HATCH_DARK: Rgb = (70, 40, 70)
HATCH_LIGHT: Rgb = (150, 90, 150)
HATCH_STEP = 14  # px between lines
BORDER: Rgb = (255, 255, 255)
TEXT: Rgb = (235, 235, 235)
REFERENCE_COLOUR: Rgb = (255, 255, 255)
ANCHOR_COLOUR: Rgb = (255, 80, 200)
COURSE_COLOURS: tuple[Rgb, ...] = ((80, 220, 100), (255, 210, 60), (255, 90, 80))  # first, middle, last
EDGE: Rgb = (0, 0, 0)
SHIFT = 4  # fractional bits of cv2 coordinates

FONT = ImageFont.load_default(17)
LINE_HEIGHT = 24
HEADER_HEIGHT = 2 * LINE_HEIGHT + 4


@dataclass(frozen=True)
class _Skeleton:
    """A skeleton to draw, with its colour and its name in the legend."""

    name: str
    colour: Rgb
    keypoints: NDArray  # (133, 3) in pixels of the output canvas


def preview_picture(
    reference: Image8,
    reference_pose: PoseSequence,
    motion: PoseSequence,
    conditioning: Conditioning,
    driver_frame: Image8 | None = None,
) -> Image8:
    """A picture of an alignment.

    From left to right: the reference with its skeleton; the anchor frame with its skeleton; the adjusted reference,
    hatched where unknown, with the skeletons of the reference (white) and of the motion at the anchor; the same with
    the first, middle and last pose. Scale, shift and reasons are below.

    Args:
        reference: The picture as given to `align`, uint8 (h, w, 3).
        reference_pose: As given to `align`.
        motion: As given to `align`.
        conditioning: The result of `align`.
        driver_frame: The driving video's picture at frame `anchor_frame(conditioning)`, of any size; without it the
            pose is shown on grey.

    Returns:
        The picture, uint8 (H, W, 3).
    """
    anchor = anchor_frame(conditioning)
    canvas = _CanvasView(conditioning)
    numbers = conditioning.meta
    height, width = reference.shape[:2]
    own = on_canvas(reference_pose.frame(0), width, height, "The reference pose").keypoints[0, 0]
    placed = Similarity(numbers["scale"], *numbers["shift"]).keypoints(own.astype(np.float64))
    at_anchor = [
        _Skeleton("reference", REFERENCE_COLOUR, placed),
        _Skeleton(f"frame {anchor}", ANCHOR_COLOUR, conditioning.motion.keypoints[anchor, 0]),
    ]
    course = [
        _Skeleton(f"frame {frame}", colour, conditioning.motion.keypoints[frame, 0])
        for frame, colour in zip(_first_middle_last(conditioning.motion), COURSE_COLOURS, strict=True)
    ]
    row = _beside(
        [
            _panel("Reference", _with_skeleton(reference, reference_pose, 0)),
            _panel(f"Driver at {motion.clock()[anchor]:.2f} s", _with_skeleton(driver_frame, motion, anchor)),
            _panel("Output at the anchor", canvas.show(at_anchor), at_anchor),
            _panel("Output: first, middle, last", canvas.show(course), course),
        ]
    )
    return np.concatenate([row, _text_block(_numbers(conditioning), row.shape[1])])


def preview_frames(
    conditioning: Conditioning, motion: PoseSequence, driver_frames: Iterable[Image8] | None = None
) -> Iterator[Image8]:
    """The frames of a preview video.

    From left to right: the driving frame with its skeleton, the output canvas with reference and pose, and the pose
    picture of the network.

    Args:
        conditioning: The result of `align`.
        motion: As given to `align`.
        driver_frames: The driving video's pictures, one for each frame of `motion`; where they are missing, poses are
            shown on grey.

    Yields:
        Pictures, uint8 (H, W, 3), all of one size with even sides.
    """
    canvas = _CanvasView(conditioning)
    pictures: Iterator[Image8 | None] = chain(driver_frames or (), repeat(None))
    for frame in range(len(motion)):
        skeleton = _Skeleton(f"frame {frame}", ANCHOR_COLOUR, conditioning.motion.keypoints[frame, 0])
        (drawn,) = conditioning.pose_frames(frame, frame + 1)
        row = _beside(
            [
                _panel(f"Driver at {motion.clock()[frame]:.2f} s", _with_skeleton(next(pictures), motion, frame)),
                _panel("Output", canvas.show([skeleton]), [skeleton]),
                _panel("Pose as the network sees it", _resized(drawn, drawn.shape[1] / drawn.shape[0])),
            ]
        )
        yield np.pad(row, ((0, row.shape[0] % 2), (0, row.shape[1] % 2), (0, 0)), mode="edge")


def anchor_frame(conditioning: Conditioning) -> int:
    """The frame in which previews show reference and motion together: the anchor, or the first without one."""
    return conditioning.meta["anchor"] or 0


class _CanvasView:
    """The output canvas with a margin and the adjusted reference, hatched where unknown."""

    def __init__(self, conditioning: Conditioning) -> None:
        width, height = conditioning.width, conditioning.height
        margin = SURROUNDINGS * max(width, height)
        scale = PANEL_HEIGHT / (height + 2 * margin)
        self._to_view = Similarity(scale, scale * margin, scale * margin)
        self._background = np.full((PANEL_HEIGHT, round(scale * (width + 2 * margin)), 3), BACKGROUND, np.uint8)
        picture = hatched(conditioning, round(scale * height))
        corner = round(scale * margin)
        far = (corner + picture.shape[1], corner + picture.shape[0])
        self._background[corner : far[1], corner : far[0]] = picture
        cv2.rectangle(self._background, (corner - 1, corner - 1), far, BORDER, 1)

    def show(self, skeletons: Sequence[_Skeleton]) -> Image8:
        """The canvas with `skeletons` drawn over it in this order."""
        picture = self._background.copy()
        for each in skeletons:
            _draw_skeleton(picture, self._to_view.keypoints(each.keypoints.astype(np.float64)), each.colour)
        return picture


def hatched(conditioning: Conditioning, height: int) -> Image8:
    """The adjusted reference scaled to a height, hatched where unknown: uint8 (height, width, 3)."""
    size = (round(conditioning.width * height / conditioning.height), height)
    picture = cv2.resize(conditioning.reference, size, interpolation=cv2.INTER_AREA)
    unknown = cv2.resize(conditioning.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return np.where(unknown[..., None], _hatching(size), picture).astype(np.uint8)


def _hatching(size: tuple[int, int]) -> Image8:
    """Diagonal lines, uint8 (height, width, 3)."""
    y, x = np.mgrid[: size[1], : size[0]]
    lines = (x + y) % HATCH_STEP < 2
    return np.where(lines[..., None], HATCH_LIGHT, HATCH_DARK).astype(np.uint8)


def _draw_skeleton(picture: Image8, keypoints: NDArray, colour: Rgb) -> None:
    """Draw body, hands and face in one colour with a dark edge; limbs with a low score are thin."""
    pose = to_openpose(keypoints)
    for width, shade in ((4, EDGE), (2, colour)):
        for a, b in LIMBS:
            if _drawable(pose.body[a]) and _drawable(pose.body[b]):
                sure = min(pose.body[a, 2], pose.body[b, 2]) >= SEEN_SCORE
                cv2.line(picture, _at(pose.body[a]), _at(pose.body[b]), shade, width if sure else 1, cv2.LINE_AA, SHIFT)
    for hand in pose.hands:
        for a, b in HAND_EDGES:
            if min(hand[a, 2], hand[b, 2]) >= SEEN_SCORE and _drawable(hand[a]) and _drawable(hand[b]):
                cv2.line(picture, _at(hand[a]), _at(hand[b]), colour, 1, cv2.LINE_AA, SHIFT)
    for point in pose.face:
        if point[2] >= SEEN_SCORE and _drawable(point):
            cv2.circle(picture, _at(point), 1 << SHIFT, colour, cv2.FILLED, cv2.LINE_AA, SHIFT)


def _drawable(point: NDArray) -> bool:
    return bool(point[2] > 0 and (np.abs(point[:2]) < MAX_REACH).all())


def _at(point: NDArray) -> tuple[int, int]:
    return round(point[0] * (1 << SHIFT)), round(point[1] * (1 << SHIFT))


def _with_skeleton(picture: Image8 | None, sequence: PoseSequence, frame: int) -> Image8:
    """One frame of a sequence over its picture (None: over grey), PANEL_HEIGHT high."""
    if picture is None:
        picture = np.full((1, 1, 3), BLANK, np.uint8)
    shown = _resized(picture, sequence.width / sequence.height)
    return overlay_pose(shown, sequence.keypoints[frame], canvas=(sequence.width, sequence.height))


def _resized(picture: Image8, aspect: float) -> Image8:
    """The picture at PANEL_HEIGHT and an aspect (width over height)."""
    size = (max(1, round(PANEL_HEIGHT * aspect)), PANEL_HEIGHT)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _first_middle_last(motion: PoseSequence) -> list[int]:
    """Three frames that show the person, the nearest to first, middle and last."""
    present = np.flatnonzero(motion.present()[:, 0])
    return [int(present[np.abs(present - frame).argmin()]) for frame in (0, (len(motion) - 1) // 2, len(motion) - 1)]


def _panel(title: str, picture: Image8, skeletons: Sequence[_Skeleton] = ()) -> Image8:
    """A picture under its title and legend."""
    header = Image.new("RGB", (picture.shape[1], HEADER_HEIGHT), BACKGROUND)
    pen = ImageDraw.Draw(header)
    pen.text((2, 2), title, TEXT, FONT)
    left = 2.0
    for each in skeletons:
        pen.text((left, 2 + LINE_HEIGHT), each.name, each.colour, FONT)
        left += pen.textlength(each.name + "   ", FONT)
    return np.concatenate([np.asarray(header), picture])


def _beside(panels: Sequence[Image8]) -> Image8:
    """Panels of one height, left to right, with gaps around them."""
    gap = np.full((panels[0].shape[0], GAP, 3), BACKGROUND, np.uint8)
    return np.concatenate([gap, *(part for panel in panels for part in (panel, gap))], axis=1)


def _numbers(conditioning: Conditioning) -> list[str]:
    """The choices as lines of text."""
    meta, motion = conditioning.meta, conditioning.motion
    lines = [
        meta["why"],
        f"Reference to output: scale {_placement(meta, '')}.   Driver to output: scale {_placement(meta, 'motion_')}.",
    ]
    if meta["anchor"] is not None:
        lines.append(
            f"Anchor: frame {meta['anchor']} ({meta['anchor_why']}), {meta['anchor_pin']} on {meta['anchor_pin']}.   "
            f"The driver's body is {meta['body_ratio']:.3f} times the reference's, by {meta['body_measure']}."
        )
    lines.append(
        f"Output {conditioning.width} x {conditioning.height} from a reference of {_size(meta['reference_size'])} and "
        f"a motion of {_size(meta['motion_size'])}, {len(motion)} frames at {motion.fps:g} fps; fit {meta['fit']}; "
        f"{meta['unknown']:.0%} unknown; face {conditioning.face}, head {conditioning.head}."
    )
    return lines


def _placement(meta: dict[str, Any], prefix: str) -> str:
    dx, dy = meta[f"{prefix}shift"]
    return f"{meta[f'{prefix}scale']:.3f}, shift ({dx:+.1f}, {dy:+.1f}) px"


def _size(size: list[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _text_block(lines: Sequence[str], width: int) -> Image8:
    """Lines of text, wrapped to `width` pixels, uint8 (h, width, 3)."""
    wrapped = [part for line in lines for part in _wrapped(line, width - 2 * GAP)]
    block = Image.new("RGB", (width, len(wrapped) * LINE_HEIGHT + 2 * GAP), BACKGROUND)
    pen = ImageDraw.Draw(block)
    for index, line in enumerate(wrapped):
        pen.text((GAP, GAP + index * LINE_HEIGHT), line, TEXT, FONT)
    return np.asarray(block)


def _wrapped(line: str, width: int) -> Iterator[str]:
    taken: list[str] = []
    for word in line.split(" "):
        if taken and FONT.getlength(" ".join([*taken, word])) > width:
            yield " ".join(taken)
            taken = []
        taken.append(word)
    yield " ".join(taken)

"""Pose-guided translation: the reference is laid over the anchor frame by one scale and one shift, neck on neck.

Source: the paper, "pose-guided translation". The scale is measured by `body_scale` (the research code's) or
`height_scale` (ours).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import (
    EARS,
    HIPS,
    SEEN_SCORE,
    SHOULDERS,
    SURE_SCORE,
    distance,
    height_between,
    middle,
    seen,
    with_neck,
)
from onetoall_cli.pose.drawing import draw_pose

Image8 = NDArray[np.uint8]  # (H, W, 3) RGB

# The least score when no point reaches `SURE_SCORE`: seen at all.
BARELY_SEEN = 1e-6
# A length below this, in pixels, is degenerate: the scale is then 1.
SHORTEST = 1e-6
# The largest side, in pixels, to which pictures are drawn or enlarged before they are moved.
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class BodyScale:
    """The size of the driver's body relative to the reference's.

    Attributes:
        ratio: Driver over reference: the factor by which the reference is scaled to match the driver.
        measure: What was measured, for messages.
    """

    ratio: float
    measure: str


def body_scale(reference: NDArray, driver: NDArray) -> BodyScale:
    """Compare two bodies, keypoints (133, 3) each in its own pixels.

    The ratio is the mean of those of shoulder width (in x) and torso height (in y), if shoulders and hips have scores
    of at least 0.9 in both; else that of the distance between the shoulders; else between the ears. If none has such
    scores, the same order is used for points that are seen at all. It is 1 if nothing can be measured.
    """
    reference, driver = with_neck(reference), with_neck(driver)
    for score in (SURE_SCORE, BARELY_SEEN):
        shoulders, hips, ears = (_both(reference, driver, *rows, score=score) for rows in (SHOULDERS, HIPS, EARS))
        if shoulders and hips:
            across = _ratio(_shoulder_width(reference), _shoulder_width(driver))
            along = _ratio(_torso_height(reference), _torso_height(driver))
            return BodyScale((across + along) / 2, "shoulder width and torso height")
        for rows, name in ((SHOULDERS, "shoulder distance"), (EARS, "ear distance")):
            if shoulders if rows is SHOULDERS else ears:
                return BodyScale(_ratio(distance(reference, *rows), distance(driver, *rows)), name)
    return BodyScale(1.0, "nothing shared, so the size is kept")


def height_scale(reference: NDArray, driver: NDArray) -> BodyScale:
    """Compare two bodies of which one may be turned aside, keypoints (133, 3) each in its own pixels.

    Turning about the body's own axis shortens widths but not heights. So the ratio is that of the torso's height, if
    shoulders and hips have high scores in both, and that of the ears' height above the shoulders, if both are seen; the
    geometric mean if both can be measured, and `body_scale` if neither can.

    For each frame of three real dances (tests/data/poses_real.npz), compared with the halves of its own dance, the
    ratio should be 1. The mean errors are 2, 7 and 2 %, those of `body_scale` 7, 8 and 6 %; with hidden hips 4, 11 and
    4 %, and 20, 12 and 19 %.
    """
    ratios = {}
    for name, upper, lower, score in (("torso", SHOULDERS, HIPS, SURE_SCORE), ("head", EARS, SHOULDERS, SEEN_SCORE)):
        if _both(reference, driver, *upper, *lower, score=score):
            ratios[name] = _ratio(height_between(reference, upper, lower), height_between(driver, upper, lower))
    if not ratios:
        return body_scale(reference, driver)
    return BodyScale(math.prod(ratios.values()) ** (1 / len(ratios)), f"height of {' and '.join(ratios)}")


def lay_over(reference: NDArray, driver: NDArray, pin: int, ratio: float) -> Similarity:
    """The map from reference pixels to driver pixels that scales by `ratio` and matches the two at `pin`.

    Args:
        reference: Keypoints (133, 3) of the reference.
        driver: Keypoints (133, 3) of the anchor frame.
        pin: Row of `with_neck` keypoints seen in both.
        ratio: From `body_scale` or `height_scale`.
    """
    return Similarity.pinning(with_neck(reference)[pin], with_neck(driver)[pin], ratio)


@dataclass(frozen=True)
class PlacedReference:
    """A reference on the output canvas.

    Attributes:
        picture: The picture, uint8 (H, W, 3) RGB, black where unknown.
        mask: The unknown pixels, bool (H, W): True where a pixel's centre lies outside the picture.
        pose: The reference's pose drawn without the face, uint8 (H, W, 3) RGB, black outside the picture.
    """

    picture: Image8
    mask: NDArray[np.bool_]
    pose: Image8


def place(
    picture: Image8,
    keypoints: NDArray,
    where: Similarity,
    width: int,
    height: int,
    canvas_short_side: int = 2160,
) -> PlacedReference:
    """Put a reference picture and its pose on a canvas.

    Args:
        picture: The picture, uint8 (h, w, 3) RGB.
        keypoints: Keypoints (133, 3) in pixels of `picture`.
        where: The map from picture pixels to canvas pixels.
        width: Canvas width in pixels.
        height: Canvas height in pixels.
        canvas_short_side: As in `draw_pose`.
    """
    h, w = picture.shape[:2]
    # Bilinear sampling skips pixels when it shrinks, so the picture is first shrunk to the final size by area.
    scale = min(where.scale, LARGEST_SIDE / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    shrunk: Image8 = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture  # type: ignore
    drawn = draw_pose(keypoints, (w, h), size[::-1], face="off", canvas_short_side=canvas_short_side)
    mask = ~known((w, h), where, width, height)
    moved = (_moved(each, (w, h), where, width, height) for each in (shrunk, drawn))
    shown, pose = (np.where(mask[..., None], np.uint8(0), each) for each in moved)
    return PlacedReference(shown, mask, pose)


def known(size: tuple[int, int], where: Similarity, width: int, height: int) -> NDArray[np.bool_]:
    """Whether canvas pixels have their centre inside a picture of `size` (width, height) placed by `where`, (H, W)."""
    back = where.inverse()
    x = back.scale * (np.arange(width) + 0.5) + back.dx
    y = back.scale * (np.arange(height) + 0.5) + back.dy
    return ((y >= 0) & (y < size[1]))[:, None] & ((x >= 0) & (x < size[0]))[None, :]


def _moved(image: Image8, size: tuple[int, int], where: Similarity, width: int, height: int) -> Image8:
    """A picture of `size` (width, height), at any resolution, on the canvas; outside, its edges are replicated."""
    across, down = where.scale * size[0] / image.shape[1], where.scale * size[1] / image.shape[0]
    # OpenCV puts the origin at a pixel's centre, our maps at its corner.
    matrix = np.array(
        [[across, 0.0, where.dx + (across - 1) / 2], [0.0, down, where.dy + (down - 1) / 2]], dtype=np.float64
    )
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _both(reference: NDArray, driver: NDArray, *rows: int, score: float) -> bool:
    return bool(seen(reference, *rows, score=score) and seen(driver, *rows, score=score))


def _shoulder_width(body: NDArray) -> float:
    left, right = SHOULDERS
    return abs(float(body[left, 0] - body[right, 0]))


def _torso_height(body: NDArray) -> float:
    return abs(float((middle(body, HIPS) - middle(body, SHOULDERS))[1]))


def _ratio(reference: float | NDArray, driver: float | NDArray) -> float:
    """Driver over reference; 1 where either is degenerate."""
    return float(driver) / float(reference) if min(reference, driver) > SHORTEST else 1.0

"""Retargeting: the driver's motion on a body of the reference's proportions, in pixels of the reference picture.

Each limb keeps its direction in every frame. Its length is scaled by the factor that gives the reference's length at
the anchor frame. Lengths in pixels are compared within one picture only, so the sizes of the pictures do not matter.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.anchor import Anchor
from onetoall_cli.alignment.comparison import turned_aside
from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import (
    BRIDGE_TO_CHIN,
    EYE_CORNERS,
    FOREARMS,
    NECK,
    SEEN_SCORE,
    SHINS,
    THIGHS,
    UPPER_ARMS,
    distance,
    seen,
    with_neck,
)
from onetoall_cli.alignment.translation import height_scale, lay_over
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp

Bone = tuple[int, int]  # from, to: rows of `with_neck`

# The body as a tree: left and right bones, parents before children.
LIMBS: tuple[tuple[Bone, Bone], ...] = (
    ((NECK, kp.LEFT_SHOULDER), (NECK, kp.RIGHT_SHOULDER)),
    UPPER_ARMS,
    FOREARMS,
    ((NECK, kp.LEFT_HIP), (NECK, kp.RIGHT_HIP)),
    THIGHS,
    SHINS,
    ((NECK, kp.NOSE), (NECK, kp.NOSE)),  # in the middle, so its own mirror image
    ((kp.NOSE, kp.LEFT_EYE), (kp.NOSE, kp.RIGHT_EYE)),
    ((kp.LEFT_EYE, kp.LEFT_EAR), (kp.RIGHT_EYE, kp.RIGHT_EAR)),
)
ACROSS = (LIMBS[0], *LIMBS[-2:])  # those that turning aside shortens
LEFT_FOOT, RIGHT_FOOT = slice(kp.LEFT_BIG_TOE, kp.RIGHT_BIG_TOE), slice(kp.RIGHT_BIG_TOE, kp.FEET.stop)
# Parts that keep their shape, as (the joint they are attached to, rows).
HANGING = (
    (kp.LEFT_WRIST, kp.LEFT_HAND),
    (kp.RIGHT_WRIST, kp.RIGHT_HAND),
    (kp.LEFT_ANKLE, LEFT_FOOT),
    (kp.RIGHT_ANKLE, RIGHT_FOOT),
)
ANKLES = (kp.LEFT_ANKLE, kp.RIGHT_ANKLE)
FEET_ROWS = (*ANKLES, *range(kp.FEET.start, kp.FEET.stop))

NOSE_TIP = kp.FACE.start + 30  # iBUG 68

# A limb is foreshortened at the anchor if it needs more than this times the body's factor and is shorter there than
# 1 / this of its full length. If left and right factors differ by more than this, one of them is foreshortened. (It is
# the limit of the anchor's symmetry.)
FORESHORTENED = 1.5
# Even drawn characters have no limb this far out of proportion: such a length is a detection error.
OUT_OF_PROPORTION = 4.0
# A limb's full length is this quantile over the frames: the longest lengths are often detection errors.
FULL_LENGTH_QUANTILE = 0.95
SHORTEST = 1e-6  # px
BLOCK = 1024  # frames rebuilt at a time, to limit the memory of a long motion


@dataclass(frozen=True)
class Proportions:
    """Factors from the driver's lengths to the reference's.

    Attributes:
        body: Factor of the whole body and of its path.
        limbs: Factor of the limb that ends in each row of `with_neck`, (134,).
        face: Factors of the face's width and height.
    """

    body: float
    limbs: NDArray[np.float64]
    face: tuple[float, float]


def retarget(motion: PoseSequence, reference_pose: PoseSequence, anchor: Anchor) -> PoseSequence:
    """Give a motion the reference's proportions and place.

    - If reference and driver are the same, nothing changes.
    - Each limb has the reference's length at the anchor, unless it is foreshortened there. A limb that the reference
      does not show takes the factor of its mirror image, or else of the limb before it.
    - If feet are seen in both, the lowest foot keeps its height above the ground, times the body's factor; otherwise
      the neck keeps its place.
    - Hands and feet keep their shape and are scaled by the body's factor. The face keeps its expression, gets the
      reference's width and height, and stays at the nose.

    The body's factor is that of `height_scale`; it scales the body's path too.

    Args:
        motion: One person's motion, in pixels of the driver's frame.
        reference_pose: One frame of one person, in pixels of the reference.
        anchor: From `choose_anchor`. Its pins coincide at the anchor frame, before the feet are moved to the ground.

    Returns:
        The motion on the reference's canvas; unseen points are (0, 0, 0). Points may lie outside the canvas.
    """
    reference, frames = with_neck(reference_pose.keypoints[0, 0]), with_neck(motion.keypoints[:, 0])
    body = body_map(reference_pose.keypoints[0, 0], motion.keypoints[anchor.frame, 0], anchor.pin)
    factors = proportions(reference, frames, anchor.frame, body.scale)
    moved = np.concatenate(
        [_rebuilt(frames[start : start + BLOCK], factors, body) for start in range(0, len(frames), BLOCK)]
    )
    moved[..., 1] += _to_the_ground(reference, frames, moved, anchor.frame, body.scale)[:, None]
    keypoints = np.concatenate([moved, frames[..., 2:]], axis=-1)[:, : kp.COUNT]
    keypoints = np.where(keypoints[..., 2:] > 0, keypoints, 0.0)
    return replace(motion, keypoints=keypoints[:, None], width=reference_pose.width, height=reference_pose.height)


def body_map(reference: NDArray, driver: NDArray, pin: int) -> Similarity:
    """The map from driver to reference pixels that matches the bodies (133, 3) by one scale and one shift."""
    return lay_over(reference, driver, pin, height_scale(reference, driver).ratio).inverse()


def proportions(reference: NDArray, frames: NDArray, anchor: int, body: float) -> Proportions:
    """Measure the factors from the driver (frames, 134, 3) to the reference (134, 3) at frame `anchor`.

    A driver that is turned aside in all frames does not show its widths: they take the body's factor.
    """
    limbs = np.full(NECK + 1, body)
    aside = turned_aside(reference, frames)
    for left, right in LIMBS:
        unknown = aside and (left, right) in ACROSS
        measured = [None if unknown else _limb_factor(reference, frames, anchor, bone, body) for bone in (left, right)]
        inherited = (limbs[left[0]], limbs[right[0]])
        limbs[left[1]], limbs[right[1]] = _agreed(measured, inherited, body)
    eyes = math.sqrt(limbs[kp.LEFT_EYE] * limbs[kp.RIGHT_EYE])
    width, height = _face_factors(reference, frames[anchor], eyes, body)
    return Proportions(body, limbs, (height, height) if aside else (width, height))


def _limb_factor(reference: NDArray, frames: NDArray, anchor: int, bone: Bone, body: float) -> float | None:
    """The reference's length over the driver's; None where it cannot be measured or is implausible."""
    if not (seen(reference, *bone) and seen(frames[anchor], *bone)):
        return None
    target, length = float(distance(reference, *bone)), float(distance(frames[anchor], *bone))
    if min(target, length) < SHORTEST:
        return None
    if target / length > FORESHORTENED * body:
        full = float(np.quantile(distance(frames, *bone)[seen(frames, *bone)], FULL_LENGTH_QUANTILE))
        if full > FORESHORTENED * length:
            length = full
    return _credible(target / length, body)


def _credible(factor: float, body: float) -> float | None:
    return factor if 1 / OUT_OF_PROPORTION <= factor / body <= OUT_OF_PROPORTION else None


def _agreed(measured: list[float | None], inherited: tuple[float, float], body: float) -> tuple[float, float]:
    """The factors of a left and a right limb, from measured factors and those of the limbs before them.

    Each limb keeps its own factor. If the two differ too much, one limb is foreshortened, and both take the factor
    nearer to the body's. A limb without a measured factor takes the other's.
    """
    known = [factor for factor in measured if factor is not None]
    if not known:
        return inherited
    left, right = known[0], known[-1]
    if max(left, right) > FORESHORTENED * min(left, right):
        nearest = min(left, right, key=lambda factor: abs(math.log(factor / body)))
        return nearest, nearest
    return left, right


def _face_factors(reference: NDArray, driver: NDArray, eyes: float, body: float) -> tuple[float, float]:
    """Factors of the face's width and height; one that cannot be measured is the other's, or else `eyes`."""
    measured = []
    for line in (EYE_CORNERS, BRIDGE_TO_CHIN):
        length = float(distance(driver, *line))
        usable = seen(reference, *line) and seen(driver, *line) and length > SHORTEST
        measured.append(_credible(float(distance(reference, *line)) / length, body) if usable else None)
    width, height = measured
    return width or height or eyes, height or width or eyes


class _Body:
    """The driver's body in all frames while it is rebuilt from the neck outwards.

    If a joint is missing in a frame, the parts after it are attached to the joint before it: without a wrist, a hand is
    attached to the elbow. A part without any joint to attach to moves by the body's own map.
    """

    def __init__(self, frames: NDArray, body: Similarity) -> None:
        self.old = frames[..., :2].copy()
        self._present = frames[..., 2] > 0
        for row, twin in (
            (kp.NOSE, NOSE_TIP),
            (kp.LEFT_WRIST, kp.LEFT_HAND.start),
            (kp.RIGHT_WRIST, kp.RIGHT_HAND.start),
        ):
            self._stand_in(row, twin)
        self.new = body.points(self.old)
        # For each frame and row: the place to attach parts to, before and after; whether there is one; and the sum and
        # number of the factors of skipped limbs.
        self._hold_old, self._hold_new = self.old.copy(), self.new.copy()
        self._held = self._present.copy()
        self._skipped = np.zeros(self._held.shape)
        self._gap = np.zeros(self._held.shape)

    def _stand_in(self, row: int, twin: int) -> None:
        """Where `row` is not seen take its twin: the nose is also a face landmark, a wrist also a point of its hand."""
        lost = ~self._present[:, row] & self._present[:, twin]
        self.old[lost, row] = self.old[lost, twin]
        self._present[lost, row] = True

    def hang(self, joint: int, rows: slice, factor: float) -> None:
        """Place `rows` relative to `joint` as in the driver, scaled by `factor`."""
        offset = self.old[:, rows] - self._hold_old[:, [joint]]
        mean = (self._skipped[:, joint] + factor) / (self._gap[:, joint] + 1)
        hung = self._hold_new[:, [joint]] + mean[:, None, None] * offset
        self.new[:, rows] = np.where(self._held[:, joint, None, None], hung, self.new[:, rows])

    def grow(self, bone: Bone, factor: float) -> None:
        """Attach the end of `bone` to its start, and make it the place to attach the parts after it to."""
        joint, end = bone
        self.hang(joint, slice(end, end + 1), factor)
        here = self._present[:, end]
        for hold, points in ((self._hold_old, self.old), (self._hold_new, self.new)):
            hold[:, end] = np.where(here[:, None], points[:, end], hold[:, joint])
        self._held[:, end] = here | self._held[:, joint]
        self._skipped[:, end] = np.where(here, 0.0, self._skipped[:, joint] + factor)
        self._gap[:, end] = np.where(here, 0.0, self._gap[:, joint] + 1)

    def stretch(self, joint: int, rows: slice, across: NDArray, width: float, height: float) -> None:
        """Place `rows` around `joint`, scaled by `width` along `across` (frames, 2) and by `height` across it."""
        offset = self.old[:, rows] - self._hold_old[:, [joint]]  # (frames, rows, 2)
        along = (offset * across[:, None]).sum(axis=-1, keepdims=True) * across[:, None]
        stretched = self._hold_new[:, [joint]] + width * along + height * (offset - along)
        self.new[:, rows] = np.where(self._held[:, joint, None, None], stretched, self.new[:, rows])


def _rebuilt(frames: NDArray, factors: Proportions, body: Similarity) -> NDArray:
    """The driver's points with the reference's proportions, before they are moved to the ground: (frames, 134, 2)."""
    rebuilt = _Body(frames, body)
    for bone in dict.fromkeys(bone for sides in LIMBS for bone in sides):
        rebuilt.grow(bone, factors.limbs[bone[1]])
    for joint, rows in HANGING:
        # By the body's factor: neither a forearm's visible length nor an open hand beside a closed one gives a hand's.
        rebuilt.hang(joint, rows, factors.body)
    rebuilt.stretch(kp.NOSE, kp.FACE, _across_the_face(frames), *factors.face)
    return rebuilt.new


def _across_the_face(frames: NDArray) -> NDArray:
    """The unit vector from eye to eye in each frame, (frames, 2); horizontal where the eyes are not seen."""
    across = np.tile([1.0, 0.0], (len(frames), 1))
    for a, b in ((kp.LEFT_EYE, kp.RIGHT_EYE), EYE_CORNERS):  # the better one last
        line, length = frames[:, b, :2] - frames[:, a, :2], distance(frames, a, b)
        usable = seen(frames, a, b) & (length > SHORTEST)
        across[usable] = line[usable] / length[usable, None]
    return across


def _to_the_ground(reference: NDArray, frames: NDArray, moved: NDArray, anchor: int, body: float) -> NDArray:
    """The downward shift that puts each frame's feet on the reference's ground, pixels (frames,).

    It is interpolated over frames without feet, so that the body does not jump.
    """
    rows = FEET_ROWS if seen(reference, *FEET_ROWS) and seen(frames[anchor], *FEET_ROWS) else ANKLES
    ground, driver, result = (
        _lowest(scores, points, rows)
        for scores, points in ((reference[None], reference[None]), (frames, frames), (frames, moved))
    )
    with_feet = np.flatnonzero(np.isfinite(driver))
    if not len(with_feet) or not np.isfinite(ground[0]):
        return np.zeros(len(frames))
    base = with_feet[np.abs(with_feet - anchor).argmin()]
    wanted = ground[0] + body * (driver[with_feet] - driver[base])
    return np.interp(np.arange(len(frames)), with_feet, wanted - result[with_feet])


def _lowest(scores: NDArray, points: NDArray, rows: tuple[int, ...]) -> NDArray:
    """The largest y of the `rows` that are seen, (frames,); -inf where none is."""
    usable = scores[:, rows, 2] >= SEEN_SCORE
    return np.where(usable, points[:, rows, 1], -np.inf).max(axis=1)

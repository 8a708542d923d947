"""`--align auto`: from the reference's pose and the driver's motion, how to bring them together, why, and how surely.

The authors' advice: both full-body or both half-body -> carry the motion to the reference ("ref"); across framings ->
move the reference onto the motion ("pose"), which outpaints what is missing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.comparison import NARROW_APART, heads, median, narrowness, sizes
from onetoall_cli.alignment.skeleton import BRIDGE_TO_CHIN, EYE_CORNERS, HIPS, SEEN_SCORE, SHOULDERS, seen
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.drawing import Face, Head

Size = tuple[int, int]  # width, height in pixels

# Parts that make a framing, from the top down; a part is seen when any of its points is. Knees make none: a picture cut
# at the knee and one cut at the hip are both "half body".
PARTS = {
    "head": tuple(range(kp.NOSE, kp.RIGHT_EAR + 1)),
    "shoulders": SHOULDERS,
    "hips": HIPS,
    "feet": (kp.LEFT_ANKLE, kp.RIGHT_ANKLE),
}
# Bodies whose sizes in their frames differ by more than this are framed differently: a motion enlarged further leaves
# the reference's frame with the first step, one shrunk further stands still.
SCALE_APART = 1.5
# A head larger or smaller for its body than this does not fit: the driver's is drawn as a hint only. Training dims what
# it has scaled, up to 2 times. Single frames of real dances differ from other dances by up to 1.30 (bowed heads),
# pictures of real people by up to 1.20; stylised characters by 1.39 and more (medians over the clips in the tests).
HEAD_APART = 1.35
# Where a frame's pose lies nearer to the reference's than this share of its size, they are one and the same picture.
SAME_PICTURE = 0.01
# Below this share of frames that agree, the choice is called close.
SURE = 0.75


@dataclass(frozen=True)
class Decision:
    """How to align, and why in one sentence each.

    Attributes:
        mode: "ref" or "pose".
        face: How to draw the driver's face.
        head: How to draw the driver's head.
        why: Reason for the mode.
        why_style: Reason for face and head.
        agreement: Share of the motion's frames that alone would give the same mode, 0..1.
        size: The driver over the reference, each in its frame, by heights: the median over the motion; NaN if unknown.
        warning: What may be wrong at the anchor; empty if nothing is.
    """

    mode: Literal["pose", "ref"]
    face: Face
    head: Head
    why: str
    why_style: str
    agreement: float
    size: float
    warning: str


def decide(reference: NDArray, reference_size: Size, frames: NDArray, driver_size: Size, anchor: int = 0) -> Decision:
    """Choose mode and drawing style.

    Args:
        reference: Keypoints (133, 3) of the reference in its pixels.
        reference_size: (width, height) of the reference picture.
        frames: Keypoints (frames, 133, 3) of the motion in the driver's pixels.
        driver_size: (width, height) of the driving video.
        anchor: The frame in which the two are matched.
    """
    reference, frames = _inside(reference, reference_size), _inside(frames, driver_size)
    # the driver's frame brought to cover the reference's, as far as size goes
    cover = max(reference_size[0] / driver_size[0], reference_size[1] / driver_size[1])
    larger = cover * sizes(reference, frames)
    here, there = _parts(reference[None])[0], _parts(frames)
    present = there.any(axis=1)
    usual = there[present].mean(axis=0) >= 0.5 if present.any() else np.zeros(len(PARTS), dtype=bool)
    size = median(larger)
    alike = bool(_alike(here, usual[None], np.array([size])).all())
    agreement = float((_alike(here, there, larger) == alike)[present].mean()) if present.any() else 0.0
    why = _why(_named(here), _named(usual), size)
    if agreement < SURE:
        why += f" (a close choice: {agreement:.0%} of its frames alone agree)"
    face, head, why_style = _style(reference, frames)
    mode: Literal["pose", "ref"] = "ref" if alike else "pose"
    return Decision(mode, face, head, why, why_style, agreement, size, _warning(reference, frames, anchor))


def parts_seen(keypoints: NDArray, size: Size) -> tuple[str, ...]:
    """Which of PARTS of a body (133, 3) lie inside the picture and are seen, from the top down."""
    return _named(_parts(_inside(keypoints, size)[None])[0])


def _inside(keypoints: NDArray, size: Size) -> NDArray:
    """The same with score 0 for points outside the picture, where detectors guess."""
    inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] <= size)).all(axis=-1, keepdims=True)
    return np.where(inside, keypoints, 0.0)


def _parts(frames: NDArray) -> NDArray[np.bool_]:
    """Which of PARTS each frame shows, (frames, 4)."""
    return np.stack([(frames[:, rows, 2] >= SEEN_SCORE).any(axis=1) for rows in PARTS.values()], axis=1)


def _named(parts: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_seen in zip(PARTS, parts, strict=True) if is_seen)


def _alike(here: NDArray[np.bool_], there: NDArray[np.bool_], larger: NDArray) -> NDArray[np.bool_]:
    """Whether frames that show the parts `there` (frames, 4) are framed as the reference, (frames,)."""
    return (there == here).all(axis=1) & ~_apart(larger)


def _apart(larger: NDArray | float) -> NDArray[np.bool_]:
    return np.asarray((np.asarray(larger) > SCALE_APART) | (np.asarray(larger) < 1 / SCALE_APART))


def _why(here: tuple[str, ...], there: tuple[str, ...], larger: float) -> str:
    if here != there:
        return f"the reference shows {_listed(here)}, the motion {_listed(there)}"
    both = f"both show {_listed(here)}"
    if np.isnan(larger):
        return f"{both}, and nothing tells how large they are"
    link = "but" if _apart(larger) else "and"
    return f"{both}, {link} the driver is {larger:.2f} times as large in the frame as the reference"


def _style(reference: NDArray, frames: NDArray) -> tuple[Face, Head, str]:
    """Face and head style, and the reason.

    Landmarks do not tell persons apart: faces of one person differ as much from frame to frame as those of two. So the
    persons count as different, as in the released examples, unless the reference is a frame of the motion.
    """
    if _same_picture(reference, frames):
        return "full", "full", "the reference is a frame of the motion"
    apart = median(heads(reference, frames))
    size = f"the driver's head is {apart:.2f} times as large for its body as the reference's"
    if max(apart, 1 / apart) > HEAD_APART:
        return "light", "light", size
    head = "the heads cannot be compared" if np.isnan(apart) else size
    if not seen(frames, *EYE_CORNERS, *BRIDGE_TO_CHIN).any():
        return "full", "full", f"the driver shows no face, and {head}"
    return "light", "full", f"the reference is no frame of the motion, and {head}"


def _same_picture(reference: NDArray, frames: NDArray) -> bool:
    """Whether the reference's pose is that of some frame, but for a scale and a shift."""
    rows = np.flatnonzero(reference[:, 2] >= SEEN_SCORE)
    if len(rows) < 2:
        return False
    complete = frames[(frames[:, rows, 2] >= SEEN_SCORE).all(axis=1)][:, rows, :2]
    shapes = [points - points.mean(axis=-2, keepdims=True) for points in (reference[rows, :2], complete)]
    ours, theirs = (shape / np.linalg.norm(shape, axis=(-2, -1), keepdims=True).clip(1e-6) for shape in shapes)
    return bool((np.linalg.norm(theirs - ours, axis=(-2, -1)) < SAME_PICTURE).any())


def _warning(reference: NDArray, frames: NDArray, anchor: int) -> str:
    at_anchor = frames[[anchor]]
    narrow = float(narrowness(reference, at_anchor)[0])
    if np.isnan(narrow) or 1 / NARROW_APART <= narrow <= NARROW_APART:
        return ""
    who = "driver" if narrow < 1 else "reference"
    return (
        f"The {who} is turned aside, or narrow, where the two are matched (frame {anchor}): for its height the driver "
        f"is {narrow:.2f} times as wide as the reference. Heights were taken; --anchor chooses another frame."
    )


def _listed(parts: tuple[str, ...]) -> str:
    """ "head, hips and feet"."""
    *first, last = parts or ("nothing of the body",)
    return f"{', '.join(first)} and {last}" if first else last

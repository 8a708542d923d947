"""`--align auto`: from one pose of the reference and one of the driver, how to bring them together, and why.

The authors' advice: both full-body or both half-body -> carry the motion to the reference ("ref"); across framings ->
move the reference onto the motion ("pose"), which outpaints what is missing.
"""

import math
from dataclasses import dataclass
from typing import Literal

from numpy.typing import NDArray

from onetoall_cli.alignment.retargeting import BRIDGE_TO_CHIN, EYE_CORNERS
from onetoall_cli.alignment.skeleton import EARS, HIPS, SEEN_SCORE, SHOULDERS, distance, seen, with_neck
from onetoall_cli.alignment.translation import body_scale
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.drawing import Face, Head

Size = tuple[int, int]  # width, height in pixels
FACE_LINES = (EYE_CORNERS, BRIDGE_TO_CHIN)  # its width and height

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
# A face (a head) larger or smaller for its body than this does not fit: the driver's is drawn as a hint only. Training
# dims what it has scaled, up to 2 times; among real people faces differ by up to 1.33 and heads by up to 1.25 (medians
# over the clips in the tests), which must not dim them; drawn characters differ by 1.5 and more.
FACE_APART = 1.35
HEAD_APART = 1.4


@dataclass(frozen=True)
class Decision:
    """How to align, and why in one sentence each.

    Attributes:
        mode: "ref" or "pose".
        face: How to draw the driver's face.
        head: How to draw the driver's head.
        why: Reason for the mode.
        why_style: Reason for face and head.
    """

    mode: Literal["pose", "ref"]
    face: Face
    head: Head
    why: str
    why_style: str


def decide(reference: NDArray, reference_size: Size, driver: NDArray, driver_size: Size) -> Decision:
    """Choose mode and drawing style.

    Args:
        reference: Keypoints (133, 3) of the reference in its pixels.
        reference_size: (width, height) of the reference picture.
        driver: Keypoints (133, 3) of the anchor frame in the driver's pixels.
        driver_size: (width, height) of the driving video.
    """
    mode, why = _mode(reference, reference_size, driver, driver_size)
    face, head, why_style = _style(with_neck(reference), with_neck(driver))
    return Decision(mode, face, head, why, why_style)


def parts_seen(keypoints: NDArray, size: Size) -> tuple[str, ...]:
    """Which of PARTS lie inside the picture and are seen, from the top down."""
    inside = ((keypoints[:, :2] >= 0) & (keypoints[:, :2] <= size)).all(axis=1) & (keypoints[:, 2] >= SEEN_SCORE)
    return tuple(name for name, rows in PARTS.items() if inside[list(rows)].any())


def _mode(
    reference: NDArray, reference_size: Size, driver: NDArray, driver_size: Size
) -> tuple[Literal["pose", "ref"], str]:
    here, there = parts_seen(reference, reference_size), parts_seen(driver, driver_size)
    if here != there:
        return "pose", f"the reference shows {_listed(here)}, the motion {_listed(there)}"
    # the driver's frame brought to cover the reference's, as far as size goes
    cover = max(reference_size[0] / driver_size[0], reference_size[1] / driver_size[1])
    larger = body_scale(reference, driver).ratio * cover
    sizes = f"the driver is {larger:.2f} times as large in the frame as the reference"
    if not 1 / SCALE_APART <= larger <= SCALE_APART:
        return "pose", f"both show {_listed(here)}, but {sizes}"
    return "ref", f"both show {_listed(here)}, and {sizes}"


def _style(reference: NDArray, driver: NDArray) -> tuple[Face, Head, str]:
    """Face and head style for keypoints (134, 3), and the reason."""
    scale = body_scale(reference[: kp.COUNT], driver[: kp.COUNT]).ratio
    head = _heads_apart(reference, driver, scale)
    if head > HEAD_APART:
        return "light", "light", f"the heads are {head:.2f} times apart in size for their bodies"
    if not _has_face(driver):
        return "full", "full", "the driver shows no face"
    if not _has_face(reference):
        return "light", "full", "the reference shows no face that the driver's could fit"
    face = max(_apart(float(distance(reference, *line)), float(distance(driver, *line)), scale) for line in FACE_LINES)
    if face > FACE_APART:
        return "light", "full", f"the faces are {face:.2f} times apart in width or height for their bodies"
    return "full", "full", f"heads and faces fit (at most {max(head, face):.2f} times apart)"


def _has_face(body: NDArray) -> bool:
    return bool(seen(body, *EYE_CORNERS, *BRIDGE_TO_CHIN))


def _heads_apart(reference: NDArray, driver: NDArray, scale: float) -> float:
    """How many times apart the heads' sizes are: from ear to ear, evened out by the face's height where it is seen.

    Turning shortens the one, nodding the other.
    """
    lines = [line for line in (EARS, BRIDGE_TO_CHIN) if seen(reference, *line) and seen(driver, *line)]
    sizes = [
        math.prod(float(distance(body, *line)) for line in lines) ** (1 / max(1, len(lines)))
        for body in (reference, driver)
    ]
    return _apart(sizes[0], sizes[1], scale) if lines else 1.0


def _apart(reference: float, driver: float, scale: float) -> float:
    """How many times apart two lengths are, at least 1, once the bodies are brought to one scale; 1 if unknown."""
    if min(reference, driver) <= 0:
        return 1.0
    ratio = driver / (reference * scale)
    return max(ratio, 1 / ratio)


def _listed(parts: tuple[str, ...]) -> str:
    """ "head, hips and feet"."""
    *first, last = parts or ("nothing of the body",)
    return f"{', '.join(first)} and {last}" if first else last

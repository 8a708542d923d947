"""Test cases: held-out puppets with their ground truth, aligned as a user's input is.

The poses are the puppet world's instead of a detector's; `align` and all that follows is what users get.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning, align
from onetoall_cli.pose.drawing import Face
from onetoall_cli.puppets import Clip, Pair, PairKind, Scene, Split, sample_pair
from onetoall_cli.puppets.backdrop import paint_backdrop
from onetoall_cli.puppets.identity import Colour

Place = tuple[float, float, float]  # where the reference lies on the canvas: scale, shift x, shift y

TASKS: tuple[PairKind, ...] = get_args(PairKind)
# `--align` of each task. Aligned pairs share a camera, so nothing has to move. In the others the reference moves onto
# the motion, so that the answer is known to the pixel.
MODES: dict[PairKind, Literal["none", "pose"]] = {"aligned": "none", "misaligned": "pose", "transfer": "pose"}

# Clothes and hair, and the colours of a puppet's look that paint them.
REGIONS = {
    "hair": ("hair",),
    "hat": ("hat_colour",),
    "top": ("top_colour", "pattern_colour"),
    "bottom": ("bottom_colour",),
    "shoes": ("shoe_colour",),
}
_BLACK: Colour = (0, 0, 0)
# The least share of a region's colour in its pixels: outlines and shadows are darker, edges mix with what lies behind.
_WHOLLY = 0.85
MIN_SHOWN = 12  # the least pixels of a region that show its colour


@dataclass(frozen=True, eq=False)
class Case:
    """One test case: a puppet and a task.

    Attributes:
        task: "aligned", "misaligned" or "transfer".
        number: The pair's number in its split.
        reference: The given picture, uint8 (H, W, 3).
        conditioning: Reference and driver, aligned.
        truth: The true pictures, keypoints and masks.
        backdrop: The true backdrop, uint8 (H, W, 3).
        backdrop_shown: Where the adjusted reference shows that backdrop, bool (H, W).
        regions: The pixels of each of REGIONS in the true pictures, bool (T, H, W).
        shown: The regions whose colour the adjusted reference shows.
        with_driver_face: The true pictures with the driver's face, uint8 (T, H, W, 3); None if that is the puppet's.
        height: Height of the standing puppet in pixels.
    """

    task: PairKind
    number: int
    reference: NDArray[np.uint8]
    conditioning: Conditioning
    truth: Clip
    backdrop: NDArray[np.uint8]
    backdrop_shown: NDArray[np.bool_]
    regions: dict[str, NDArray[np.bool_]]
    shown: frozenset[str]
    with_driver_face: NDArray[np.uint8] | None
    height: float


def make_case(
    task: PairKind,
    split: Split,
    number: int,
    *,
    width: int,
    height: int,
    frames: int,
    canvas_short_side: int,
    face: Literal["auto"] | Face = "auto",
) -> Case:
    """Sample a pair, align it and render the answer.

    Args:
        width, height: Size in pixels, multiples of 16.
        frames: Frames of the motion; "transfer" has one.
        canvas_short_side: Short side of the canvas that the model's poses are drawn on.
        face: How the driver's face is drawn; "auto" lets `align` choose.
    """
    pair = sample_pair(task, split, number, width=width, height=height, frames=1 if task == "transfer" else frames)
    return case_of(pair, number, canvas_short_side=canvas_short_side, face=face)


def case_of(pair: Pair, number: int, *, canvas_short_side: int, face: Literal["auto"] | Face = "auto") -> Case:
    """Align a pair, whichever puppet it is of, and render the answer; arguments as `make_case`."""
    task, width, height = pair.kind, pair.target.width, pair.target.height
    reference = pair.reference.film()
    performed = driver_film(pair)
    conditioning = align(
        reference.frames[0],
        reference.poses,
        performed.poses,
        width=width,
        height=height,
        mode=MODES[task],
        face=face,
        canvas_short_side=canvas_short_side,
    )
    meta = conditioning.meta
    place: Place = (meta["scale"], meta["shift"][0], meta["shift"][1])
    camera = pair.reference.camera.then(*place)
    other = pair.driver_face != pair.target.identity.face
    regions_there = region_maps(pair.reference)
    return Case(
        task=task,
        number=number,
        reference=reference.frames[0],
        conditioning=conditioning,
        truth=pair.truth(place),
        backdrop=paint_backdrop(pair.target.backdrop, camera, width, height),
        backdrop_shown=_moved(reference.masks[0] == 0, place, conditioning.mask),
        regions=region_maps(pair.target),
        shown=frozenset(
            name
            for name, pixels in regions_there.items()
            if _moved(pixels[0], place, conditioning.mask).sum() >= MIN_SHOWN
        ),
        with_driver_face=driver_film(pair, place).frames if other else None,
        height=pair.target.camera.scale * (1 + pair.target.identity.body.neck + pair.target.identity.body.head),
    )


def driver_film(pair: Pair, place: Place | None = None) -> Clip:
    """Render the driving performance: the pair's puppet with the driver's face.

    Args:
        place: Place of the reference (scale, shift x, shift y), whose backdrop is then continued.
    """
    performer = replace(pair.target, identity=replace(pair.target.identity, face=pair.driver_face))
    return performer.film(backdrop_camera=pair.reference.camera.then(*place) if place else None)


def region_maps(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """The pixels that show only one of REGIONS, for each of them, bool (frames, height, width).

    They are found by painting the region pure red, green or blue instead of black, and comparing.
    """
    black = {name: _BLACK for names in REGIONS.values() for name in names}
    without = _film_with(scene, black)
    maps: dict[str, NDArray[np.bool_]] = {}
    names = list(REGIONS)
    for start in range(0, len(names), 3):  # three at a time, one a channel
        asked = names[start : start + 3]
        keys: dict[str, Colour] = {}
        for channel, name in enumerate(asked):
            pure: Colour = ((255, 0, 0), (0, 255, 0), (0, 0, 255))[channel]
            keys |= {colour: pure for colour in REGIONS[name]}
        share = (_film_with(scene, black | keys).astype(np.float32) - without) / 255
        maps |= {name: share[..., channel] >= _WHOLLY for channel, name in enumerate(asked)}
    return maps


def _film_with(scene: Scene, colours: dict[str, Colour]) -> NDArray[np.uint8]:
    look = replace(scene.identity.look, **colours)  # type: ignore[arg-type]
    return replace(scene, identity=replace(scene.identity, look=look)).film().frames


def _moved(pixels: NDArray[np.bool_], place: Place, unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A set of the reference's pixels on the canvas, with the reference at `place`; only pixels wholly in the set."""
    scale, x, y = place
    centre = (scale - 1) / 2  # OpenCV counts from pixel centres
    matrix = np.array([[scale, 0, x + centre], [0, scale, y + centre]])
    size = (unknown.shape[1], unknown.shape[0])
    moved = cv2.warpAffine(pixels.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    return (moved > 0.99) & ~unknown

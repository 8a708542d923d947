"""What towers above the reference's head (hat, hair, ears): no keypoint shows it, the picture does.

"pose" mode lays it over a driver whose head may be close to the upper border of the frame.
"""

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.canvas import Box
from onetoall_cli.alignment.skeleton import NECK, SEEN_SCORE, crowns, with_neck
from onetoall_cli.pose import keypoints as kp

# In lengths from neck to crown: the tallest hat, and how far to each side of the head it is looked for.
TALLEST = 1.0
WIDEST = 0.5
# Colours that differ by no more than this in any channel (of 255) are one backdrop.
BACKDROP_VARIES = 24


def hat_box(picture: NDArray[np.uint8], reference: NDArray, scale: float, frames: NDArray) -> Box | None:
    """The box of all that towers above the reference's nose, carried by the driver's nose through all frames.

    Args:
        picture: The reference picture, uint8 (h, w, 3).
        reference: Its keypoints (133, 3), in its pixels.
        scale: From its pixels to the driver's.
        frames: The driver's keypoints (frames, 133, 3).

    Returns:
        The box in the driver's pixels; None where the reference's head or every driver's nose is unseen.
    """
    body = with_neck(reference)
    crown, noses = crowns(body[None]), frames[frames[:, kp.NOSE, 2] >= SEEN_SCORE, kp.NOSE, :2]
    if not len(crown) or not len(noses):
        return None
    head = float(np.linalg.norm(crown[0] - body[NECK, :2]))
    half, rise = scale * WIDEST * head, scale * (body[kp.NOSE, 1] - _top(picture, crown[0], head))
    (left, top), (right, bottom) = noses.min(axis=0), noses.max(axis=0)
    return (float(left - half), float(top - rise), float(right + half), float(bottom))


def _top(picture: NDArray[np.uint8], crown: NDArray, head: float) -> float:
    """The row in which the figure with this crown (x, y) begins; `head` is its length from neck to crown.

    Against a plain backdrop it is seen; against any other a tall hat is assumed, which costs a little room.
    """
    (x, y), (height, width) = crown, picture.shape[:2]
    first, last = (int(np.clip(row, 0, height - 1)) for row in (y - TALLEST * head, y))
    left, right = (int(np.clip(side, 0, width - 1)) for side in (x - WIDEST * head, x + WIDEST * head))
    above = picture[first : last + 1, left : right + 1].astype(np.int16)
    unlike = np.abs(above - np.median(above[0], axis=0)).max(axis=(1, 2)) > BACKDROP_VARIES
    return float(first + np.argmax(unlike)) if unlike.any() else float(y)

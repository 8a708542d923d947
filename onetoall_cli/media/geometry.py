"""How a stored frame is shown: the turn and mirror of its display matrix, and the shape of its pixels."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Display:
    """What to do with a stored frame so that it is seen upright and in proportion.

    Attributes:
        stored: (width, height) to scale the stored frame to, so that its pixels are square; before turning.
        turns: Quarter turns counter-clockwise.
        mirrored: Left and right change places, before turning.
    """

    stored: tuple[int, int]
    turns: int
    mirrored: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as seen."""
        width, height = self.stored
        return (height, width) if self.turns % 2 else (width, height)

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mirror and turn a stored picture (H, W, 3)."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, self.turns))


def display_of(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Display:
    """Read a decoded frame's display matrix; `pixel_aspect` is the stream's pixel width / height."""
    width, height = frame.width, frame.height
    if pixel_aspect and pixel_aspect > 1:
        width = round(width * pixel_aspect)
    elif pixel_aspect:
        height = round(height / pixel_aspect)
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    turns, mirrored = _turns(bytes(matrix)) if matrix is not None else (0, False)
    return Display((width, height), turns, mirrored)


def _turns(matrix: bytes) -> tuple[int, bool]:
    """Quarter turns counter-clockwise, and whether the picture is mirrored before them.

    The matrix is 3 x 3 int32, [a b u; c d v; x y w] (ISO/IEC 14496-12, `tkhd`): a stored point (p, q), q downwards, is
    shown at (a p + c q, b p + d q). Turns other than quarters, which no camera writes, go to the nearest quarter.
    """
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    clockwise = np.degrees(np.arctan2(b, a))
    return round(-clockwise / 90) % 4, mirrored

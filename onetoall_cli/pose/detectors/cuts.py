"""Finds cuts in a clip: frames that share nothing with the one before."""

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.interface import Image

_THUMBNAIL = (32, 32)
_CUT = 30.0
"""Mean difference of grey thumbnails (0..255) that makes a cut. Dancers before a fixed camera stay below 10 at
24 fps, unrelated pictures differ by 40 and more; a flash taken for a cut only costs a fresh search for people."""


class CutFinder:
    """Tells for each frame of a clip, in order, whether it begins a new shot."""

    def __init__(self) -> None:
        self._before: NDArray[np.int16] | None = None

    def is_cut(self, frame: Image) -> bool:
        """Whether the shot changes between the frame before and this one; a first frame is no cut."""
        small = cv2.resize(frame[::4, ::4], _THUMBNAIL, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.int16)
        before, self._before = self._before, grey
        return before is not None and float(np.abs(grey - before).mean()) > _CUT

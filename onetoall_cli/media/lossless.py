"""Frames kept exactly, in less room than as they are: FFV1, which every build of ffmpeg has, in Matroska."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.media.file_errors import reading, writing

_PIXELS = "bgr0"  # FFV1's RGB of 8 bits
_RATE = 25  # of no meaning: times are not kept


class LosslessWriter:
    """Write frames that `read_lossless` gives back bit for bit; the file is complete once it is closed.

    Args:
        path: The .mkv.
        width, height: Pixels.

    Raises:
        BadInput: The file cannot be written.
        OutOfResources: The disk is full.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path = path
        with writing(path):
            self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("ffv1", rate=_RATE, options={"level": "3"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, _PIXELS

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 (height, width, 3)."""
        with writing(self._path):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the file."""
        with writing(self._path):
            self._container.mux(self._stream.encode(None))
            self._container.close()


def read_lossless(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames of a file of `LosslessWriter`, uint8 (height, width, 3), one by one.

    Raises:
        BadInput: It cannot be read.
    """
    with reading(path, "video"), av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")

"""8-bit values that a tool stored in 16 bits of colour: Pillow gives the high bytes alone, which are then all 0."""

from pathlib import Path

import av
import numpy as np
from PIL import Image

from onetoall_cli.files.streams import as_file

_COLOURS = {"RGB": 3, "RGBA": 3, "LA": 1}  # bands of a mode that are no alpha


def restore_low_bytes(image: Image.Image, path: Path) -> None:
    """Put the low bytes in the place of the high ones where a 16-bit picture in colour has nothing in these.

    Args:
        image: As Pillow opened it; it is decoded and changed in place.
        path: Its file.
    """
    is_deep = any(";16" in str(tile.args) for tile in getattr(image, "tile", []))
    if image.mode not in _COLOURS or not is_deep:
        return
    image.load()
    bands = image.split()
    if any(band.getextrema() != (0, 0) for band in bands[: _COLOURS[image.mode]]):
        return
    with av.open(as_file(path)) as file:
        values = next(file.decode(video=0)).to_ndarray(format="rgba64le")
    if values[..., 3].max() > 255:  # its own depth: transparency is often added by another tool
        values[..., 3] >>= 8
    image.paste(Image.fromarray(values.astype(np.uint8)).convert(image.mode))

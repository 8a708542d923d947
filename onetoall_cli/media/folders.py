"""Frames as a folder of numbered PNGs, whole or not at all."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.files import whole_folder
from onetoall_cli.media.file_errors import writing
from onetoall_cli.media.pictures import write_picture


class FrameFolderWriter:
    """Write frames as `000000.png`, `000001.png`, ...: `with FrameFolderWriter(path) as folder: folder.write(image)`.

    The folder appears when the block ends without an exception, in place of one that was written so before;
    otherwise nothing is left and the old one stays. `open_video(path, fps=...)` reads it back.

    Args:
        path: The folder.
        metadata: Settings to keep inside every frame; `read_metadata` gives them back.

    Raises:
        BadInput: The place cannot be written, or is a folder that holds anything else.
        OutOfResources: The disk is full.
    """

    def __init__(self, path: Path | str, *, metadata: Mapping[str, Any] | None = None) -> None:
        self.path, self._metadata = Path(path), metadata
        self._count = 0
        self._exits = ExitStack()

    def __enter__(self) -> "FrameFolderWriter":
        self._exits.enter_context(writing(self.path))
        self._folder = self._exits.enter_context(whole_folder(self.path, "frames"))
        return self

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add a frame: uint8 (height, width, 3), sRGB."""
        write_picture(self._folder / f"{self._count:06d}.png", image, self._metadata)
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

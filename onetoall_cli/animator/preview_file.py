"""The preview beside an output: an animated picture of what is being denoised, there until the run ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from onetoall_cli import __version__
from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import TEMPORAL_STRIDE
from onetoall_cli.media import VideoWriter, read_metadata

if TYPE_CHECKING:
    from onetoall_cli.sampling.previews import Preview

ENLARGED = 4  # pixels of the preview for each of the latents: half of the video's
_MARK = {"onetoall": __version__, "preview": True}
CRF = 28


def preview_of(output: Path) -> Path:
    """Where the preview of an output is."""
    return output.with_name(f"{output.stem}.preview.webp")


@contextmanager
def preview_beside(output: Path, fps: float) -> "Iterator[Callable[[Preview], None]]":
    """What writes the preview of an output, again and again; the file goes when the block ends.

    Args:
        output: What the run makes.
        fps: Its frames a second.

    Raises:
        BadInput: A file of somebody else is there.
    """
    path = preview_of(output)
    if path.exists() and (read_metadata(path) or {}).get("preview") is None:
        raise BadInput(f"{path} is there, and is no preview of onetoall's.", "Move it, or choose another output.")

    def write(preview: "Preview") -> None:
        # in a context of its own: outputs that are put in place together would have it wait for them
        Context().run(_write, path, preview, fps / TEMPORAL_STRIDE)

    try:
        yield write
    finally:
        path.unlink(missing_ok=True)


def _write(path: Path, preview: "Preview", fps: float) -> None:
    height, width = (ENLARGED * side for side in preview.frames.shape[1:3])
    with VideoWriter(path, width, height, fps=fps, crf=CRF, metadata=_MARK) as video:
        for frame in preview.frames:
            video.write(cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC))

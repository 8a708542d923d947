"""Previews in the terminal, where it can show pictures (kitty's protocol, or sixel as in iTerm2, foot and others)."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from onetoall_cli.sampling.previews import Preview

SIDE_BY_SIDE = 4  # frames of a segment
LINES = 10  # of the terminal
TIMES = 4  # a segment is shown at most


class TerminalPreviews:
    """Prints previews.

    Args:
        console: Where to.
        picture: Makes something to print of a Pillow picture and its height in lines.
    """

    def __init__(self, console: "Console", picture: "Callable[..., RenderableType]") -> None:
        self._console, self._picture = console, picture
        self._shown: tuple[int, int] | None = None  # the segment, and which part of it

    def __call__(self, preview: "Preview") -> None:
        from PIL import Image

        part = (preview.segment, TIMES * preview.step // (preview.steps + 1))
        if part == self._shown:
            return
        self._shown = part
        chosen = np.linspace(0, len(preview.frames) - 1, min(SIDE_BY_SIDE, len(preview.frames))).round().astype(int)
        strip = Image.fromarray(np.concatenate(list(preview.frames[chosen]), axis=1))
        self._console.print(f"Segment {preview.segment + 1}, step {preview.step} of {preview.steps}:")
        self._console.print(self._picture(strip, height=LINES))


def terminal_previews(console: "Console") -> TerminalPreviews | None:
    """What shows previews on this terminal; None where it cannot."""
    if not all(stream is not None and stream.isatty() for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__)):
        return None
    from textual_image.renderable import Image, SixelImage, TGPImage  # asks the terminal what it can

    return TerminalPreviews(console, Image) if Image in (SixelImage, TGPImage) else None

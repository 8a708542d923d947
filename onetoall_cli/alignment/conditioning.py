"""The network's aligned input: adjusted reference, its mask and pose, and the motion; as a value and as a folder.

The folder holds `reference.png`, `mask.png` (white where unknown), `reference_pose.png`, `pose.json` (the exact
motion), `pose.mp4` (the motion drawn as a video) and `meta.json` (the choices and their reasons).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_folder
from onetoall_cli.files.contents import check_whole
from onetoall_cli.files.forms import Form, json_text, read_form
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.drawing import Face, Head, draw_motion

FORMAT: Literal["onetoall-conditioning"] = "onetoall-conditioning"
ADVICE = "Give a folder that `onetoall align` of this version wrote, or write it again."

REFERENCE, MASK, REFERENCE_POSE = "reference.png", "mask.png", "reference_pose.png"
MOTION, MOTION_VIDEO, META = "pose.json", "pose.mp4", "meta.json"

Progress = Callable[[int, int | None], None]


class Drawing(Form):
    """How the folder's poses are drawn; see `Conditioning`."""

    face: Face
    head: Head
    canvas_short_side: int = Field(gt=0, le=8192)


class Alignment(Form):
    """The choices and their reasons: what `align` says of them, and whatever else the folder's maker adds."""

    model_config = ConfigDict(extra="allow")

    mode: Literal["pose", "ref", "none"]


class Meta(Form):
    """The folder's `meta.json`."""

    format: Literal["onetoall-conditioning"]
    version: Literal[1]
    drawing: Drawing
    alignment: Alignment


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The aligned input of a generation, at the output's size.

    Attributes:
        reference: The adjusted reference, uint8 (H, W, 3) RGB, black where unknown.
        mask: The unknown pixels, bool (H, W), True where unknown.
        reference_pose: The reference's pose drawn without the face, uint8 (H, W, 3) RGB.
        motion: One person's motion on the output's canvas, so that its `width` and `height` are W and H.
        face: How the driver's face is drawn: "full", "light" or "off".
        head: How the driver's head is drawn: "full" or "light".
        canvas_short_side: Short side of the canvas that poses are drawn on before they are shrunk.
        meta: The choices and their reasons, as plain JSON (see `align`).
    """

    reference: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    reference_pose: NDArray[np.uint8]
    motion: PoseSequence
    face: Face
    head: Head
    canvas_short_side: int
    meta: dict[str, Any]

    def __post_init__(self) -> None:
        size = (self.motion.height, self.motion.width)
        for name in ("reference", "mask", "reference_pose"):
            if getattr(self, name).shape[:2] != size:
                raise ValueError(f"{name} is {getattr(self, name).shape[:2]}, the motion's canvas {size}")
        if self.face not in get_args(Face) or self.head not in get_args(Head):
            raise ValueError(f"no such style: face {self.face!r}, head {self.head!r}")

    @property
    def width(self) -> int:
        return self.motion.width

    @property
    def height(self) -> int:
        return self.motion.height

    def pose_frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Draw the poses of frames `start` to `stop` (exclusive): uint8 (stop - start, H, W, 3) RGB.

        They are drawn at each call, so that a long motion needs no memory for all frames.
        """
        return draw_motion(
            self.motion[start:stop], face=self.face, head=self.head, canvas_short_side=self.canvas_short_side
        )

    def save(self, folder: Path | str, progress: Progress | None = None) -> None:
        """Write the folder, whole or not at all; one that onetoall wrote before is replaced.

        Args:
            folder: The folder.
            progress: Called with (frames drawn, all frames) while the pose video is written.

        Raises:
            BadInput: The folder cannot be written, or holds files that onetoall did not write.
        """
        from onetoall_cli.media import write_picture

        with whole_folder(Path(folder), "aligned input") as temporary:
            write_picture(temporary / REFERENCE, self.reference)
            write_picture(temporary / MASK, np.repeat(self.mask[..., None] * np.uint8(255), 3, axis=-1))
            write_picture(temporary / REFERENCE_POSE, self.reference_pose)
            self.motion.save(temporary / MOTION)
            self._write_motion_video(temporary / MOTION_VIDEO, progress)
            drawing = Drawing(face=self.face, head=self.head, canvas_short_side=self.canvas_short_side)
            meta = Meta(format=FORMAT, version=1, drawing=drawing, alignment=Alignment(**self.meta))
            (temporary / META).write_text(json_text(meta), encoding="utf-8")

    @staticmethod
    def load(folder: Path | str) -> "Conditioning":
        """Read a folder of `save`; the result is identical to the saved value.

        Raises:
            BadInput: The folder was not written by `save`, or a file in it is missing or does not fit the others.
        """
        from onetoall_cli.media import read_picture

        folder = Path(folder)
        check_whole(folder)
        meta = read_form(Meta, folder / META, advice=ADVICE)
        for name in (REFERENCE, MASK, REFERENCE_POSE, MOTION):
            if not (folder / name).is_file():
                raise BadInput(f"{folder} lacks {name}.", "Write the folder again with `onetoall align`.")
        try:
            return Conditioning(
                reference=read_picture(folder / REFERENCE),
                mask=read_picture(folder / MASK)[..., 0] > 127,
                reference_pose=read_picture(folder / REFERENCE_POSE),
                motion=PoseSequence.load(folder / MOTION),
                **dict(meta.drawing),
                meta=meta.alignment.model_dump(),
            )
        except ValueError as error:
            raise BadInput(
                f"The files in {folder} do not belong together: {error}.",
                "Write the folder again with `onetoall align`.",
            ) from error

    def _write_motion_video(self, path: Path, progress: Progress | None) -> None:
        from onetoall_cli.media import VideoWriter

        total = len(self.motion)
        with VideoWriter(path, self.width, self.height, fps=self.motion.fps) as video:
            for index, time in enumerate(self.motion.clock()):
                (frame,) = self.pose_frames(index, index + 1)
                video.write(frame, time=float(time))
                if progress is not None:
                    progress(index + 1, total)

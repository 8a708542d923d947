"""Arrays of 133 whole-body keypoints, as DWPose and mmpose users keep them: .npy, .npz, nested lists."""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.files.streams import as_file, input_ending
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.file_errors import MAX_CANVAS, MAX_FILE_BYTES, MAX_PERSON_FRAMES, fault
from onetoall_cli.pose.openpose_json import check_points, checked_numbers

_EXTRAS = ("size", "fps")
# What NumPy and zipfile raise on a file that is none of theirs, or a broken one.
_DAMAGE = (
    ValueError, EOFError, KeyError, SyntaxError, MemoryError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
_SHAPES = "(133, 3), (frames, 133, 3) or (frames, people, 133, 3)"


@dataclass(frozen=True)
class Facts:
    """What is known of a motion besides its keypoints: canvas (width, height) and frames per second."""

    size: tuple[int, int] | None = None
    fps: float | None = None

    def otherwise(self, other: "Facts") -> "Facts":
        """These, with `other`'s where one is unknown."""
        return Facts(self.size or other.size, self.fps or other.fps)


def read_array(path: Path, name: str | None = None) -> tuple[str, NDArray, Facts]:
    """Read an .npy, or the array `name` (or the only one) of an .npz.

    Returns:
        Its place for error messages, the array as stored, and what the file says about it.

    Raises:
        BadInput: unreadable, or no such array.
    """
    try:
        file = as_file(path)
        if input_ending(path) == ".npy":
            return str(path), np.load(file, mmap_mode="r", allow_pickle=False), Facts()
        with zipfile.ZipFile(file) as members:
            if sum(member.file_size for member in members.infolist()) > MAX_FILE_BYTES:
                fault(str(path), "it unpacks to more than 1 GB", "Split it.")
        with np.load(file, allow_pickle=False) as store:
            return _pick(path, store, name)
    except OSError as error:
        fault(str(path), f"cannot be read: {error.strerror or error}", "Check the name and the permissions.")
    except _DAMAGE:
        fault(str(path), "is not a NumPy file of numbers, or is damaged", "Save the array again with numpy.save.")


def _pick(path: Path, store: Any, name: str | None) -> tuple[str, NDArray, Facts]:
    poses = [key for key in store.files if key not in _EXTRAS and not key.endswith(("_size", "_fps"))]
    if name is None:
        if len(poses) != 1:
            fault(str(path), f"it holds {len(poses)} poses: {', '.join(poses)}", f"Choose one, as in {path}:NAME.")
        name = poses[0]
    if name not in poses:
        fault(str(path), f"it holds no pose named {name!r}", f"Choose one of: {', '.join(poses)}.")
    place = f"{path}:{name}"
    size, fps = (
        next((store[key] for key in (f"{name}_{extra}", extra) if key in store.files), None) for extra in _EXTRAS
    )
    return (
        place,
        store[name],
        Facts(None if size is None else _stored_size(place, size), None if fps is None else _stored_fps(place, fps)),
    )


def _stored_size(place: str, size: NDArray) -> tuple[int, int]:
    sides = [float(side) for side in size] if size.shape == (2,) and size.dtype.kind in "iuf" else []
    if len(sides) != 2 or not all(1 <= side <= MAX_CANVAS and side % 1 == 0 for side in sides):
        fault(f"{place}, size", "must be (width, height) in pixels")
    return int(sides[0]), int(sides[1])


def _stored_fps(place: str, fps: NDArray) -> float:
    if fps.size != 1 or fps.dtype.kind not in "iuf" or not 0 < float(fps.reshape(())) <= 1e4:
        fault(f"{place}, fps", "must be a number of frames per second above 0")
    return float(fps.reshape(()))


def array_to_keypoints(place: str, values: Any) -> NDArray[np.float32]:
    """An array, or nested lists, of 133 points as float32 (frames, people, 133, 3).

    Raises:
        BadInput: not numbers, another shape, NaN, infinity or coordinates beyond reach.
    """
    array = values if isinstance(values, np.ndarray) else checked_numbers(place, values)
    if array.dtype.kind not in "iuf":
        fault(place, "does not hold numbers")
    if array.ndim not in (2, 3, 4) or array.shape[-2:] != (kp.COUNT, 3) or 0 in array.shape:
        fault(place, f"has shape {array.shape}, not {_SHAPES} of x px, y px and score")
    if array.size > MAX_PERSON_FRAMES * kp.COUNT * 3:
        fault(place, f"has shape {array.shape}, more than can be held", "Split it.")
    frames = 1 if array.ndim == 2 else array.shape[0]
    people = array.shape[1] if array.ndim == 4 else 1
    return check_points(place, np.asarray(array, np.float64)).reshape(frames, people, kp.COUNT, 3).astype(np.float32)

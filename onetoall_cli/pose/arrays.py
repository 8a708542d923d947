"""Arrays of 133 whole-body keypoints, as DWPose and mmpose users keep them: .npy, .npz, nested lists."""

import warnings
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from onetoall_cli.errors import OnetoallError
from onetoall_cli.files.streams import as_file, input_ending
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.file_errors import MAX_CANVAS, MAX_FILE_BYTES, MAX_PERSON_FRAMES, fault
from onetoall_cli.pose.openpose_json import check_points

_EXTRAS = ("size", "fps")
_SHAPES = "(133, 3), (frames, 133, 3) or (frames, people, 133, 3)"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}  # 3.0 is for names of fields


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
        BadInput: Unreadable, or no such array.
    """
    try:
        source = Path(as_file(path))
        if input_ending(path) == ".npy":
            with source.open("rb") as file:
                return str(path), _checked_array(str(path), file, source.stat().st_size), Facts()
        with zipfile.ZipFile(source) as archive:
            return _pick(path, archive, name)
    except OnetoallError:
        raise
    except OSError as error:
        fault(str(path), f"cannot be read: {error.strerror or error}", "Check the name and the permissions.")
    except Exception:  # whatever the parsers of zip, deflate and Python literals raise on bytes that are none of theirs
        fault(str(path), "is not a NumPy file of numbers, or is damaged", "Save the array again with numpy.save.")


def _checked_array(place: str, file: IO[bytes], length: int) -> NDArray:
    """The array of an .npy stream of `length` bytes; nothing is loaded before the header is found right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the file was written by Python 2
        shape, fortran_order, dtype = _HEADERS[npy.read_magic(file)](file)
    if dtype.kind not in "iuf":
        fault(place, "does not hold numbers")
    length = min(length - file.tell(), MAX_FILE_BYTES)
    if not all(side > 0 for side in shape) or prod(shape) * dtype.itemsize > length:
        fault(
            place,
            f"says that it has shape {_cut(shape)}, which {length} bytes cannot hold",
            "Save it again, or split it.",
        )
    values = np.frombuffer(file.read(prod(shape) * dtype.itemsize), dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")


def _cut(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pick(path: Path, archive: zipfile.ZipFile, name: str | None) -> tuple[str, NDArray, Facts]:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    poses = [key for key in members if key not in _EXTRAS and not key.endswith(("_size", "_fps"))]
    if name is None:
        if len(poses) != 1:
            fault(str(path), f"it holds {len(poses)} poses: {_listed(poses)}", f"Choose one, as in {path}:NAME.")
        name = poses[0]
    if name not in poses:
        fault(str(path), f"it holds no pose named {name!r}", f"Choose one of: {_listed(poses)}.")
    place = f"{path}:{name}"

    def stored(key: str) -> NDArray:
        with archive.open(members[key]) as file:
            return _checked_array(f"{path}:{key}", file, members[key].file_size)

    size, fps = (next((stored(key) for key in (f"{name}_{extra}", extra) if key in members), None) for extra in _EXTRAS)
    facts = Facts(None if size is None else _stored_size(place, size), None if fps is None else _stored_fps(place, fps))
    return place, stored(name), facts


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _stored_size(place: str, size: NDArray) -> tuple[int, int]:
    sides = [float(side) for side in size] if size.shape == (2,) and size.dtype.kind in "iuf" else []
    if len(sides) != 2 or not all(1 <= side <= MAX_CANVAS and side % 1 == 0 for side in sides):
        fault(f"{place}, size", "must be (width, height) in pixels")
    return int(sides[0]), int(sides[1])


def _stored_fps(place: str, fps: NDArray) -> float:
    if fps.size != 1 or fps.dtype.kind not in "iuf" or not 0 < float(fps.reshape(())) <= 1e4:
        fault(f"{place}, fps", "must be a number of frames per second above 0")
    return float(fps.reshape(()))


def array_to_keypoints(place: str, array: NDArray) -> NDArray[np.float32]:
    """An array of 133 points as float32 (frames, people, 133, 3).

    Raises:
        BadInput: Another shape, NaN, infinity or coordinates beyond reach.
    """
    if array.ndim not in (2, 3, 4) or array.shape[-2:] != (kp.COUNT, 3) or 0 in array.shape:
        fault(place, f"has shape {_cut(array.shape)}, not {_SHAPES} of x px, y px and score")
    if array.size > MAX_PERSON_FRAMES * kp.COUNT * 3:
        fault(place, f"has shape {array.shape}, more than can be held", "Split it.")
    frames = 1 if array.ndim == 2 else array.shape[0]
    people = array.shape[1] if array.ndim == 4 else 1
    with np.errstate(over="ignore"):  # becomes infinity, which is refused
        points = array.astype(np.float32)
    return check_points(place, points).reshape(frames, people, kp.COUNT, 3)

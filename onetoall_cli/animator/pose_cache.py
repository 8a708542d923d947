"""Poses that were detected before, kept in the user's cache: a picture or video is looked at once, by whatever command.

A key is the hash of what was looked at, of the detector and of the code that asks it, so nothing stale is ever found.
The folder keeps to `LIMIT`; what was used longest ago goes first.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from onetoall_cli import pose
from onetoall_cli.errors import OnetoallError
from onetoall_cli.files import whole_file
from onetoall_cli.files.digest import content_digest
from onetoall_cli.hub.places import cache_folder
from onetoall_cli.pose import PoseSequence

LIMIT = 500 * 10**6  # bytes: some hours of one dancer


def key_of(*parts: object) -> str:
    """The name under which a detection is kept, from all it depends on beside the code."""
    return hashlib.sha256("\0".join(map(str, (*parts, _code()))).encode()).hexdigest()


def kept_poses(key: str) -> PoseSequence | None:
    """What was found before; None where it is not kept, or not whole."""
    file = _file(key)
    try:
        stored = load_file(file)
        (width, height), (fps,) = stored["size"].tolist(), stored["fps"].tolist()
        poses = PoseSequence(stored["keypoints"], width, height, fps, stored.get("times"))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    with suppress(OSError):
        os.utime(file)  # it was used now
    return poses


def keep_poses(key: str, poses: PoseSequence) -> None:
    """Keep what was found; where there is no room for it, it is found again next time."""
    size, fps = np.array([poses.width, poses.height]), np.array([poses.fps])
    tensors = {"keypoints": poses.keypoints, "size": size, "fps": fps}
    if poses.times is not None:
        tensors["times"] = poses.times
    with suppress(OnetoallError, OSError):
        _file(key).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(_file(key)) as unfinished:
            save_file(tensors, unfinished)
        _shrink()


def _file(key: str) -> Path:
    return cache_folder() / "poses" / f"{key}.safetensors"


def _shrink() -> None:
    """Remove what was used longest ago, until the rest keeps to `LIMIT`."""
    room = LIMIT
    for status, path in sorted(_entries(), reverse=True):
        room -= status[1]
        if room < 0:
            path.unlink(missing_ok=True)


def _entries() -> Iterator[tuple[tuple[float, int], Path]]:
    for path in (cache_folder() / "poses").glob("*.safetensors"):
        with suppress(OSError):
            status = path.stat()
            yield (status.st_mtime, status.st_size), path


@cache
def _code() -> str:
    """A hash of the code and weights of the package that find poses."""
    room = Path(pose.__file__).parent
    files = [*room.rglob("*.py"), *(room.parent / "assets" / "detector").glob("*")]
    return hashlib.sha256("".join(content_digest(file) for file in sorted(files)).encode()).hexdigest()

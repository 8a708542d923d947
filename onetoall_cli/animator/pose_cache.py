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
from zipfile import BadZipFile

import numpy as np

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
        with np.load(file, allow_pickle=False) as stored:
            width, height = stored["size"]
            times = stored.get("times")
            poses = PoseSequence(stored["keypoints"], int(width), int(height), float(stored["fps"]), times)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    with suppress(OSError):
        os.utime(file)  # it was used now
    return poses


def keep_poses(key: str, poses: PoseSequence) -> None:
    """Keep what was found; where there is no room for it, it is found again next time."""
    size = np.array([poses.width, poses.height])
    arrays = {"keypoints": poses.keypoints, "size": size, "fps": np.array(poses.fps)}
    if poses.times is not None:
        arrays["times"] = poses.times
    with suppress(OnetoallError, OSError):
        _file(key).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(_file(key)) as unfinished:
            np.savez_compressed(unfinished, allow_pickle=False, **arrays)
        _shrink()


def _file(key: str) -> Path:
    return cache_folder() / "poses" / f"{key}.npz"


def _shrink() -> None:
    """Remove what was used longest ago, until the rest keeps to `LIMIT`."""
    room = LIMIT
    for status, path in sorted(_entries(), reverse=True):
        room -= status[1]
        if room < 0:
            path.unlink(missing_ok=True)


def _entries() -> Iterator[tuple[tuple[float, int], Path]]:
    for path in (cache_folder() / "poses").glob("*.npz"):
        with suppress(OSError):
            status = path.stat()
            yield (status.st_mtime, status.st_size), path


@cache
def _code() -> str:
    """A hash of the code and weights of the package that find poses."""
    room = Path(pose.__file__).parent
    files = [*room.rglob("*.py"), *(room.parent / "assets" / "detector").glob("*")]
    return hashlib.sha256("".join(content_digest(file) for file in sorted(files)).encode()).hexdigest()

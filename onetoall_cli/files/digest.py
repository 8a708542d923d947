"""What tells one content from another: the SHA-256 of a file, or of a folder with all that is in it."""

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from onetoall_cli.files.contents import entries
from onetoall_cli.files.streams import as_file

_CHUNK = 4 * 2**20


def content_digest(path: Path) -> str:
    """The SHA-256 of a file or folder (names count in it), hexadecimal; one that has not changed is read once.

    Raises:
        OSError: It cannot be read.
    """
    path = as_file(path)
    if not path.is_dir():
        return _file_digest(path)
    hashed = hashlib.sha256()
    for name in sorted(entries(path)):
        if (path / name).is_file():
            hashed.update(f"{name}\0{_file_digest(path / name)}\n".encode())
    return hashed.hexdigest()


def feed_file(hashed: Any, path: Path, progress: Callable[[int], None] | None = None) -> None:
    """Hash the content of `path`, calling `progress` with the bytes of each piece."""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            hashed.update(chunk)
            if progress:
                progress(len(chunk))


def _file_digest(path: Path) -> str:
    status = os.stat(path)
    return _digest_of(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_of(path: Path, *identity: int) -> str:
    hashed = hashlib.sha256()
    feed_file(hashed, path)
    return hashed.hexdigest()

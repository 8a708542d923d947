"""File hashes as the hub gives them: SHA-256 for large files, git's blob hash for small ones."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onetoall_cli.files.digest import feed_file
from onetoall_cli.hub.index import FileRecord


def hasher(file: FileRecord) -> Any:
    """A new hashlib object for `file`'s kind of digest."""
    if file.digest.startswith("sha256:"):
        return hashlib.sha256()
    # git hashes a header with the size before the content, and uses SHA-1
    return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)


def matches(hashed: Any, file: FileRecord) -> bool:
    """Whether the hasher's digest is the file's."""
    return hashed.hexdigest() == file.digest.partition(":")[2]


def is_intact(path: Path, file: FileRecord, progress: Callable[[int], None] | None = None) -> bool:
    """Whether `path` has exactly the content that the hub announced."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    hashed = hasher(file)
    feed_file(hashed, path, progress)
    return matches(hashed, file)


def describe_file(path: Path, folder: Path) -> FileRecord:
    """A record of a file made here, with its SHA-256."""
    hashed = hashlib.sha256()
    feed_file(hashed, path)
    name = path.relative_to(folder).as_posix()
    return FileRecord(path=name, size=path.stat().st_size, digest=f"sha256:{hashed.hexdigest()}")

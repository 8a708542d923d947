"""The index of installed entries: repository, commit and every file with its hash.

The files are in the hub cache. The index lists which of them make up a model, and their content.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.hub.places import index_file, snapshot_folder

VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """One file of a repository at a commit.

    Attributes:
        path: Path in the repository, with forward slashes.
        size: Size in bytes.
        digest: `sha256:<hex>` for large files, `git:<hex>` (git's blob hash) for small ones.
    """

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class Installed:
    """One catalogue entry as `fetch` installed it.

    Attributes:
        name: The entry's name, or `hf:OWNER/REPO`.
        repository: `OWNER/REPO`.
        revision: The branch, tag or commit that was asked for.
        pin: The catalogue's revision at that time; when it changes, the next fetch updates the entry.
        commit: The commit of `revision` when it was fetched; exactly this is loaded.
        files: Every file, with its hash.
    """

    name: str
    repository: str
    revision: str
    pin: str
    commit: str
    files: tuple[FileRecord, ...]

    @property
    def folder(self) -> Path:
        """The snapshot in the hub cache."""
        return snapshot_folder(self.repository, self.commit)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def missing(self) -> list[FileRecord]:
        """Files that are absent or of another size (a quick check without hashes)."""
        return [file for file in self.files if not _has_size(self.folder / file.path, file.size)]


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def installed() -> dict[str, Installed]:
    """All installed entries by name.

    Raises:
        BadInput: The index is damaged or from another version of onetoall.
    """
    path = index_file()
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise BadInput(
                f"{path} was written by another version of onetoall.", "Update onetoall, or delete the file."
            )
        return {name: _from_json(name, fields) for name, fields in content["installed"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is damaged ({error!r}).",
            "Delete it and run `onetoall fetch` again: files already in the cache are not downloaded twice.",
        ) from error


def _from_json(name: str, fields: dict) -> Installed:
    files = tuple(FileRecord(**file) for file in fields["files"])
    return Installed(name, fields["repository"], fields["revision"], fields["pin"], fields["commit"], files)


def record(entry: Installed) -> None:
    """Add or replace one entry."""
    with _index_lock():
        _write({**installed(), entry.name: entry})


def forget(name: str) -> None:
    """Remove one entry from the index; its files stay."""
    with _index_lock():
        _write({known: entry for known, entry in installed().items() if known != name})


def _write(entries: dict[str, Installed]) -> None:
    content = {"version": VERSION, "installed": {name: _to_json(entry) for name, entry in entries.items()}}
    with whole_file(index_file()) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _to_json(entry: Installed) -> dict:
    fields = asdict(entry)
    del fields["name"]
    return fields


@contextmanager
def _index_lock() -> Iterator[None]:
    path = index_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        yield

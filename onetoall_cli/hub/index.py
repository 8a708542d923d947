"""The index of installed entries: repository, commit and every file with its hash.

The files are in the hub cache. The index lists which of them make up a model, and their content.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from pydantic import Field

from onetoall_cli.files import whole_file
from onetoall_cli.files.forms import Form, InsidePath, json_text, read_form
from onetoall_cli.hub.locking import locked
from onetoall_cli.hub.places import REPOSITORY, index_file, snapshot_folder

MAX_INDEX = 16 * 2**20  # bytes; an entry takes about 200 for each of its files
ADVICE = (
    "Update onetoall if a newer one wrote it; else delete it and run `onetoall fetch` again: files already in the "
    "cache are not downloaded twice."
)


class FileRecord(Form):
    """One file of a repository at a commit.

    Attributes:
        path: Path in the repository, with forward slashes.
        size: Size in bytes.
        digest: `sha256:<hex>` for large files, `git:<hex>` (git's blob hash) for small ones.
    """

    path: InsidePath
    size: int = Field(ge=0)
    digest: str = Field(pattern=r"^(sha256|git):[0-9a-f]{1,64}$")


class Snapshot(Form):
    """The files of a repository at a commit, as `fetch` installed them.

    Attributes:
        repository: `OWNER/REPO` or `datasets/OWNER/REPO`.
        revision: The branch, tag or commit that was asked for.
        pin: The catalogue's revision at that time; when it changes, the next fetch updates the entry.
        commit: The commit of `revision` when it was fetched; exactly this is loaded.
        files: Every file, with its hash.
    """

    repository: str = Field(pattern=REPOSITORY, max_length=200)
    revision: str
    pin: str
    commit: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    files: tuple[FileRecord, ...]


class Installed(Snapshot):
    """One catalogue entry as `fetch` installed it.

    Attributes:
        name: The entry's name, or `hf:OWNER/REPO`.
    """

    name: str = Field(exclude=True)  # the key it has in the index

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


class Index(Form):
    """The index file.

    Attributes:
        version: Of this form.
        installed: What is installed, by name.
    """

    version: Literal[1]
    installed: dict[str, Snapshot]


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
    stored = read_form(Index, path, advice=ADVICE, max_bytes=MAX_INDEX).installed
    return {name: Installed(name=name, **dict(snapshot)) for name, snapshot in stored.items()}


def record(entry: Installed) -> None:
    """Add or replace one entry."""
    with _index_lock():
        _write({**installed(), entry.name: entry})


def forget(name: str) -> None:
    """Remove one entry from the index; its files stay."""
    with _index_lock():
        _write({known: entry for known, entry in installed().items() if known != name})


def _write(entries: dict[str, Installed]) -> None:
    with whole_file(index_file()) as temporary:
        temporary.write_text(json_text(Index(version=1, installed=dict(entries))), encoding="utf-8")


def _index_lock() -> AbstractContextManager[None]:
    return locked(index_file().with_suffix(".lock"))

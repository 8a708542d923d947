"""Quantised copies on disk, and the manifest of each."""

from pathlib import Path

from pydantic import Field

from onetoall_cli.files.forms import Form, read_form
from onetoall_cli.hub import places
from onetoall_cli.hub.index import MAX_INDEX, FileRecord

COPY_MANIFEST = "onetoall.json"


class Manifest(Form):
    """What a quantised copy says of itself.

    Attributes:
        name, repository, commit: The original, as the index names it; None where unknown.
        precision: Of the copy.
        bitsandbytes: Version of the library that quantised it.
        files: Its files, with their hashes.
    """

    name: str | None
    repository: str | None
    commit: str | None
    precision: str = Field(pattern="^[a-z0-9]+$")
    bitsandbytes: str
    files: tuple[FileRecord, ...]


def all_copies() -> list[Path]:
    """The folders of all quantised copies on this machine."""
    return sorted(manifest.parent for manifest in places.copy_folder("").glob(f"[!.]*/{COPY_MANIFEST}"))


def has_copy(name: str, precision: str) -> bool:
    """Whether there is a quantised copy of the network `name`."""
    return (places.copy_folder(f"{name}-{precision}") / COPY_MANIFEST).is_file()


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a quantised copy.

    Raises:
        BadInput: The manifest is damaged.
    """
    advice = f"Delete the folder {folder} and convert again."
    return read_form(Manifest, folder / COPY_MANIFEST, advice=advice, max_bytes=MAX_INDEX)

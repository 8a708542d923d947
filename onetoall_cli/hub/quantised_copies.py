"""Quantised copies on disk, and the manifest of each."""

import json
from pathlib import Path
from typing import Any

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import places
from onetoall_cli.hub.index import FileRecord

COPY_MANIFEST = "onetoall.json"


def all_copies() -> list[Path]:
    """The folders of all quantised copies on this machine."""
    return sorted(manifest.parent for manifest in places.copy_folder("").glob(f"[!.]*/{COPY_MANIFEST}"))


def has_copy(name: str, precision: str) -> bool:
    """Whether there is a quantised copy of the network `name`."""
    return (places.copy_folder(f"{name}-{precision}") / COPY_MANIFEST).is_file()


def files_of_copy(folder: Path) -> tuple[FileRecord, ...]:
    """The files of a quantised copy according to its manifest."""
    return tuple(FileRecord(**file) for file in manifest_of(folder)["files"])


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of a quantised copy: `name`, `repository` and `commit` of the original, `precision`, `files`.

    Raises:
        BadInput: The manifest is damaged.
    """
    path = folder / COPY_MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {**content, "files": list(content["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged ({error!r}).", f"Delete the folder {folder} and convert again.") from error

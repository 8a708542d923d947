"""What a folder of ours is, and which files in it are ours: a list in each, so that nothing else is ever replaced."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any, Literal

from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import parse_json
from onetoall_cli.files.unfinished import is_working_folder

Kind = Literal["aligned input", "checkpoint", "demo", "frames", "model", "network", "OpenPose files", "test set"]
"""What a folder of ours is."""

CONTENTS = ".onetoall-files"  # in each folder we write: the names of everything in it that is ours
_MAX_CONTENTS = 64 * 10**6  # bytes of it that are read: a million frames
# What file managers put anywhere by themselves: it belongs to nobody, and stays.
_CLUTTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_RESOURCE_FORK = "._"  # how macOS begins the names of its own files on foreign disks


def check_ours(path: Path, kind: Kind) -> None:
    """Refuse to replace a folder that holds anything but an older `kind` of ours; one that is empty is fine.

    Raises:
        BadInput: It does, or is no folder.
    """
    real = Path(os.path.realpath(path))  # `gone/../here` is here, as it will be when it is written
    if not real.exists():
        return
    if not real.is_dir():
        raise BadInput(f"{path} is not a folder.", "Choose another name for the folder.")
    foreign = sorted(entries(real) - listed(real))
    if foreign:
        raise BadInput(
            f"{path} holds {foreign[0]}, which onetoall did not write.",
            "Choose another folder, or move yours out of it first.",
        )
    before = _read_list(real).get("kind")
    if entries(real) and before != kind:
        raise BadInput(f"{path} is a folder of another kind ({before}, not {kind}).", "Choose another, or remove it.")


def entries(folder: Path) -> set[str]:
    """Names of everything in a folder and below, relative, without its list of contents and without clutter."""
    found = set()
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_working_folder(name)]
        for name in (*folders, *files):
            if name not in _CLUTTER and not name.startswith(_RESOURCE_FORK):
                found.add(Path(place, name).relative_to(folder).as_posix())
    return found - {CONTENTS}


def write_list(folder: Path, kind: Kind, names: set[str], *, is_whole: bool = True) -> None:
    """Say in `folder` what it is, that `names` are ours, and whether all of them come from one run."""
    said = {"onetoall": "what onetoall wrote here", "kind": kind, "whole": is_whole, "files": sorted(names)}
    text = json.dumps(said, indent=0)
    (folder / CONTENTS).write_text(text + "\n", encoding="ascii")


def listed(folder: Path) -> set[str]:
    """The names in `folder` that are ours: its list, of which nothing else is believed."""
    names = _read_list(folder).get("files")
    if not isinstance(names, list):
        return set()
    # Some file systems store names in another normal form than they were given in.
    known = {_normal(name) for name in names if isinstance(name, str)}
    return {entry for entry in entries(folder) if _normal(entry) in known}


def check_whole(folder: Path) -> None:
    """Refuse to read a folder of ours in which a killed run left old files among its new ones.

    Raises:
        BadInput: It is one.
    """
    if _read_list(folder).get("whole") is False:
        raise BadInput(f"{folder} is half replaced: what wrote it was killed.", "Write the folder again.")


def _read_list(folder: Path) -> dict[str, Any]:
    file = folder / CONTENTS
    try:
        if file.is_symlink() or file.stat().st_size > _MAX_CONTENTS:
            return {}
        stored = parse_json(file.read_bytes(), source=str(file), advice="", max_bytes=_MAX_CONTENTS)
    except (OSError, BadInput):
        return {}
    return stored if isinstance(stored, dict) else {}


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)

"""Removal of installed entries: of their files, those that no other installed entry uses."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import places
from onetoall_cli.hub.catalogue import Catalogue
from onetoall_cli.hub.index import Installed, forget, installed
from onetoall_cli.hub.quantised_copies import all_copies


def remove(names: Iterable[str], catalogue: Catalogue) -> int:
    """Remove entries, quantised copies and unfinished downloads of entries.

    An entry that another installed model needs, such as the VAE, is refused. It also stays when the last model that
    needs it is removed; `fetch --list` shows it.

    Args:
        names: Entries, groups or quantised copies.
        catalogue: The catalogue.

    Returns:
        Bytes freed.

    Raises:
        BadInput: An entry is not installed, or an installed model needs it.
    """
    names = list(dict.fromkeys(member for name in names for member in catalogue.groups.get(name, (name,))))
    _check_removable(names, catalogue)
    freed = 0
    for name in names:
        for own in (places.copy_folder(name), places.derived_folder(name)):
            if own.is_dir():
                freed += _size(own)
                shutil.rmtree(own)
        known = installed().get(name)
        if known is not None:
            forget(name)
            freed += release(known)
    return freed


def _check_removable(names: list[str], catalogue: Catalogue) -> None:
    known = installed()
    for name in names:
        if name not in known and not places.copy_folder(name).is_dir():
            raise BadInput(f"'{name}' is not installed.", "`onetoall fetch --list` shows what is.")
        users = [user for user in dependants(name, catalogue) if user not in names]
        if users:
            raise BadInput(
                f"'{name}' is needed by {', '.join(users)}.", f"Remove {'these' if len(users) > 1 else users[0]} too."
            )


def dependants(name: str, catalogue: Catalogue) -> list[str]:
    """Installed models, including quantised copies, that do not work without `name`."""
    known = installed()
    users = []
    for user in catalogue.needed_by(name):
        if user in known:
            users.append(user)
        users += copies_of(user)
    if name in catalogue.shared_parts:
        bare = [other for other in known.values() if other.name not in catalogue.entries and _is_bare(other)]
        users += [other.name for other in bare]
    return users


def copies_of(name: str) -> list[str]:
    """Names of the quantised copies of a network."""
    return [folder.name for folder in all_copies() if folder.name.rpartition("-")[0] == name]


def _is_bare(known: Installed) -> bool:
    return not any(file.path == "model_index.json" for file in known.files)


def release(known: Installed) -> int:
    """Delete the files of an entry that no other installed entry uses.

    Returns:
        Bytes freed.
    """
    used = {
        (other.repository, other.commit, file.path)
        for other in installed().values()
        if other != known
        for file in other.files
    }
    still_linked = _contents_in_use(known, used)
    freed = 0
    for file in known.files:
        partial = places.repository_folder(known.repository) / "blobs" / f"{file.digest.partition(':')[2]}.incomplete"
        partial.unlink(missing_ok=True)
        placed = known.folder / file.path
        if (known.repository, known.commit, file.path) in used or not placed.exists():
            continue
        if placed.resolve() in still_linked:
            placed.unlink()
        else:
            freed += placed.stat().st_size
            discard(placed)
    _prune_empty_folders(known.folder)
    return freed


def discard(placed: Path) -> None:
    """Remove a file from a snapshot, and the content it links to, inside the hub cache only."""
    chain = [placed]
    while chain[-1].is_symlink():
        chain.append(Path(os.path.normpath(chain[-1].parent / os.readlink(chain[-1]))))
    cache = places.hub_cache()
    for path in chain:
        if path.is_relative_to(cache):
            path.unlink(missing_ok=True)


def _contents_in_use(known: Installed, used: set[tuple[str, str, str]]) -> set[Path]:
    """The blobs to which other snapshots or other entries' files in this snapshot link."""
    own = {known.folder / file.path for file in known.files if (known.repository, known.commit, file.path) not in used}
    snapshots = known.folder.parent
    return {path.resolve() for path in snapshots.rglob("*") if path.is_symlink() and path not in own}


def _prune_empty_folders(snapshot: Path) -> None:
    folders = sorted((path for path in snapshot.rglob("*") if path.is_dir()), reverse=True)
    for folder in [*folders, snapshot]:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def drop_original(name: str) -> int:
    """Remove a network but keep its quantised copy, and the entries that the copy needs.

    Returns:
        Bytes freed.
    """
    known = installed().get(name)
    if known is None:
        return 0
    forget(name)
    return release(known)

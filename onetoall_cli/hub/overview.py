"""The list of all models and their state on this machine, for `fetch --list` and `doctor`."""

from dataclasses import dataclass
from pathlib import Path

from onetoall_cli.hub.catalogue import Catalogue, Entry
from onetoall_cli.hub.index import Installed, installed
from onetoall_cli.hub.quantised_copies import all_copies, manifest_of
from onetoall_cli.hub.remove import dependants


@dataclass(frozen=True)
class Row:
    """One line of the list.

    Attributes:
        name: The name for `fetch`, `--model` and `--remove`.
        kind: The kind in the catalogue; "quantised copy" for copies made on this machine.
        title: A description of a few words.
        state: "installed", "incomplete" or "not installed".
        size: Bytes on disk if installed, else bytes to download.
        size_is: "exact", "derived" or "estimate".
        repository, revision, commit: Its origin; None where unknown.
        licence: The licence as its authors state it.
        needed_by: Installed models that do not work without it.
        path: Its folder; None if it is not installed.
    """

    name: str
    kind: str
    title: str
    state: str
    size: int | None
    size_is: str
    repository: str
    revision: str | None
    commit: str | None
    licence: str
    needed_by: tuple[str, ...]
    path: Path | None


def overview(catalogue: Catalogue) -> list[Row]:
    """All entries of the catalogue, other installed entries, and quantised copies."""
    known = installed()
    rows = [_row(entry, known.get(name), catalogue) for name, entry in catalogue.entries.items()]
    others = [entry for name, entry in known.items() if name not in catalogue.entries]
    rows += [_unlisted_row(entry) for entry in others]
    rows += [_copy_row(folder) for folder in all_copies()]
    return rows


def _row(entry: Entry, known: Installed | None, catalogue: Catalogue) -> Row:
    return Row(
        name=entry.name,
        kind=entry.kind,
        title=entry.title,
        state=_state(known),
        size=known.size if known else entry.size,
        size_is="exact" if known else entry.size_is,
        repository=known.repository if known else entry.repository,
        revision=known.revision if known else entry.revision,
        commit=known.commit if known else None,
        licence=entry.licence,
        needed_by=tuple(dependants(entry.name, catalogue)),
        path=known.folder if known else None,
    )


def _unlisted_row(known: Installed) -> Row:
    return Row(
        name=known.name,
        kind="model",
        title="named by its repository" if known.name.startswith("hf:") else "no longer in the catalogue",
        state=_state(known),
        size=known.size,
        size_is="exact",
        repository=known.repository,
        revision=known.revision,
        commit=known.commit,
        licence="see the repository",
        needed_by=(),
        path=known.folder,
    )


def _copy_row(folder: Path) -> Row:
    manifest = manifest_of(folder)
    return Row(
        name=folder.name,
        kind="quantised copy",
        title=f"{manifest.name} as {manifest.precision}",
        state="installed" if all((folder / file.path).is_file() for file in manifest.files) else "incomplete",
        size=sum(file.size for file in manifest.files),
        size_is="exact",
        repository=manifest.repository or "unknown",
        revision=None,
        commit=manifest.commit,
        licence="as the original",
        needed_by=(),
        path=folder,
    )


def _state(known: Installed | None) -> str:
    if known is None:
        return "not installed"
    return "incomplete" if known.missing() else "installed"

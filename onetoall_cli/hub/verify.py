"""Verification of installed files: hash every file and compare it with the record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import digest
from onetoall_cli.hub.index import FileRecord, Installed, installed
from onetoall_cli.hub.quantised_copies import all_copies, manifest_of
from onetoall_cli.hub.remove import discard


@dataclass(frozen=True)
class DamagedFile:
    """A file that differs from its record.

    Attributes:
        name: The entry or quantised copy it belongs to.
        path: The file.
        problem: What is wrong: "missing", "12 bytes instead of 40" or "other content".
    """

    name: str
    path: Path
    problem: str


@dataclass(frozen=True)
class _Checked:
    name: str
    folder: Path
    files: tuple[FileRecord, ...]


def verify(
    names: Iterable[str] = (), *, progress: Callable[[int, int | None], None] | None = None
) -> tuple[list[str], list[DamagedFile]]:
    """Hash every file of installed entries and quantised copies.

    Args:
        names: Names to verify; none for all.
        progress: Called with (bytes hashed, all bytes).

    Returns:
        The verified names, and the damaged files.

    Raises:
        BadInput: A name is not installed.
    """
    checked = _wanted(list(names))
    total = sum(file.size for each in checked for file in each.files)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    damaged = []
    for each in checked:
        for file in each.files:
            problem = _problem(each.folder / file.path, file, advance)
            if problem:
                damaged.append(DamagedFile(each.name, each.folder / file.path, problem))
    return [each.name for each in checked], damaged


def _wanted(names: list[str]) -> list[_Checked]:
    everything = [_Checked(known.name, known.folder, known.files) for known in installed().values()]
    everything += [_Checked(folder.name, folder, manifest_of(folder).files) for folder in all_copies()]
    known_names = [each.name for each in everything]
    for name in names:
        if name not in known_names:
            raise BadInput(f"'{name}' is not installed.", f"Installed: {', '.join(known_names) or 'nothing'}.")
    return [each for each in everything if not names or each.name in names]


def _problem(path: Path, file: FileRecord, advance: Callable[[int], None]) -> str | None:
    if not path.is_file():
        advance(file.size)
        return "missing"
    size = path.stat().st_size
    if size != file.size:
        advance(file.size)
        return f"{size} bytes instead of {file.size}"
    return None if digest.is_intact(path, file, advance) else "other content"


def delete_damaged(damaged: Iterable[DamagedFile]) -> list[Installed]:
    """Delete damaged files, so that they can be fetched again.

    Returns:
        The entries to fetch again (see `plan_repair`).

    Raises:
        BadInput: A file of a quantised copy is damaged, which cannot be fetched.
    """
    damaged = list(damaged)
    known = installed()
    for file in damaged:
        if file.name not in known:
            base, _, precision = file.name.rpartition("-")
            raise BadInput(
                f"The quantised copy '{file.name}' is damaged ({file.path}: {file.problem}).",
                f"Make it again: `onetoall fetch {base} --quantize {precision} --overwrite`.",
            )
    for file in damaged:
        discard(file.path)
    return [known[name] for name in dict.fromkeys(file.name for file in damaged)]

"""Output files and folders that appear whole or not at all, and never in place of what is not ours.

Everything grows in a hidden folder beside its place (a rename across file systems is not atomic) and is renamed once
it is complete. Links are followed; what is a pipe or a device is written into, not replaced.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from tempfile import gettempdir

from onetoall_cli.errors import BadInput
from onetoall_cli.files.contents import CONTENTS, Kind, check_ours, entries, listed, write_list
from onetoall_cli.files.streams import copy_to_stream, ending_of, is_output_stream
from onetoall_cli.files.unfinished import is_working_folder, refusals, working_folder

_Move = Callable[[], None]
_batch: ContextVar[tuple[list[_Move], ExitStack] | None] = ContextVar("batch", default=None)


@contextmanager
def whole_file(path: Path, *, ending: str = "") -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on any exception it is removed.

    A link is followed: its target is written. A pipe, a device or `-` (standard output) gets the contents at the end.

    Args:
        path: The output. The temporary path has the same ending, since encoders choose the container by it.
        ending: Of the temporary path where a stream has none.

    Raises:
        BadInput: `path` is a folder or cannot be written.
        OutOfResources: The disk is full.
    """
    path = Path(path)
    if _is_unfinished(path):
        yield path
        return
    is_stream = is_output_stream(path)
    target = path if is_stream else Path(os.path.realpath(path))
    if not is_stream:
        _check_replaceable(target, path)
    with ExitStack() as stack:
        folder = stack.enter_context(working_folder(Path(gettempdir()) if is_stream else target.parent))
        temporary = folder / f"whole{ending_of(path, ending)}"
        yield temporary
        with refusals(folder.parent):  # the folder may have been removed meanwhile
            _make_ordinary(temporary)  # some libraries make private files
        move = partial(copy_to_stream, temporary, path) if is_stream else partial(_place_file, temporary, target, path)
        _place(move, stack)


@contextmanager
def whole_folder(path: Path, kind: Kind) -> Iterator[Path]:
    """Yield a temporary folder; on success its files become those of `path`, on any exception it is removed.

    A folder that was there stays, and only what we had written in it goes, once the new one is complete. A list of
    what is ours is kept inside (`CONTENTS`).

    Args:
        path: The output.
        kind: What it is; a folder of another kind is not replaced.

    Raises:
        BadInput: `path` is no folder, is one of another kind or holds what we did not write, or cannot be written.
        OutOfResources: The disk is full.
    """
    path = Path(path)
    if _is_unfinished(path):
        path.mkdir()
        yield path
        return
    target = Path(os.path.realpath(path))
    check_ours(path, kind)
    with ExitStack() as stack:  # in the folder itself where it is there: it may be another disk
        temporary = stack.enter_context(working_folder(target if target.is_dir() else target.parent)) / "whole"
        temporary.mkdir()
        yield temporary
        with refusals(path):
            write_list(temporary, kind, entries(temporary))
            _make_ordinary(temporary, *temporary.rglob("*"))
        _place(partial(_place_folder, temporary, target, kind), stack)


@contextmanager
def together() -> Iterator[None]:
    """Outputs finished inside the block are put in place when it ends, one by one; on any exception none is."""
    with ExitStack() as folders:
        moves: list[_Move] = []
        token = _batch.set((moves, folders))
        try:
            yield
        finally:
            _batch.reset(token)
        for move in moves:
            move()


def _is_unfinished(path: Path) -> bool:
    """Whether `path` lies in a folder that is being written, so that nobody sees it before it is complete."""
    return any(is_working_folder(part) for part in path.parts[:-1])


def _place(move: _Move, folder: ExitStack) -> None:
    """Put a finished output in place: now, or with the others of its batch, for which its folder then stays."""
    batch = _batch.get()
    if batch is None:
        move()
        return
    moves, folders = batch
    moves.append(move)
    folders.push(folder.pop_all())


def _place_file(temporary: Path, target: Path, path: Path) -> None:
    _check_replaceable(target, path)
    with refusals(target.parent):
        os.replace(temporary, target)


def _check_replaceable(target: Path, path: Path) -> None:
    """Refuse what is no ordinary file; `path` is how the user calls it."""
    try:
        mode = os.lstat(target).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise BadInput(f"{path} is a folder.", "Give the name of a file.")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path} is no ordinary file.", "Give another name.")


def _place_folder(temporary: Path, target: Path, kind: Kind) -> None:
    """Move a finished folder to its place: into the one that is there, file by file, if there is one."""
    with refusals(target):
        if not target.exists():
            os.replace(temporary, target)
            return
        new, old = entries(temporary), listed(target)
        _check_not_taken(new, old, target)
        union = temporary.with_name("union")
        union.mkdir()
        write_list(union, kind, new | old, is_whole=False)
        os.replace(union / CONTENTS, target / CONTENTS)  # killed from here on, the folder is ours, and says it is mixed
        for name in sorted(new):  # a folder before what is in it
            _move(temporary / name, target / name)
        for name in sorted(old - new, reverse=True):
            _remove(target / name)
        os.replace(temporary / CONTENTS, target / CONTENTS)


def _check_not_taken(new: set[str], old: set[str], target: Path) -> None:
    """Refuse to write over what somebody put into the folder while its new files were made."""
    taken = sorted((new - old) & entries(target))
    if taken:
        raise BadInput(f"{target} meanwhile holds a {taken[0]} of somebody else.", "Choose another folder.")


def _move(source: Path, target: Path) -> None:
    """Move a file over what is there; a folder is made, and its files follow."""
    if source.is_symlink() or not source.is_dir():
        os.replace(source, target)
        return
    if target.is_symlink():
        target.unlink()  # what it points at is somebody else's
    target.mkdir(exist_ok=True)


def _remove(path: Path) -> None:
    """Remove a file or link, or a folder if it is empty."""
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):  # somebody has put something in meanwhile
            path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _make_ordinary(*paths: Path) -> None:
    """Give new files and folders the permissions that any output of this user has; not what links point at."""
    umask = os.umask(0)
    os.umask(umask)
    for path in paths:
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)

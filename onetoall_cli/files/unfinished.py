"""Hidden folders in which outputs grow, beside where they belong, and the sweeping of those that killed runs left.

Each holds a locked file for as long as its process lives. The system frees the lock whatever ends the process, where
a process number in a name might by then be somebody else's.
"""

import logging
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from onetoall_cli.errors import BadInput, ran_out

try:
    import fcntl
except ImportError:  # Windows: nothing can be told about who wrote, so nothing is swept
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = ".onetoall-", ".part"
LOCK = "lock"
_NAME = re.compile(re.escape(PREFIX) + r"\w{8}" + re.escape(SUFFIX))  # the middle is `mkdtemp`'s
_OTHER_HOST_AGE = 24 * 3600.0  # seconds without change; locks of another host may not reach us (sshfs)
_TRIES = 10  # a sweeper may take a new folder before its owner has locked it

_log = logging.getLogger(__name__)


@contextmanager
def working_folder(beside: Path) -> Iterator[Path]:
    """A new hidden folder in the folder `beside`, on whose file system it therefore is; removed when the block ends.

    What killed runs left in `beside` is swept first.

    Raises:
        BadInput: Nothing can be made in `beside`.
        OutOfResources: Its disk is full.
    """
    with refusals(beside):
        sweep(beside)
        folder, lock = _locked_folder(beside)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)  # what cannot go now, the next run sweeps


def place_durably(unfinished: Path, target: Path) -> None:
    """Rename a complete file to its place, so that after a power cut it is there with its contents, or not at all."""
    with open(unfinished, "rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, target)
    with suppress(OSError):  # Windows opens no folders
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_working_folder(name: str) -> bool:
    """Whether a file name is that of a working folder."""
    return _NAME.fullmatch(name) is not None


@cache
def sweep(folder: Path) -> None:
    """Remove the working folders of runs that are gone; looks once in each folder, and says so in the log."""
    try:
        names = [name for name in os.listdir(folder) if is_working_folder(name)]
    except OSError:
        return  # who writes here says what is wrong
    for name in names:
        if remove_if_left(folder / name):
            _log.info("Removed %s, which a run that was killed had left.", folder / name)


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """Say in our words why nothing can be written in `folder`."""
    try:
        yield
    except BrokenPipeError:
        raise  # who read our output has seen enough
    except OSError as error:
        if (shortage := ran_out(error.errno, folder)) is not None:
            raise shortage from error
        raise BadInput(f"Cannot write in {folder}: {error.strerror}.", "Choose another place.") from error


def _locked_folder(beside: Path) -> tuple[Path, int]:
    """A new working folder and its lock, an open file."""
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(dir=beside, prefix=PREFIX, suffix=SUFFIX))
        lock, _ = lock_new(folder)
        if lock is not None:
            return folder, lock
    raise BadInput(f"Another program keeps deleting what is written in {beside}.", "Choose another place.")


def lock_new(folder: Path) -> tuple[int | None, bool]:
    """The lock of a working folder made just now, and whether its file system has locks; None: a sweeper took it."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        locked = _lock(lock)
        if locked is not False and folder.exists():
            os.write(lock, f"{platform.node()} {os.getpid()}".encode())
            return lock, bool(locked)
        os.close(lock)
    except FileNotFoundError:
        pass
    except BaseException:  # an interrupt leaves nothing
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return None, True


def _lock(descriptor: int) -> bool | None:
    """Whether an open file could be locked; None where its file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def remove_if_left(folder: Path) -> bool:
    """Remove a working folder whose owner is gone; False for one that may be in use, or is not ours to remove."""
    if folder.is_symlink():
        return False
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:  # killed before there was a lock, and so empty; or made just now: its owner tries again
        with suppress(OSError):
            folder.rmdir()
        return not folder.exists()
    except OSError:
        return False
    try:
        if not _lock(lock):
            return False
        host, _ = owner(lock)
        if host not in ("", platform.node()) and time.time() - _last_change(folder) < _OTHER_HOST_AGE:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        os.close(lock)


def owner(lock: int) -> tuple[str, str]:
    """The computer and the process that hold a working folder; "" where its lock does not say."""
    host, _, process = os.pread(lock, 1000, 0).decode(errors="replace").partition(" ")
    return host, process


def _last_change(folder: Path) -> float:
    """When anything in `folder` last changed, seconds since the epoch."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))

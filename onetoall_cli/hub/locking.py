"""Locks between processes that change what is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from onetoall_cli.files.unfinished import refusals
from onetoall_cli.hub.places import check_home


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, whose folder is made; if another process has it, call `waiting` and wait for it.

    Raises:
        BadInput: It cannot be made; or there is no home to make it in.
        OutOfResources: The disk is full.
    """
    check_home(path)
    lock = FileLock(path)
    with refusals(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()

"""Claims: while a command runs, nobody else begins to make the same output.

A claim is a working folder beside the output whose name is made of the output's, so that there is one for all
processes. Like any of them it is swept when its process is gone.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.files.unfinished import LOCK, PREFIX, SUFFIX, lock_new, owner, refusals, remove_if_left

_TRIES = 10  # a sweeper may take a claim before it is locked
_claims: ContextVar[ExitStack | None] = ContextVar("claims", default=None)


@contextmanager
def claims() -> Iterator[None]:
    """Hold what is claimed inside the block until it ends."""
    with ExitStack() as held:
        token = _claims.set(held)
        try:
            yield
        finally:
            _claims.reset(token)


def claim(folder: Path, name: str, shown: Path) -> None:
    """Be the only one who makes the entry `name` of `folder`; outside `claims`, and without locks, nobody is.

    Args:
        folder: Where it will be made.
        name: Its name there.
        shown: What the user calls it.

    Raises:
        BadInput: Another process makes it now.
    """
    held = _claims.get()
    place = folder / f"{PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{SUFFIX}"
    with refusals(folder):
        for _ in range(_TRIES if held is not None and os.name == "posix" else 0):
            try:
                place.mkdir(mode=0o700)
            except FileExistsError:
                if not remove_if_left(place):
                    advice = "Wait for it, or choose another name."
                    raise BadInput(f"{shown} is being made by another onetoall{_holder(place)}.", advice) from None
                continue
            lock, is_exclusive = lock_new(place)
            if lock is not None:
                claimed = ExitStack()
                claimed.callback(shutil.rmtree, place, ignore_errors=True)
                claimed.callback(os.close, lock)
                if held is not None and is_exclusive:
                    held.push(claimed.pop_all())
                claimed.close()
                return


def _holder(place: Path) -> str:
    try:
        with open(place / LOCK, "rb") as lock:
            host, process = owner(lock.fileno())
    except OSError:
        return ""
    where = "" if host == platform.node() else f" on {host}"
    return f" (process {process}{where})" if process else ""

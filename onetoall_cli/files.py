"""Output files and folders that appear whole or not at all.

Everything is written under a temporary name in the target's own folder (a rename across file systems is
not atomic) and renamed once it is complete.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onetoall_cli.errors import BadInput, OutOfResources


def check_output(path: Path, *, overwrite: bool) -> None:
    """Fail early, before any work, if `path` cannot become an output.

    Raises:
        BadInput: it exists and `overwrite` is off, or its folder is missing or not writable.
    """
    if path.exists() and not overwrite:
        raise BadInput(f"{path} already exists.", "Pass --overwrite to replace it, or another name with -o.")
    folder = path.parent
    if not folder.is_dir():
        raise BadInput(f"The output folder {folder} does not exist.", "Create it, or choose another with -o.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"The output folder {folder} is not writable.", "Choose another with -o.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on any exception removed.

    The temporary name keeps the suffix, since encoders choose the container by it.
    """
    path = Path(path)
    if path.is_dir():
        raise BadInput(f"{path} is a folder.", "Give the name of a file.")
    with _refusals(path.parent):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=f".part{path.suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _make_ordinary(temporary)  # mkstemp makes private files
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place, on any exception it is removed.

    An existing folder at `path` is replaced only once the new one is complete.
    """
    path = Path(path)
    with _refusals(path.parent):
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield temporary
        _make_ordinary(temporary, *temporary.rglob("*"))  # mkdtemp and safetensors make private ones
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-old-"))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def _make_ordinary(*paths: Path) -> None:
    """Give new files and folders the permissions that any output of this user has; not what links point at."""
    umask = os.umask(0)
    os.umask(umask)
    for path in paths:
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    """Say in our words why nothing can be made in `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfResources(
                f"The disk that holds {folder} is full.", "Free some space, or choose another place."
            ) from error
        raise BadInput(f"Cannot write in {folder}: {error.strerror}.", "Choose another place.") from error

"""Output files and folders that appear whole or not at all.

Everything is written under a temporary name in the target's own folder (a rename across file systems is
not atomic) and renamed once it is complete.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onetoall_cli.errors import BadInput


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
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=f".part{path.suffix}")
    except OSError as error:
        raise BadInput(f"Cannot write in {path.parent}: {error.strerror}.", "Choose another place with -o.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; an output is an ordinary one
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place, on any exception it is removed.

    An existing folder at `path` is replaced only once the new one is complete.
    """
    path = Path(path)
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    except OSError as error:
        raise BadInput(f"Cannot write in {path.parent}: {error.strerror}.", "Choose another place with -o.") from error
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
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

"""Errors of media files, in the user's words.

Two context managers turn errors of PyAV, Pillow and the operating system into `OnetoallError`s.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from onetoall_cli.errors import BadInput, OutOfResources, ran_out


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what goes wrong while reading `path` into `BadInput`.

    Args:
        kind: What it was to be, for the sentence: "video", "picture".
    """
    try:
        yield
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist.", "Check the name and the folder.") from error
    except PermissionError as error:
        raise BadInput(f"{path} may not be read.", "Change its permissions, or copy it.") from error
    except MemoryError as error:
        raise OutOfResources(f"{path} is too large for this machine's memory.", "Use a smaller one.") from error
    except (av.FFmpegError, OSError) as error:
        if (shortage := ran_out(error.errno)) is not None:
            raise shortage from error
        advice = f"Check that it is a {kind} and that it plays; if its end is missing, copy or download it again."
        raise BadInput(f"{path} cannot be read as a {kind} ({_reason(error)}).", advice) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while writing `path` into `OutOfResources` or `BadInput`."""
    try:
        yield
    except BrokenPipeError:
        raise  # who read our output has seen enough
    except (av.FFmpegError, OSError) as error:
        if (shortage := ran_out(error.errno, path)) is not None:
            raise shortage from error
        raise BadInput(f"{path} cannot be written ({_reason(error)}).", "Choose another place with -o.") from error


def _reason(error: Exception) -> str:
    """The library's own short reason, without the path it repeats."""
    return str(getattr(error, "strerror", None) or error)

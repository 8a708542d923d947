"""Errors that a user can cause. Each has a sentence about the problem and a sentence of advice.

The command line prints them without a traceback and exits with `exit_code`; Python callers catch `OnetoallError`.
"""

import errno
from collections.abc import Sequence

from onetoall_cli.display_text import MESSAGE, displayed

_TOO_MANY = (errno.EAGAIN, errno.EMFILE, errno.ENFILE)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OnetoallError(Exception):
    """Base of all errors caused by the input or the machine.

    All of it is kept safe to show (see `display_text`), whatever names and values stand in it.

    Args:
        problem: One sentence that names the wrong file, option or value.
        advice: One sentence of advice.
        details: Where several things are wrong: a line for each.
    """

    exit_code = 2

    def __init__(self, problem: str, advice: str, details: Sequence[str] = ()) -> None:
        self.problem = displayed(problem, MESSAGE)
        self.advice = displayed(advice, MESSAGE)
        self.details = tuple(displayed(line, MESSAGE) for line in details)
        super().__init__(f"{self.problem} {self.advice}")


class BadInput(OnetoallError):
    """A file, option or value that cannot be used (exit code 2)."""


class ModelMissing(OnetoallError):
    """A model that is not on this machine, or incomplete (exit code 3)."""

    exit_code = 3


class OutOfResources(OnetoallError):
    """Not enough memory or disk (exit code 4)."""

    exit_code = 4


def is_disk_full(number: int | None) -> bool:
    """Whether an `errno` says that there was no room to write: a full disk, a spent quota, a limit of files' sizes."""
    return number in _DISK_FULL


def ran_out(number: int | None, place: object = "") -> OutOfResources | None:
    """The error that an `errno` amounts to where the machine has run out of something; None: it has not.

    Args:
        number: Of an `OSError`, or of an error of ffmpeg.
        place: What was being written, if anything was.
    """
    if is_disk_full(number):
        problem = f"The disk is full: {place} cannot be written." if place else "The disk is full."
        return OutOfResources(problem, "Free some space, or write to another disk.")
    if number in _TOO_MANY:
        return OutOfResources("The system starts no more processes or opens no more files.", "Close other programs.")
    if number == errno.ENOMEM:
        return OutOfResources(
            "Memory ran out.", "Try a smaller --short-side or --segment-frames, or close other programs."
        )
    return None

"""Errors a user can cause. Each says what is wrong in one sentence and what to do in another.

The command line prints them without a traceback and exits with `exit_code`; Python callers catch `OnetoallError`.
"""


class OnetoallError(Exception):
    """Base of every error that is the input's or the machine's, not the program's.

    Args:
        problem: One sentence: what is wrong, naming the file, option or value at fault.
        advice: One sentence: what to do about it.
    """

    exit_code = 2

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem} {advice}")
        self.problem = problem
        self.advice = advice


class BadInput(OnetoallError):
    """A file, option or value that cannot be used (exit code 2)."""


class ModelMissing(OnetoallError):
    """A model that is not on this machine, or not whole (exit code 3)."""

    exit_code = 3


class OutOfResources(OnetoallError):
    """Not enough memory or disk (exit code 4)."""

    exit_code = 4

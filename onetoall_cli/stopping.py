"""SIGINT and SIGTERM end a run by an exception, so that what is unfinished is removed.

While the program itself is being imported they are only remembered: nothing has begun that needs an end at once, and
libraries swallow what is raised inside their imports.
"""

import signal
from collections.abc import Callable

_came: int | None = None  # the signal that asked this run to end


class Stop(BaseException):
    """A signal asked this run to end. No `KeyboardInterrupt`, which Typer would end in its own way."""


def remember_signals() -> None:
    """Do nothing yet when a signal comes; `raise_signals` follows."""
    _handle(_remember)


def raise_signals() -> None:
    """From now on raise `Stop` when a signal comes, and at once if one has come already."""
    _handle(stop_on_signal)
    raise_if_stopped()


def ignore_signals() -> None:
    """The run is over; what remains is to say so."""
    _handle(signal.SIG_IGN)


def stop_on_signal(signum: int, frame: object) -> None:
    """Signal handler: end the run."""
    _remember(signum, frame)
    raise_if_stopped()


def raise_if_stopped() -> None:
    """Raise again if a signal came: some libraries swallow what is raised inside them."""
    if _came is not None:
        raise Stop


def signal_that_came() -> int | None:
    """Number of the signal that asked this run to end; None: none has."""
    return _came


def _remember(signum: int, frame: object) -> None:
    global _came
    _came = signum


def _handle(handler: Callable[[int, object], None] | signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # `nohup` and background jobs of scripts ignore it
        signal.signal(signal.SIGINT, handler)

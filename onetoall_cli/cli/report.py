"""What a command tells its user: notes and progress on stderr, one result on stdout, errors in two sentences.

This is the only module that prints. Exit codes: 0 done, 1 a bug in onetoall, 2 bad input, 3 model missing,
4 not enough memory or disk, 130 interrupted (143 terminated).
"""

import errno
import functools
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import typer

from onetoall_cli.animator.progress import Listener, Stage
from onetoall_cli.cli.progress_display import BarProgress, JsonProgress, Show
from onetoall_cli.display_text import MESSAGE, displayed, displayed_lines
from onetoall_cli.errors import OnetoallError, OutOfResources
from onetoall_cli.runtime.shortage import is_out_of_memory

Function = TypeVar("Function", bound=Callable[..., Any])

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE
BUG = 1


_stop_signal: int | None = None  # the SIGINT or SIGTERM that came, if one did


def stop_on_signal(signum: int, frame: object) -> None:
    """Signal handler: end the run by an exception, so that unfinished outputs are removed."""
    global _stop_signal
    _stop_signal = signum
    raise_if_stopped()


def raise_if_stopped() -> None:
    """Raise again if a signal came: some libraries swallow what is raised while they are being imported."""
    if _stop_signal == signal.SIGINT:
        raise KeyboardInterrupt
    if _stop_signal is not None:
        sys.exit(code_of_signal())


def code_of_signal() -> int | None:
    """The exit code of the signal that came to stop this run, None if none did."""
    return None if _stop_signal is None else 128 + _stop_signal


def leave_stdout() -> None:
    """Print results and errors on stderr from now on: standard output carries the output itself."""
    sys.stdout = sys.stderr


class Report:
    """The voice of one command run.

    Args:
        quiet: No notes and no progress; errors and the `--json` line still appear.
        verbose: Also details and the libraries' own log lines.
        as_json: The result is one JSON object on one line of stdout instead of prose.
        progress: "auto": bars where stderr is a terminal. "json": everything on stderr is one JSON object a line, notes
            and errors too. "none": no progress.
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, as_json: bool = False, progress: str = "auto"
    ) -> None:
        from rich.console import Console

        self.quiet, self.verbose, self.as_json = quiet, verbose, as_json
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._in_lines = progress == "json" and not quiet
        self._show: Show | None = None
        if self._in_lines:
            self._show = JsonProgress(self._line)
        elif progress == "auto" and not quiet and self.console.is_terminal:
            self._show = BarProgress(self.console)
        _route_logging(self.console, quiet=quiet, verbose=verbose)

    @property
    def listener(self) -> Listener:
        """For the library: notes and progress as this report shows them. Ends the run where a signal came."""
        return Listener(self.note, self.progress)

    def note(self, text: str) -> None:
        """One line on stderr, unless `--quiet`."""
        text = displayed_lines(text)
        if self._in_lines:
            self._line(note=text)
        else:
            self.console.print(text, markup=False)

    def detail(self, text: str) -> None:
        """One line on stderr with `--verbose`."""
        if self.verbose:
            self.note(text)

    def progress(self, stage: Stage, done: int, total: int | None) -> None:
        """How far a stage has come."""
        raise_if_stopped()
        if self._show is not None:
            self._show.update(stage, done, total)

    def counter(self, title: str, unit: Literal["bytes", "frames", "steps"]) -> Callable[[int, int | None], None]:
        """`progress` of a stage of this name."""
        return self.listener.counter(Stage(title, unit))

    def result(self, text: str, **fields: Any) -> None:
        """What came of it: `fields` as one JSON line with `--json`, else `text`, on stdout."""
        self.close()
        if self.as_json:
            print(json.dumps(fields, default=_plain), flush=True)
        elif not self.quiet:
            print(displayed_lines(text), flush=True)

    def close(self) -> None:
        """Take the bars off the terminal; what comes next may begin new ones."""
        if self._show is not None:
            self._show.close()

    def _line(self, **fields: Any) -> None:
        print(json.dumps(fields, default=_plain), file=sys.stderr, flush=True)


def reported(function: Function) -> Function:
    """Wrap a subcommand so that whatever goes wrong ends in a clear line and the documented exit code.

    The command's `as_json` and `verbose` arguments, where it has them, decide the form.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # whoever read our output (`| head`) has seen enough; Python must not write to it again on its way out
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = BROKEN_PIPE
        except KeyboardInterrupt:
            code = _complain_of_interrupt(INTERRUPTED, kwargs)
        except Exception as error:
            known = as_user_error(error)
            stopped = code_of_signal()
            if stopped is not None:  # libraries turn what is raised inside them into errors of their own
                code = _complain_of_interrupt(stopped, kwargs)
            elif known is not None:
                code = _complain(known.problem, known.advice, known.exit_code, kwargs)
            else:
                if kwargs.get("verbose"):
                    traceback.print_exc()
                code = _complain(
                    displayed(f"onetoall hit a bug: {type(error).__name__}: {error}", MESSAGE),
                    "Please report it with the output of the same command under --verbose.",
                    BUG,
                    kwargs,
                )
        raise typer.Exit(code)

    return run  # type: ignore[return-value]


def as_user_error(error: BaseException) -> OnetoallError | None:
    """The `OnetoallError` that `error` is or amounts to (a full disk, no memory left), or None for a bug."""
    if isinstance(error, OnetoallError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfResources("The disk is full.", "Free some space and run the command again.")
    if is_out_of_memory(error):
        return OutOfResources(
            "Memory ran out.", "Try a smaller --short-side or --segment-frames, or close other programs."
        )
    return None


def _complain_of_interrupt(code: int, options: dict[str, Any]) -> int:
    return _complain("Interrupted.", "", code, options)


def _complain(problem: str, advice: str, code: int, options: dict[str, Any]) -> int:
    line = json.dumps({"error": problem, "advice": advice, "exit_code": code})
    if options.get("as_json"):
        print(line, flush=True)
    if options.get("progress") == "json":
        print(line, file=sys.stderr, flush=True)
    else:
        _print_error(problem, advice)
    return code


def _print_error(problem: str, advice: str) -> None:
    print(f"onetoall: {problem}" + (f"\n{advice}" if advice else ""), file=sys.stderr, flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _route_logging(console: Any, *, quiet: bool, verbose: bool) -> None:
    """Our own warnings reach the user as notes; other libraries stay silent unless `--verbose`."""
    from rich.logging import RichHandler

    class Safe(logging.Formatter):
        """Log lines name files and values too."""

        def format(self, record: logging.LogRecord) -> str:
            return displayed_lines(super().format(record))

    handler = RichHandler(console=console, show_time=False, show_path=False, show_level=False, markup=False)
    handler.setFormatter(Safe("%(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if verbose else logging.ERROR)
    logging.getLogger("onetoall_cli").setLevel(
        logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    )
    if not verbose:
        import warnings

        warnings.filterwarnings("ignore")

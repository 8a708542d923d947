"""What a command tells its user: notes and progress on stderr, one result on stdout, errors in two sentences.

This is the only module that prints. Exit codes: 0 done, 1 a bug in onetoall, 2 bad input, 3 model missing,
4 not enough memory or disk, 5 some jobs of a batch failed, 130 interrupted (143 terminated).
"""

import functools
import io
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, TypeVar

import typer

from onetoall_cli.animator.progress import Listener, Stage
from onetoall_cli.cli.progress_display import BarProgress, JsonProgress, Show
from onetoall_cli.display_text import MESSAGE, displayed, displayed_lines
from onetoall_cli.errors import OnetoallError
from onetoall_cli.runtime import processes
from onetoall_cli.runtime.shortage import as_user_error
from onetoall_cli.stopping import Stop, ignore_signals, raise_if_stopped, signal_that_came

Function = TypeVar("Function", bound=Callable[..., Any])

BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells report it
BUG = 1
SOME_FAILED = 5  # a batch is finished, and some of its jobs failed


def prepare_streams() -> None:
    """Make the standard streams safe to use: any text can be written, and one that is closed stays so."""
    for number, way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:  # the next file opened would take its place, so this one does: the wrong way round
            os.open(os.devnull, way)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.unraisablehook = _ignore_stop


def _ignore_stop(unraisable: "sys.UnraisableHookArgs") -> None:
    """An interrupt that struck where nothing can be raised is raised again at the next step."""
    if unraisable.exc_type is not Stop:
        sys.__unraisablehook__(unraisable)


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

    def listener_with(self, preview: bool) -> Listener:
        """`listener`, which with `preview` also shows previews where the terminal can and stderr is for people."""
        if not preview or self.quiet or self._in_lines:
            return self.listener
        from onetoall_cli.cli.preview_display import terminal_previews

        return Listener(self.note, self.progress, terminal_previews(self.console))

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
        except typer.Exit:
            raise
        except (Exception, Stop) as error:
            raise typer.Exit(explain(error, kwargs)) from error

    return run  # type: ignore[return-value]


def explain(error: BaseException, options: dict[str, Any]) -> int:
    """Tell the user what `error` means; returns the exit code.

    Args:
        error: What ended the run.
        options: The command's: `as_json`, `progress` and `verbose` decide the form.
    """
    known = processes.loss(error) or as_user_error(error)
    signum = signal_that_came()
    code = 128 + signum if signum is not None else known.exit_code if known is not None else BUG
    if (elsewhere := processes.told_elsewhere(code)) is not None:
        return elsewhere
    _say("", sys.stdout, end="")  # what stdout did not take must not come up again on Python's way out
    if isinstance(error, BrokenPipeError):  # whoever read our output (`| head`) has seen enough
        return BROKEN_PIPE
    if signum is not None:  # libraries turn what is raised inside them into their own errors
        return _complain_of_signal(signum, options)
    if isinstance(error, typer.Abort):
        return complain("The question was not answered, so nothing was done.", "", OnetoallError.exit_code, options)
    if known is not None:
        return complain(known.problem, known.advice, known.exit_code, options, known.details)
    if options.get("verbose"):
        traceback.print_exception(error)
    return complain(
        displayed(f"onetoall hit a bug: {type(error).__name__}: {error}", MESSAGE),
        "Please report it with the output of the same command under --verbose.",
        BUG,
        options,
    )


def _complain_of_signal(signum: int, options: dict[str, Any]) -> int:
    ignore_signals()
    what = "Interrupted" if signum == signal.SIGINT else "Terminated"
    return complain(f"{what}.", "", 128 + signum, options)


def complain(problem: str, advice: str, code: int, options: dict[str, Any], details: Sequence[str] = ()) -> int:
    """Say what went wrong, in the form that `options` ask for; returns `code`."""
    more = {"details": details} if details else {}
    line = json.dumps({"error": problem, "advice": advice, **more, "exit_code": code})
    if options.get("as_json"):
        _say(line, sys.stdout)
    if options.get("progress") == "json":
        _say(line, sys.stderr)
    else:
        _say("\n".join(filter(None, [f"onetoall: {problem}", *details, advice])), sys.stderr)
    return code


def _say(text: str, stream: TextIO, end: str = "\n") -> None:
    """Print, unless the stream takes nothing any more, which then stays so: there is no other way left to say that."""
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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

"""The `onetoall` command: one Typer application, one small file per subcommand."""

import signal
import sys
from typing import Annotated, NoReturn

import typer

from onetoall_cli import __version__
from onetoall_cli.cli.report import INTERRUPTED, code_of_signal, stop_on_signal

app = typer.Typer(
    name="onetoall",
    help="Animate a character: one reference picture of any framing, one driving video, one command.",
    epilog="Every stage runs alone: pose, align, animate. `onetoall COMMAND --help` is the manual.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,  # static files in completions/ instead, which answer without starting Python
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"onetoall {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Entry point of the `onetoall` script."""
    signal.signal(signal.SIGTERM, stop_on_signal)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # `nohup` and background jobs of scripts ignore it
        signal.signal(signal.SIGINT, stop_on_signal)
    code: str | int | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code:  # wherever a signal struck: Typer turns an interrupt outside a command into "Aborted" and 1
        code = code_of_signal() or code
    sys.exit(code)

"""The `onetoall` command: one Typer application, one small file per subcommand."""

import signal
import sys
from typing import Annotated, NoReturn

import typer

from onetoall_cli import __version__

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
    signal.signal(signal.SIGTERM, _terminated)
    app()
    sys.exit(0)


def _terminated(signum: int, frame: object) -> None:
    # an exception rather than the default death, so that temporary outputs are removed
    sys.exit(128 + signum)

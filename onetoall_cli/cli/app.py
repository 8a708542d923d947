"""The `onetoall` command: one Typer application, one small file per subcommand."""

import logging
import re
import sys
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from onetoall_cli import __version__
from onetoall_cli.cli.options import HEADINGS, LAST_HEADING
from onetoall_cli.cli.report import complain, explain, prepare_streams
from onetoall_cli.stopping import Stop, raise_signals

# The base of all of Typer's refusals of a command line; only this one of them has a public name.
_UsageError: Any = typer.BadParameter.__base__

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


class GroupedHelp(TyperCommand):
    """A command whose `--help` has its options under headings (`rich_help_panel`): `animate` has sixty."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As manuals write it: `reference` has to be given, `[driving]` may."""
        return [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", "Options", *HEADINGS.values())}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                is_argument = parameter.param_type_name == "argument"
                heading = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
                rows.setdefault(heading, []).append(row)
        rows[LAST_HEADING] = rows.pop(LAST_HEADING)
        for title, under_it in rows.items():
            if under_it:
                with formatter.section(title):
                    formatter.write_dl(under_it)


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
    """Run the command line of this process, and end it."""
    prepare_streams()
    code = _run(sys.argv[1:])
    logging.disable()  # libraries log statistics on their way out, under --verbose behind our last word
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run a command line; returns its exit code. What goes wrong outside a command is told here."""
    asked = {"as_json": "--json" in arguments, "progress": "json" if _wants_json_lines(arguments) else "auto"}
    try:
        raise_signals()
        return app(arguments, standalone_mode=False) or 0
    except _UsageError as error:
        if not any(value in (True, "json") for value in asked.values()):
            error.show()
            return error.exit_code
        return complain(error.format_message(), f"See `{_command(error)} --help`.", error.exit_code, asked)
    except (Exception, Stop) as error:
        return explain(error, asked)


def _wants_json_lines(arguments: list[str]) -> bool:
    return "--progress=json" in arguments or ("--progress", "json") in pairwise(arguments)


def _command(error: Any) -> str:
    return error.ctx.command_path if error.ctx is not None else "onetoall"

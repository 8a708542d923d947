"""`onetoall completion SHELL`: a static completion script, which answers a TAB without starting Python.

The scripts in `completions/` are this command's output (a test compares them).
"""

import argparse
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument
from typer.main import get_command

from onetoall_cli.cli.options import subcommand

SHELLS = ("bash", "zsh", "fish")


@subcommand
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Argument(help="The shell to complete in.")],
) -> None:
    """Print a completion script.

    Example: onetoall completion zsh > ~/.zfunc/_onetoall
    """
    print(completion_script(shell), end="")


def completion_script(shell: str) -> str:
    """The script for `shell`, by shtab from a mirror of the command tree."""
    import shtab

    from onetoall_cli.cli import app

    root = get_command(app)
    parser = argparse.ArgumentParser(prog="onetoall", add_help=False)
    _mirror(root, parser)
    commands = parser.add_subparsers()
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        if not command.hidden:
            summary = (command.get_short_help_str(80) or "").replace("%", "%%")
            _mirror(command, commands.add_parser(name, help=summary, description=summary, add_help=False))
    return shtab.complete(parser, shell=shell)


def _mirror(command: Any, parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options and arguments of a Typer command, as far as completion cares."""
    import shtab

    parser.add_argument("-h", "--help", action="store_true", help="Show the manual.")
    for parameter in command.params:
        choices = list(getattr(parameter.type, "choices", ())) or None
        summary = (getattr(parameter, "help", "") or "").replace("%", "%%")
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            mirrored = parser.add_argument(parameter.name, choices=choices, help=summary)
        elif getattr(parameter, "is_flag", False):
            parser.add_argument(*parameter.opts, *parameter.secondary_opts, action="store_true", help=summary)
            continue
        else:
            mirrored = parser.add_argument(*parameter.opts, choices=choices, help=summary)
        if _takes_path(parameter):
            mirrored.complete = shtab.FILE  # type: ignore[attr-defined]


def _takes_path(parameter: Any) -> bool:
    return parameter.type.name in ("path", "file") or parameter.type is Path

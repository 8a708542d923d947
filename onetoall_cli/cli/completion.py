"""`onetoall completion SHELL`: a static completion script, which answers a TAB without starting Python.

The scripts in `completions/` are this command's output (a test compares them).
"""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer import Argument
from typer.models import ArgumentInfo

from onetoall_cli.cli.options import declared_names, subcommand

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

    parser = argparse.ArgumentParser(prog="onetoall", add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="Show the manual.")
    parser.add_argument("--version", action="store_true", help="Print the version.")
    _mirror_commands(app, parser)
    return shtab.complete(parser, shell=shell)


def _mirror_commands(application: typer.Typer, parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers()
    for command in application.registered_commands:
        callback = command.callback
        assert callback is not None
        summary = _summary(callback.__doc__)
        name = command.name or callback.__name__.replace("_", "-")
        _mirror_options(callback, commands.add_parser(name, help=summary, description=summary, add_help=False))


def _mirror_options(callback: Callable[..., Any], parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options and arguments of a subcommand, as far as completion cares."""
    import shtab

    parser.add_argument("-h", "--help", action="store_true", help="Show the manual.")
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = get_args(parameter.annotation)
        kinds = get_args(kind) if get_origin(kind) not in (None, Literal) else (kind,)  # `X | None` is X and None
        choices = [choice for each in kinds if get_origin(each) is Literal for choice in get_args(each)] or None
        if isinstance(info, ArgumentInfo):
            mirrored = parser.add_argument(name, choices=choices, help=_summary(info.help))
        elif bool in kinds:
            names = [each for pair in declared_names(name, info) for each in pair.split("/")]
            parser.add_argument(*names, action="store_true", help=_summary(info.help))
            continue
        else:
            mirrored = parser.add_argument(*declared_names(name, info), choices=choices, help=_summary(info.help))
        if Path in kinds:
            mirrored.complete = shtab.FILE  # type: ignore[attr-defined]


def _summary(text: str | None) -> str:
    """The first line of a help text, as argparse wants it."""
    return (text or "").strip().split("\n")[0].replace("%", "%%")

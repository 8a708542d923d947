"""`onetoall info FILE`: how a result was made, as a command that makes it again.

Every output carries a record `{"onetoall": version, "arguments": [...], "model": ..., "versions": ..., "result": ...}`,
where the arguments hold every option as it was resolved, so that they give the same result when defaults change.
"""

import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from typer import Argument
from typer.models import OptionInfo

from onetoall_cli import __version__
from onetoall_cli.cli.options import declared_names, subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput

if TYPE_CHECKING:
    from onetoall_cli.hub import ModelLocation

RECORDED_LIBRARIES = ("torch", "diffusers", "transformers", "av")


@subcommand
def info(
    file: Annotated[Path, Argument(help="A video, picture or aligned folder that onetoall made.")],
    report: Report,
) -> None:
    """Print how FILE was made, as a command that makes it again.

    Example: onetoall info out.mp4
    """
    from onetoall_cli.media import read_metadata

    record = aligned_record(file) if file.is_dir() else read_metadata(file)
    if record is None or "arguments" not in record:
        raise BadInput(
            f"{file} carries no settings of onetoall.", "Only videos, pictures and aligned folders made by it do."
        )
    report.result(_prose(record), **record)


def aligned_record(folder: Path) -> dict[str, Any] | None:
    """The record in a folder that `onetoall align` wrote."""
    from onetoall_cli.align import Conditioning

    return Conditioning.load(folder).meta.get("source")


def _prose(record: dict[str, Any]) -> str:
    lines = [shlex.join(["onetoall", *record["arguments"]]), ""]
    lines += [f"onetoall {record['onetoall']}"]
    for part in ("model", "result", "versions"):
        if record[part]:
            lines += [f"{part}: " + ", ".join(f"{name} {value}" for name, value in record[part].items())]
    return "\n".join(lines)


def settings_record(arguments: list[str], *, model: "ModelLocation | None", result: dict[str, Any]) -> dict[str, Any]:
    """What is stored in an output.

    Args:
        arguments: The command line after `onetoall`, every option resolved.
        model: The model, of which name and revision are kept, or None where none was used.
        result: What came out: size, frames, what was decided.
    """
    from importlib.metadata import version

    return {
        "onetoall": __version__,
        "arguments": arguments,
        "model": {"name": model.name, "revision": model.revision} if model else {},
        "result": result,
        "versions": {name: version(name) for name in RECORDED_LIBRARIES},
    }


def as_arguments(options: Any) -> list[str]:
    """An option dataclass as command-line arguments; options that are unset (None) are left out.

    Every option says its value, also where it is the default, except flags that are off and have no `--no-` form.
    """
    hints = get_type_hints(type(options), include_extras=True)
    arguments: list[str] = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value is None:
            continue
        (option,) = [each for each in hints[field.name].__metadata__ if isinstance(each, OptionInfo)]
        on, _, off = declared_names(field.name, option)[0].partition("/")
        if value is True:
            arguments.append(on)
        elif value is False:
            arguments += [off] if off else []
        elif isinstance(value, list):
            arguments += [part for each in value for part in (on, str(each))]
        else:
            arguments += [on, str(value)]
    return arguments

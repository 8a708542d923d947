"""Rows of a batch as tasks: what a row may say are the options of its command, by their names with underscores."""

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

from pydantic import Field, create_model
from typer.models import ArgumentInfo, OptionInfo

from onetoall_cli.animator.jobs import Job
from onetoall_cli.animator.settings import ModelSettings, VideoSettings
from onetoall_cli.batch import Row, Task
from onetoall_cli.cli import animate, extend, transfer
from onetoall_cli.cli.generation import with_preset
from onetoall_cli.cli.options import (
    OutputOptions,
    ParallelOptions,
    RunOptions,
    Seeds,
    SideOptions,
    Verbosity,
    declared_names,
    group_of,
)
from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import parse_yaml
from onetoall_cli.files.forms import Form, check

# What a batch decides for all of its jobs, or says otherwise.
_NOT_IN_ROWS = {
    *(each.name for group in (OutputOptions, ParallelOptions, RunOptions, Seeds, Verbosity) for each in fields(group)),
}
_ADVICE = "The manual of batch shows what a row may say."


@dataclass(frozen=True)
class _Command:
    """A command that rows may name."""

    function: Callable[..., None]
    job: Callable[..., Job]


COMMANDS = {
    "animate": _Command(animate.animate, animate.job),
    "transfer": _Command(transfer.transfer, transfer.job),
    "extend": _Command(extend.extend, extend.job),
}


def tasks_of(
    rows: list[Row],
    defaults: Mapping[str, Any],
    *,
    source: str,
    base: Path,
    folder: Path,
    instead: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[list[Task], list[str]]:
    """The tasks of rows, and what is wrong with those that are none.

    Args:
        rows: What is asked for.
        defaults: For the rows whose command has such an option.
        source: What holds the defaults, for messages.
        base: What relative paths are relative to.
        folder: Where outputs go that have no name.
        instead: What holds whatever the rows say, for those whose command has such an option.
    """
    tasks, faults = [], []
    known = {name for command in COMMANDS for name in _parameters(command)}
    faults += [f"{source}: there is no option '{name}' (in defaults)." for name in defaults if name not in known]
    for row in rows:
        try:
            tasks.append(_task(row, defaults, instead, base, folder))
        except BadInput as error:
            faults.append(error.problem if error.problem.startswith(row.place) else f"{row.place}: {error.problem}")
    return tasks, faults


def _task(row: Row, defaults: Mapping[str, Any], instead: Mapping[str, Any], base: Path, folder: Path) -> Task:
    name = row.values.get("command", defaults.get("command"))
    if not isinstance(name, str) or name not in COMMANDS:
        raise BadInput(f"{row.place}: command should be {' or '.join(COMMANDS)}, not {name!r}.", _ADVICE)
    parameters = _parameters(name)
    own = {key: _from_text(parameters.get(key), value) if row.is_text else value for key, value in row.values.items()}
    said = {key: value for key, value in defaults.items() if key in parameters} | own
    said |= {key: value for key, value in instead.items() if key in parameters} | {"command": name}
    form = check(_form(name), said, source=row.place, advice=_ADVICE)
    values: dict[str, Any] = {key: _from_base(key, value, base) for key, value in dict(form).items()}
    given = {key: values[key] for key in form.model_fields_set if key not in ("command", "output")}
    return _as_task(name, values, given, row.place, said, folder)


def _as_task(
    name: str, values: dict[str, Any], given: Mapping[str, Any], place: str, said: Mapping[str, Any], folder: Path
) -> Task:
    values.pop("command")
    seed, output, compare = values.pop("seed"), values.pop("output"), values.pop("compare", False)
    command, frames, mask = COMMANDS[name], values.pop("frames", None), values.pop("mask_out", None)
    model: ModelSettings = group_of(ModelSettings, values)
    video = group_of(VideoSettings, values) if "crf" in values else VideoSettings()
    hints: dict[str, Any] = get_type_hints(command.job)
    del hints["return"]
    groups: dict[str, type] = {
        each: kind for each, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)
    }
    arguments = {each: group_of(kind, values) for each, kind in groups.items()}
    arguments |= {each: values.pop(each.rstrip("_")) for each in hints.keys() - groups}
    job = command.job(**arguments)
    job = replace(job, settings=job.settings.changed(seed=seed))
    output = output or folder / job.default_output.name
    return Task(
        place=place,
        row=said,
        job=job,
        model=with_preset(model, job.settings.generation),
        video=video,
        output=output,
        frames=frames,
        compare=output.with_name(f"{output.stem}-compare{output.suffix}") if compare else None,
        mask=mask,
        arguments=(*_command_line(name, given), "--output", str(output)),
    )


def options_in(words: str) -> dict[str, Any]:
    """A model and options as on the command line of `animate`, `1.3b --fast both`, as what a row says.

    Raises:
        BadInput: An option that `animate` does not have, or one without its value.
    """
    advice = "Give a model and options of animate, as in '1.3b --fast both'."
    try:
        waiting = shlex.split(words)
    except ValueError as error:
        raise BadInput(f"'{words}' cannot be read: {error}.", advice) from error
    known = _written_options("animate")
    said: dict[str, Any] = {}
    if waiting and not waiting[0].startswith("-"):
        said["model"] = _where_it_is(waiting.pop(0))
    while waiting:
        option, is_joined, value = waiting.pop(0).partition("=")
        if option not in known:
            raise BadInput(f"'{words}': animate has no option {option}.", advice)
        name, flag = known[option]
        if flag is None:
            if not is_joined and not waiting:
                raise BadInput(f"'{words}': {option} has no value.", advice)
            text = value if is_joined else waiting.pop(0)
            found = _from_text(_parameters("animate")[name], _where_it_is(text))
            said[name] = [*said.get(name, []), *found] if isinstance(found, list) else found
        else:
            said[name] = flag
    return said


@cache
def _written_options(command: str) -> dict[str, tuple[str, bool | None]]:
    """How the options of a command are written: for each spelling its name, and of a flag what it says."""
    beside = {"from", *(each.name for each in fields(SideOptions))}
    written: dict[str, tuple[str, bool | None]] = {}
    for name, (kind, info, _) in _parameters(command).items():
        if not isinstance(info, OptionInfo) or name in beside:
            continue
        for spelling, flag in zip(declared_names(name, info)[0].split("/"), (True, False), strict=False):
            written[spelling] = (name, flag if bool in (kind, *get_args(kind)) else None)
    return written


def _where_it_is(text: str) -> str:
    """A path that exists here, whatever rows' paths are relative to."""
    file, weight, number = text.rpartition(":")
    if Path(text).exists():
        return str(Path(text).absolute())
    return f"{Path(file).absolute()}:{number}" if weight and Path(file).is_file() else text


def _command_line(name: str, given: Mapping[str, Any]) -> list[str]:
    """The command that says what a row says."""
    inputs, options = [], []
    for key, (_, info, _) in _parameters(name).items():
        value = given.get(key)
        if value is None:
            continue
        names = declared_names(key, info)[0].split("/") if isinstance(info, OptionInfo) else []
        if isinstance(info, ArgumentInfo):
            inputs.append(str(value))
        elif isinstance(value, bool):
            options += names[:1] if value else names[1:]
        else:
            options += [
                part for each in (value if isinstance(value, list) else [value]) for part in (names[0], str(each))
            ]
    return [name, *inputs, *options]


@cache
def _parameters(command: str) -> dict[str, tuple[Any, Any, Any]]:
    """What a row of a command may say: for each name its type, its declaration, and its default."""
    said: dict[str, tuple[Any, Any, Any]] = {}
    for name, parameter in inspect.signature(COMMANDS[command].function).parameters.items():
        if name not in _NOT_IN_ROWS:
            kind, info, *_ = get_args(parameter.annotation)
            said[name.rstrip("_")] = (kind, info, parameter.default)
    said["command"] = (Literal[command], None, command)
    said["seed"] = (int, OptionInfo(default=42, param_decls=("--seed",), min=0), 42)
    said["output"] = (Path | None, None, None)
    return said


@cache
def _form(command: str) -> type[Form]:
    """The form of a command's rows."""
    said: dict[str, Any] = {}
    for name, (kind, info, default) in _parameters(command).items():
        bounds = {"ge": getattr(info, "min", None), "le": getattr(info, "max", None)}
        is_needed = default is inspect.Parameter.empty
        said[name] = (
            kind,
            Field(... if is_needed else default, **{key: each for key, each in bounds.items() if each is not None}),
        )
    return create_model(command, __base__=Form, **said)


def _from_text(parameter: tuple[Any, Any, Any] | None, text: str) -> Any:
    """A cell as the value it stands for: text where the option takes text, else as YAML reads it."""
    kinds = set() if parameter is None else {parameter[0], *get_args(parameter[0])}
    if parameter is None or kinds & {str, Path}:
        return text
    if any(list in (each, getattr(each, "__origin__", None)) for each in kinds):
        return [text]
    value = parse_yaml(text, source=f"'{text}'", advice=_ADVICE)
    return value if isinstance(value, (bool, int, float)) else text


def _from_base(name: str, value: Any, base: Path) -> Any:
    """A value whose paths are relative to `base`; a model or LoRA may be a path or not."""
    if isinstance(value, Path):
        return base / value
    if name == "model" and value is not None and (base / value).is_dir():
        return str(base / value)
    if name == "cast" and value:
        return [f"{who}={base / file}" for who, _, file in (each.partition("=") for each in value)]
    if name == "background" and (base / value).exists():
        return str(base / value)
    if name == "lora" and value:
        return [
            str(base / each) if (base / each.rpartition(":")[0]).is_file() or (base / each).is_file() else each
            for each in value
        ]
    return value

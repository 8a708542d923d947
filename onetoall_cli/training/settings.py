"""Training settings: YAML files to frozen dataclasses and back, with checks of names and types."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from onetoall_cli.errors import BadInput

T = TypeVar("T")


def read_yaml(path: Path) -> Any:
    """The contents of a YAML file.

    Raises:
        BadInput: The file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.", "Check the path of the training config.") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {error}.", "Correct the file at the line named.") from error


def load_settings(kind: type[T], path: Path | str) -> T:
    """Read a YAML file as a settings dataclass.

    Raises:
        BadInput: The file cannot be read, is not a YAML mapping, or has an unknown, missing or mistyped key.
    """
    return read_settings(kind, read_yaml(Path(path)), str(path))


def read_settings(kind: type[T], data: Any, where: str) -> T:
    """Build a settings dataclass from parsed YAML; error messages begin with `where`."""
    if not isinstance(data, dict):
        raise BadInput(f"{where} is not a mapping of settings.", "Write `name: value` lines; see the examples.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(map(str, data)) - set(fields))
    if unknown:
        raise BadInput(f"{where} has no setting called {unknown[0]!r}.", f"Choose from: {', '.join(fields)}.")
    hints = typing.get_type_hints(kind)
    values = {name: _convert(hints[name], value, f"{where}: {name}") for name, value in data.items()}
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadInput(f"{where} lacks the setting {missing[0]!r}.", "Add it; see the examples.")
    try:
        return kind(**values)
    except ValueError as error:
        raise BadInput(f"{where}: {error}.", "Correct the value.") from error


def dump_settings(settings: Any) -> str:
    """Settings as YAML; `load_settings` reads them back to an equal value."""
    return yaml.safe_dump(_plain(dataclasses.asdict(settings)), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    """Tuples as lists and paths as text, for YAML."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` converted to the type `hint`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        chosen = [argument for argument in arguments if argument is not type(None)]
        return _convert(chosen[0], value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise _mistyped(where, value, f"one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _mistyped(where, value, "a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(arguments):
            raise _mistyped(where, value, f"a list of {len(arguments)} values")
        places = [f"{where}[{index}]" for index in range(len(value))]
        return tuple(map(_convert, arguments, value, places))
    if dataclasses.is_dataclass(hint):
        return read_settings(typing.cast(type, hint), value, where)
    if origin is dict or hint is dict:
        if not isinstance(value, dict):
            raise _mistyped(where, value, "a mapping")
        return value
    return _convert_plain(hint, value, where)


def _convert_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-5 as text
        try:
            return float(value)
        except ValueError:
            raise _mistyped(where, value, "a number") from None
    if hint is Any or (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        return value
    raise _mistyped(where, value, {int: "a whole number", bool: "true or false", str: "text"}.get(hint, hint.__name__))


def _mistyped(where: str, value: Any, wanted: str) -> BadInput:
    return BadInput(f"{where} is {value!r}, not {wanted}.", "Correct the value.")

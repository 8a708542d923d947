"""The base of training settings: typed forms, read from YAML configs and written back, and what their fields share."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field
from typing_extensions import Self

from onetoall_cli.files.documents import read_document
from onetoall_cli.files.forms import LONGEST_NAME, Form, check, yaml_text

_ADVICE = "Correct the config; onetoall_cli/training/README.md explains the settings."

T = TypeVar("T", bound="Settings")


class Settings(Form):
    """Base of all training settings."""

    def changed(self, **values: Any) -> Self:
        """A copy with other values, checked anew."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | values)


def usable(path: Path) -> Path:
    """A path that a disk can have, a home folder's ~ written out; others are a ValueError."""
    if "\0" in str(path) or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise ValueError("should be a path that a disk can have")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("should not begin with ~, because there is no home folder here") from error


Place = Annotated[Path, AfterValidator(usable)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
CountOrNone = Annotated[int, Field(ge=0, le=10**9)]  # 0 means none, or all, as the setting says
Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]


def read_yaml(path: Path) -> Any:
    """The contents of a YAML file.

    Raises:
        BadInput: The file cannot be read or is not YAML.
    """
    return read_document(path, advice=_ADVICE)


def load_settings(kind: type[T], path: Path | str) -> T:
    """Read a YAML file as settings.

    Raises:
        BadInput: The file cannot be read, is not a YAML mapping, or has an unknown, missing or mistyped key.
    """
    return read_settings(kind, read_yaml(Path(path)), str(path))


def read_settings(kind: type[T], data: Any, where: str) -> T:
    """Settings from parsed YAML; error messages begin with `where`."""
    return check(kind, data, source=where, advice=_ADVICE)


def dump_settings(settings: Settings) -> str:
    """Settings as YAML; `load_settings` reads them back to an equal value."""
    return yaml_text(settings)

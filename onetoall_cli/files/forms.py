"""Typed forms of structured files: what a file may hold, as pydantic models that reading, writing and manuals share.

A form is a subclass of `Form`. `read_form` and `check` give one or end in one sentence that names the place.
"""

import difflib
import json
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from onetoall_cli.display_text import displayed, displayed_names
from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import read_document

T = TypeVar("T")

LONGEST_NAME = 255  # bytes of a file's name, on every common file system
LONGEST_PATH = 1000  # characters of a path inside a folder

# What pydantic calls the types of JSON, in the words of our messages.
_WORDS = {
    "a valid dictionary": "a mapping",
    "an object": "a mapping",
    "a valid array": "a list",
    "a valid list": "a list",
    "a valid tuple": "a list",
    "a valid string": "text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
}


class Form(BaseModel):
    """Base of all forms: strict types (no text for numbers), unknown keys and NaN refused, frozen.

    Read from files it takes what JSON has: a list for a tuple, text for a path, a whole number for a float.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class ForeignForm(Form):
    """Base of the forms of other programs' files, of which we read some keys and pass over the rest."""

    model_config = ConfigDict(extra="ignore")


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in path:
        raise ValueError("should be a path inside its folder")
    if len(path) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts):
        raise ValueError("should be a path that a disk can have")
    return path


InsidePath = Annotated[str, AfterValidator(_inside)]
"""A relative path with forward slashes that stays inside the folder it is used in."""


def read_form(kind: type[T], path: Path, *, advice: str, max_bytes: int | None = None) -> T:
    """The contents of a JSON or YAML file as `kind`: a `Form`, or any type that pydantic knows (`dict[str, Entry]`).

    An empty YAML file is an empty mapping.

    Args:
        kind: The type.
        path: The file; YAML where its name ends in .yaml or .yml, else JSON.
        advice: The second sentence of every error.
        max_bytes: As in `read_document`.

    Raises:
        BadInput: The file cannot be read (see `read_document`), or its contents are not of this type.
    """
    value = read_document(path, advice=advice, max_bytes=max_bytes)
    return check(kind, {} if value is None else value, source=str(path), advice=advice)


def check(kind: type[T], value: Any, *, source: str, advice: str) -> T:
    """A plain value (of `documents`) as `kind`.

    Args:
        kind: As in `read_form`.
        value: What JSON can hold.
        source: What it is called in errors.
        advice: The second sentence of every error.

    Raises:
        BadInput: It is not of this type; the sentence has the first place where it is not, what is expected there and
            what stands there.
    """
    try:
        # Through JSON, because only then strictness means JSON's types: a tuple is a list there, a path a text.
        return _adapter(kind).validate_json(json.dumps(value), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise as_bad_input(error, kind, value, source=source, advice=advice) from None


def as_bad_input(error: ValidationError, kind: Any, value: Any, *, source: str, advice: str) -> BadInput:
    """A pydantic error in one bounded sentence: source, place, what is expected, what stands there."""
    # the deepest place says most where several types are allowed
    first = max(error.errors(include_url=False), key=lambda details: _depth(details, value))
    place, found = _followed(first["loc"], value)
    where = f"{source}: {displayed('.'.join(place))}" if place else source
    if first["type"] == "extra_forbidden":
        return BadInput(f"{where} is no known key{_near_miss(kind, first['loc'])}.", advice)
    if first["type"] == "missing":
        return BadInput(f"{where} lacks {displayed_names(_missing_beside(first, error))}.", advice)
    return BadInput(f"{where} {_expectation(first)}, not {_described(found)}.", advice)


def _missing_beside(first: ErrorDetails, error: ValidationError) -> list[int | str]:
    """The keys that are missing where `first` is."""
    places = [each["loc"] for each in error.errors(include_url=False) if each["type"] == "missing"]
    return [place[-1] for place in places if place[:-1] == first["loc"][:-1]]


def json_text(form: BaseModel) -> str:
    """A form as JSON, which `read_form` reads back to an equal value."""
    return json.dumps(form.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def yaml_text(form: BaseModel) -> str:
    """A form as YAML, which `read_form` reads back to an equal value."""
    return yaml.safe_dump(form.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _followed(steps: tuple[int | str, ...], value: Any) -> tuple[list[str], Any]:
    """The steps of a pydantic place that lead through `value` (others name a member of a union), and what is there."""
    place = []
    for step in steps:
        is_key = isinstance(value, dict) and step in value
        is_index = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if is_key or is_index:
            value = value[step]
            place.append(str(step))
    return place, value


def _depth(details: ErrorDetails, value: Any) -> int:
    return len(_followed(details["loc"], value)[0])


def _expectation(details: ErrorDetails) -> str:
    """Pydantic's message without its subject: "should be a whole number"."""
    message = re.sub(r"^(Value error, |Assertion failed, )", "", details["msg"])
    message = re.sub(r"^\w+ (?=should |must )", "", message)
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    message = re.sub(r" (after validation)?,? (not|got) [^,]*$", "", message)
    return displayed(message[:1].lower() + message[1:], 300)


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    words = {None: "nothing (null)", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"'{displayed(value)}'" if isinstance(value, str) else displayed(value)


def _near_miss(kind: Any, steps: tuple[int | str, ...]) -> str:
    """What may be meant by the unknown key at the end of `steps`."""
    forms = _forms_in(kind)
    for step in steps[:-1]:
        inner = [form.model_fields[step].annotation for form in forms if step in form.model_fields]
        forms = [form for annotation in inner for form in _forms_in(annotation)] if inner else forms
    known = list(dict.fromkeys(name for form in forms for name in form.model_fields))
    near = difflib.get_close_matches(str(steps[-1]), known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else f" (known are {displayed_names(known, 20)})"


def _forms_in(annotation: Any) -> list[type[BaseModel]]:
    """The models in a type: itself, or what a list, a mapping or a union of it holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [form for inner in get_args(annotation) for form in _forms_in(inner)]

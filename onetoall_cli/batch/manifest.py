"""What a batch is to make, as rows of plain values: from two folders, or from a manifest (YAML, JSON lines or CSV)."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import MAX_YAML, parse_json, parse_yaml
from onetoall_cli.files.forms import Form, check
from onetoall_cli.files.names import PICTURE_SUFFIXES, natural_order
from onetoall_cli.media import VIDEO_ENDINGS

MANIFESTS = (".yaml", ".yml", ".jsonl", ".csv")
ADVICE = "The manual of batch shows what a manifest holds."
# Containers that are read and not written, and pose files.
_MOTIONS = {*VIDEO_ENDINGS, ".avi", ".flv", ".json", ".m4v", ".mpeg", ".mpg", ".ts", ".wmv"}
_MAX_BYTES = 16 * MAX_YAML  # some 100 000 rows


@dataclass(frozen=True)
class Row:
    """One job as it was asked for.

    Attributes:
        values: Options by their names with underscores; "command" says which they are.
        place: For messages: "jobs.yaml, line 4".
        is_text: Whether every value is text, as in CSV, and stands for what it says.
    """

    values: Mapping[str, Any]
    place: str
    is_text: bool = False


class _Manifest(Form):
    defaults: dict[str, Any] = Field(default_factory=dict)
    jobs: list[dict[str, Any]]


def rows_of_manifest(path: Path) -> tuple[list[Row], Mapping[str, Any]]:
    """The rows of a manifest, and the defaults for all of them.

    Raises:
        BadInput: It cannot be read, or is none.
    """
    if path.suffix.lower() not in MANIFESTS:
        raise BadInput(f"{path} is no manifest.", f"Its name ends in {' or '.join(MANIFESTS)}.")
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the name.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text.", ADVICE) from error
    defaults: Mapping[str, Any] = {}
    if path.suffix.lower() == ".csv":
        rows = list(_csv_rows(text, path))
    elif path.suffix.lower() == ".jsonl":
        rows = list(_json_rows(text, path))
    else:
        rows, defaults = _yaml_rows(text, path)
    if not rows:
        raise BadInput(f"{path} has no jobs.", ADVICE)
    return rows, defaults


def rows_of_folders(references: Path, motions: Path, *, pairs: bool) -> tuple[list[Row], list[str]]:
    """A row for every picture of a folder with every motion of another, or with `pairs` for equal names.

    Returns:
        The rows, and the names of files that have no part in them.

    Raises:
        BadInput: A folder is none, or nothing in them goes together.
    """
    pictures = [path for path in _visible(references) if path.suffix.lower() in PICTURE_SUFFIXES]
    dances = [path for path in _visible(motions) if path.is_dir() or path.suffix.lower() in _MOTIONS]
    couples = [(one, other) for one in pictures for other in dances if not pairs or one.stem == other.stem]
    if not couples:
        what = "have no name in common" if pictures and dances else "hold no pictures and motions"
        raise BadInput(f"{references} and {motions} {what}.", "Give a folder of pictures and one of videos.")
    used = {path for couple in couples for path in couple}
    rest = [str(path) for path in (*_visible(references), *_visible(motions)) if path not in used]
    rows = [
        Row({"command": "animate", "reference": str(one), "driving": str(other)}, f"{one.name} with {other.name}")
        for one, other in couples
    ]
    return rows, list(dict.fromkeys(rest))


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder.", "Give a folder of references and one of motions, or a manifest.")
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)


def _yaml_rows(text: str, path: Path) -> tuple[list[Row], Mapping[str, Any]]:
    stored = parse_yaml(text, source=str(path), advice=ADVICE, max_bytes=_MAX_BYTES)
    manifest = check(_Manifest, stored, source=str(path), advice=ADVICE)
    lines = _lines_of_jobs(text)
    return [Row(row, f"{path}, line {line}") for row, line in zip(manifest.jobs, lines, strict=True)], manifest.defaults


def _lines_of_jobs(text: str) -> Sequence[int]:
    """The line at which each item of "jobs" begins."""
    document: Any = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (jobs,) = (value for key, value in document.value if key.value == "jobs")
    return [item.start_mark.line + 1 for item in jobs.value]


def _json_rows(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        place = f"{path}, line {number}"
        if line.strip():
            stored = parse_json(line, source=place, advice=ADVICE)
            yield Row(check(dict[str, Any], stored, source=place, advice=ADVICE), place)


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    """Cells that are empty say nothing."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="")
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if row.pop("", None):
                raise BadInput(f"{place} has more cells than the first line.", ADVICE)
            yield Row({key.strip(): cell.strip() for key, cell in row.items() if cell and cell.strip()}, place, True)
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}, is no CSV: {error}.", ADVICE) from error

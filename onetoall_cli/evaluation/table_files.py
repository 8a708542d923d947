"""Tables in files: Markdown between marks that keep their place, and CSV."""

import csv
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file

MARKS = ("<!-- evaluation -->", "<!-- end of evaluation -->")


def write_markdown(path: Path, text: str) -> None:
    """Write `text` between the marks of an existing file, or into a new file with marks.

    Raises:
        BadInput: The file has no marks.
    """
    check_marks(path)
    block = f"{MARKS[0]}\n{text}{MARKS[1]}"
    present = path.read_text(encoding="utf-8") if path.exists() else f"{MARKS[0]}{MARKS[1]}\n"
    between = re.compile(re.escape(MARKS[0]) + ".*?" + re.escape(MARKS[1]), re.DOTALL)
    with whole_file(path) as temporary:
        temporary.write_text(between.sub(lambda _: block, present, count=1), encoding="utf-8")


def check_marks(path: Path) -> None:
    """Check that an existing file has marks for the tables.

    Raises:
        BadInput: It has none.
    """
    if path.exists():
        _, mark, after = path.read_text(encoding="utf-8").partition(MARKS[0])
        if not mark or MARKS[1] not in after:
            raise BadInput(f"{path} has no place for the tables.", f"Give it a line {MARKS[0]} and a line {MARKS[1]}.")


def write_csv(path: Path, rows: Iterable[Sequence[str | float]]) -> None:
    """Write rows, the first of them the headings, as CSV; NaN is an empty cell."""
    with whole_file(path, ending=".csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)

"""`onetoall info FILE`: how a result was made, as a command that makes it again (see `animator.records`).

Of a run in progress it tells what is kept, and the command continues it.
"""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.outputs import tidied
from onetoall_cli.cli.report import Report
from onetoall_cli.display_text import displayed
from onetoall_cli.files.names import output_of

if TYPE_CHECKING:
    from onetoall_cli.animator.records import Record


@subcommand
def info(
    file: Annotated[Path, Argument(help="A video, picture or folder that onetoall made.")],
    report: Report,
) -> None:
    """Print how FILE was made, as a command that makes it again.

    Example: onetoall info out.mp4
    """
    from onetoall_cli.animator.records import read_record

    if tidied(output_of(file), report):
        file = output_of(file)
    if file.is_dir() and _report_unfinished(file, report):
        return
    record = read_record(file)
    report.result(prose(record, record.command()), **record.model_dump(mode="json"))


def _report_unfinished(folder: Path, report: Report) -> bool:
    """Tell what is kept of a run in progress, and the command that continues it; False where none is."""
    from onetoall_cli.animator.kept_segments import read_unfinished

    kept = read_unfinished(folder)
    if kept is None:
        return False
    command = [*kept.record.command(), "--output", str(output_of(folder))]
    fields = kept.record.model_dump(mode="json", include={"onetoall", "model", "result", "versions"})
    text = f"{kept.done} of {kept.record.segments} segments are done; the command goes on behind them."
    report.result(f"{prose(kept.record, command)}\n{text}", **fields, arguments=command, segments_done=kept.done)
    return True


def prose(record: "Record", command: list[str]) -> str:
    lines = [" ".join(map(shell_word, ["onetoall", *command])), "", f"onetoall {displayed(record.onetoall)}"]
    for title, part in (("model", record.model), ("result", record.result), ("versions", record.versions)):
        if part:
            lines += [f"{title}: " + ", ".join(f"{displayed(name)} {displayed(value)}" for name, value in part.items())]
    return "\n".join(lines)


def shell_word(word: str) -> str:
    """`word` quoted for a shell, on one line; what a terminal would obey or is not UTF-8 as `$'\\x1b'` (POSIX 2024)."""
    if displayed(word, None) == word:
        return shlex.quote(word)
    return "$'" + "".join(map(_quoted_byte, os.fsencode(word))) + "'"


def _quoted_byte(byte: int) -> str:
    is_plain = 0x20 <= byte < 0x7F and byte not in b"'\\"
    return chr(byte) if is_plain else f"\\x{byte:02x}"

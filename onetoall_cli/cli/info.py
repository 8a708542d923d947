"""`onetoall info FILE`: how a result was made, as a command that makes it again (see `animator.records`).

Of a run in progress it tells what is kept, and the command continues it.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput


@subcommand
def info(
    file: Annotated[Path, Argument(help="A video, picture or folder that onetoall made.")],
    report: Report,
) -> None:
    """Print how FILE was made, as a command that makes it again.

    Example: onetoall info out.mp4
    """
    from onetoall_cli.media import read_metadata

    if file.is_dir() and _report_unfinished(file, report):
        return
    record = aligned_record(file) if file.is_dir() else read_metadata(file)
    if record is None or "arguments" not in record:
        raise BadInput(
            f"{file} carries no settings of onetoall.", "Only videos, pictures and aligned folders made by it do."
        )
    report.result(_prose(record), **record)


def _report_unfinished(folder: Path, report: Report) -> bool:
    """Tell what is kept of a run in progress, and the command that continues it; False where none is."""
    from onetoall_cli.animator.kept_segments import output_of, read_unfinished

    kept = read_unfinished(folder)
    if kept is None:
        return False
    record = kept.record.model_dump(mode="json", include={"onetoall", "arguments", "model", "result", "versions"})
    record["arguments"] += ["--output", str(output_of(folder))]
    text = f"{kept.done} of {kept.record.segments} segments are done; the command goes on behind them."
    report.result(f"{_prose(record)}\n{text}", **record, segments_done=kept.done)
    return True


def aligned_record(folder: Path) -> dict[str, Any] | None:
    """The record in a folder that `onetoall align` wrote."""
    from onetoall_cli.alignment import Conditioning

    return Conditioning.load(folder).meta.get("source")


def _prose(record: dict[str, Any]) -> str:
    lines = [shlex.join(["onetoall", *record["arguments"]]), ""]
    lines += [f"onetoall {record['onetoall']}"]
    for part in ("model", "result", "versions"):
        if record[part]:
            lines += [f"{part}: " + ", ".join(f"{name} {value}" for name, value in record[part].items())]
    return "\n".join(lines)

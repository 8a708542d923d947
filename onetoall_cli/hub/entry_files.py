"""The files of installed entries that consist of one: networks of metrics, sets of benchmarks."""

from pathlib import Path

from onetoall_cli.hub.index import installed


def entry_file(name: str) -> Path | None:
    """The one file of an installed entry; None if it is not installed or incomplete."""
    known = installed().get(name)
    if known is None or known.missing():
        return None
    return known.folder / known.files[0].path

"""The files of installed metric networks."""

from pathlib import Path

from onetoall_cli.hub.index import installed


def metric_file(name: str) -> Path | None:
    """The one file of an installed entry of the kind `metric`; None if it is not installed or incomplete."""
    known = installed().get(name)
    if known is None or known.missing():
        return None
    return known.folder / known.files[0].path

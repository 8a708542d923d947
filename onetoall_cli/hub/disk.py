"""The check for free disk space before anything is downloaded or converted."""

import shutil
from pathlib import Path

from onetoall_cli.errors import OutOfResources

SPARE = 200 * 10**6  # bytes left free beyond what is written


def check_disk(needed: int, folder: Path, what: str) -> None:
    """Raise OutOfResources unless `needed` bytes and `SPARE` fit on the disk of `folder`."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed and needed + SPARE > free:
        raise OutOfResources(
            f"There is not enough disk space for {what}: it takes {needed / 10**9:.2f} GB and "
            f"{existing} has {free / 10**9:.2f} GB free.",
            "Free some space, or put the cache on another disk with HF_HOME.",
        )

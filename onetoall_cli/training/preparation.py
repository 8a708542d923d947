"""The preparation of a folder: shared by all processes that want it; and what it found: which videos can be used, how
much of them, what is wrong with the rest."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import BadInput

Progress = Callable[[int, int | None], None]
T = TypeVar("T")


def share_work(
    items: Mapping[str, T],
    work: Callable[[T], None],
    *,
    is_done: Callable[[T], bool],
    locks: Path,
    progress: Progress | None = None,
) -> None:
    """Do what is not done yet, each item once, together with all processes that call this with the same items.

    First what nobody else does; then what others were doing is waited for, and done here where they have died. A lock
    ends with its process, so nothing is left to clear away after a kill.

    Args:
        items: The items by their names, the same in all processes.
        work: Does an item.
        is_done: Whether nothing is left to do of an item.
        locks: Folder for a lock file for each item.
        progress: Called with (items done, all items).
    """
    locks.mkdir(parents=True, exist_ok=True)
    for timeout in (0, -1):
        for done, (name, item) in enumerate(items.items(), 1):
            if not is_done(item):
                try:
                    lock = locks / f"{name}.lock"
                    with FileLock(lock, timeout=timeout):
                        if not is_done(item):
                            work(item)
                        with suppress(OSError):  # Windows deletes no open file
                            lock.unlink(missing_ok=True)  # who locks it later finds the work done
                except Timeout:
                    continue
            if progress and timeout == 0:
                progress(done, len(items))


@dataclass(frozen=True)
class Finding:
    """One video.

    Attributes:
        name: Its file's name.
        frames: Its frames at the training's rate.
        windows: Training windows in it; 0: it is left out.
        faults: What is wrong with it.
    """

    name: str
    frames: int
    windows: int
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Preparation:
    """All videos of a folder."""

    folder: Path
    findings: tuple[Finding, ...]

    @property
    def faulty(self) -> tuple[Finding, ...]:
        """Videos that cannot be used, or only in part."""
        return tuple(finding for finding in self.findings if finding.faults)

    def lines(self) -> list[str]:
        """The faulty videos as lines of a table, and a last line on all."""
        used = sum(finding.windows > 0 for finding in self.findings)
        windows = sum(finding.windows for finding in self.findings)
        rows = [
            f"{displayed(finding.name, 40):40}  {finding.windows:5} windows  {'; '.join(finding.faults)}"
            for finding in self.faulty
        ]
        return [*rows, f"{used} of {len(self.findings)} videos can be used: {windows} windows."]

    def check(self, *, strict: bool) -> None:
        """Refuse a folder without a usable video, or with `strict` one with a faulty video.

        Raises:
            BadInput: So it is; the message names the first such video.
        """
        if not any(finding.windows for finding in self.findings):
            first = self.findings[0]
            raise BadInput(
                f"No video in {self.folder} can be used ({first.name}: {'; '.join(first.faults)}).",
                "Add videos that show one person each.",
            )
        if strict and self.faulty:
            first = self.faulty[0]
            raise BadInput(
                f"{len(self.faulty)} of {len(self.findings)} videos in {self.folder} have faults ({first.name}: "
                f"{'; '.join(first.faults)}).",
                "Mend or remove them, or train without --strict.",
            )

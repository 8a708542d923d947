"""What the preparation of a folder found: which videos can be used, how much of them, what is wrong with the rest."""

from dataclasses import dataclass
from pathlib import Path

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import BadInput


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

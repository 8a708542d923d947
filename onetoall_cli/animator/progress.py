"""What a run tells while it works: notes in plain words, and how far each stage has come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from onetoall_cli.sampling.previews import Preview

Note = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """A piece of work whose progress can be counted: its name for people, and what is counted."""

    title: str
    unit: Literal["bytes", "frames", "jobs", "steps"]


FETCHING = Stage("Fetching", "bytes")
DETECTING = Stage("Detecting poses", "frames")
DENOISING = Stage("Denoising", "steps")
WRITING = Stage("Writing frames", "frames")
DRAWING = Stage("Drawing poses", "frames")

Progress = Callable[[Stage, int, int | None], None]  # (stage, done, total or None where it is not known)


@dataclass(frozen=True)
class Listener:
    """Who is told what: by default nobody.

    Attributes:
        note: Called with a sentence about a choice that was made.
        progress: Called with a stage, what is done of it, and how much there is (None: not known). An exception raised
            in it ends the run, with nothing half-written.
        preview: Called with small pictures of what is being denoised, as often as takes a hundredth of the time.
    """

    note: Note = lambda text: None
    progress: Progress = lambda stage, done, total: None
    preview: "Callable[[Preview], None] | None" = None

    def counter(self, stage: Stage) -> Callable[[int, int | None], None]:
        """`progress` of one stage, as the lower rooms call it."""
        return lambda done, total: self.progress(stage, done, total)

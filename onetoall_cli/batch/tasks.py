"""`Task`: one job of a batch, where its output goes, and the name under which the journal knows it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from onetoall_cli.animator.jobs import Job, files_of
from onetoall_cli.animator.settings import ModelSettings, VideoSettings


@dataclass(frozen=True)
class Task:
    """One job of a batch.

    Attributes:
        place: Where it was asked for, for messages: "jobs.yaml, line 4".
        row: What was asked for, as plain values.
        job: What is to be made.
        model: By which model, loaded how.
        video: The video file.
        output: Where it goes.
        frames, compare: As `Result.save` takes them.
        arguments: The command line after `onetoall` that makes it alone.
        mask: As `Result.save` takes it.
    """

    place: str
    row: Mapping[str, Any]
    job: Job
    model: ModelSettings
    video: VideoSettings
    output: Path
    frames: Path | None
    compare: Path | None
    arguments: tuple[str, ...]
    mask: Path | None = None

    @cached_property
    def key(self) -> str:
        """The same for the same row and inputs that have not been touched, and for nothing else."""
        read = [path.stat() for path in self.reads if path.exists()]
        described = [json.dumps(self.row, sort_keys=True), *(f"{each.st_size} {each.st_mtime_ns}" for each in read)]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]

    @property
    def reads(self) -> list[Path]:
        """Files and folders it reads."""
        return [*self.job.files, *files_of(self.model)]

    @property
    def writes(self) -> list[Path]:
        """Files and folders it writes."""
        return [path for path in (self.output, self.frames, self.compare, self.mask) if path is not None]

    @property
    def title(self) -> str:
        """Its inputs, for people: "a.png, dance.mp4"."""
        return ", ".join(path.name for path in self.job.inputs.values())

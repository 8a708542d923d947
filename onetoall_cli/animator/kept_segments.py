"""A run in progress, kept beside its output: the same run goes on behind the last segment that is whole.

`OUTPUT.unfinished/` holds `run.json`, which says how the output is made, and for each finished segment `N.mkv`, its
frames bit for bit, and `N.safetensors`, what the next one needs (`sampling.SegmentState`). Each file appears whole,
the state after the frames, whose hash it carries; so whatever ends a run, what counts is whole. A finished output
takes the folder's place, if need be when the output is next seen (`sweep_finished`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from onetoall_cli.animator.progress import Note
from onetoall_cli.animator.records import Record, RunRecord, difference, read_record
from onetoall_cli.errors import BadInput
from onetoall_cli.files.digest import content_digest
from onetoall_cli.files.forms import json_text, read_form
from onetoall_cli.files.names import folder_of
from onetoall_cli.files.unfinished import is_working_folder, place_durably, refusals, sweep, working_folder
from onetoall_cli.media.lossless import LosslessWriter, read_lossless
from onetoall_cli.sampling import SegmentState
from onetoall_cli.sampling.carrying import Carried

_RECORD, _LOCK = "run.json", "lock"
_STATE = {"noise", *(each.name for each in fields(Carried))}  # what a state's file may hold
_OURS = re.compile(rf"\d+\.(mkv|safetensors)|{re.escape(_RECORD)}|{_LOCK}")


@dataclass(frozen=True)
class Unfinished:
    """What a folder of a run in progress holds.

    Attributes:
        record: How the output is made.
        done: How many segments are whole.
    """

    record: RunRecord
    done: int


def read_unfinished(folder: Path) -> Unfinished | None:
    """What `folder` holds; None where it is none of ours."""
    record = _read_record(folder)
    return None if record is None else Unfinished(record, sum(1 for _ in _whole_states(folder)))


class EnoughSegments(Exception):
    """As many segments are made as were wanted now."""


class KeptSegments:
    """The segments of one run: those that are there, and room for the next ones; made by `segments_kept`.

    Args:
        folder: Where they are.
        scratch: A folder on the same disk in which files grow.
        enough: With so many, the run ends by `EnoughSegments`; None: it goes on to its end.
    """

    def __init__(self, folder: Path, scratch: Path, enough: int | None = None) -> None:
        self._folder, self._scratch, self._enough = folder, scratch, enough
        self._writer: LosslessWriter | None = None
        self.state: SegmentState | None = None
        for self.state in _whole_states(folder):
            pass

    @property
    def done(self) -> int:
        """How many segments are whole."""
        return self.state.index if self.state else 0

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The frames of the segments that are whole, uint8 (H, W, 3).

        Raises:
            EnoughSegments: There are enough of them.
        """
        self._check_enough()
        for number in range(1, self.done + 1):
            yield from read_lossless(_frames_file(self._folder, number))

    def recording(self, frames: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """`frames` as they are, each recorded in the segment that is being made."""
        for frame in frames:
            if self._writer is None:
                self._writer = LosslessWriter(self._scratch / "frames.mkv", frame.shape[1], frame.shape[0])
            self._writer.write(frame)
            yield frame

    def finish(self, state: SegmentState) -> None:
        """Keep the segment whose frames were recorded, and `state`, what follows it begins with.

        Raises:
            EnoughSegments: There are enough of them.
        """
        assert self._writer is not None and state.carried is not None
        self._writer.close()
        self._writer = None
        frames = _frames_file(self._folder, state.index)
        with refusals(self._folder):
            place_durably(self._scratch / "frames.mkv", frames)
            unfinished = self._scratch / "state.safetensors"
            save_file(_tensors(state), unfinished, metadata={"frames": content_digest(frames)})
            place_durably(unfinished, _state_file(self._folder, state.index))
        self.state = state
        self._check_enough()

    def _check_enough(self) -> None:
        if self._enough is not None and self.done >= self._enough:
            raise EnoughSegments


@contextmanager
def segments_kept(
    output: Path, record: RunRecord, *, restart: bool, note: Note, enough: int | None = None
) -> Iterator[KeptSegments]:
    """Keep the segments of a run beside its output while the block lasts; once it succeeds they go.

    Args:
        output: What the run makes.
        record: All that decides on its frames.
        restart: Whether to begin anew where the segments of another run are kept; else that is an error.
        note: Told where the run goes on, and of what is kept when it ends too early.
        enough: As `KeptSegments` takes it; the last segment finishes the output, so that it is never too early.

    Raises:
        BadInput: Segments of another run are there, or another process is making the output now.
        OutOfResources: The disk is full.
    """
    folder = folder_of(output)
    with refusals(folder.parent):
        folder.mkdir(exist_ok=True)
    with _locked(folder, output):
        _check_same_run(folder, output, record, restart)
        kept = None
        try:
            with working_folder(folder) as scratch:
                _write_record(folder, scratch, record)
                kept = KeptSegments(folder, scratch, None if enough is None or enough >= record.segments else enough)
                if kept.done:
                    note(f"Continuing {output} at segment {kept.done + 1}; those before it are in {folder.name}.")
                yield kept
            _empty(folder)
        except BaseException:
            if kept is None or not kept.done:
                _empty(folder)
            else:
                note(f"{kept.done} segment(s) are kept in {folder}; the same command goes on behind them.")
            raise


def sweep_finished(output: Path) -> bool:
    """Remove what is kept of a run that has made `output`, and was killed before it could do so; returns whether."""
    folder = folder_of(output)
    try:
        kept = _read_record(folder)
        if kept is not None and not _is_made_by(output, kept, begun=(folder / _RECORD).stat().st_mtime_ns):
            return False
        with _locked(folder, output):
            sweep(folder)
            if kept is not None:
                _empty(folder)
    except (BadInput, OSError):  # no output of ours, a run that goes on, or a folder that may not be changed
        return False
    return not folder.exists()


def _is_made_by(output: Path, kept: RunRecord, begun: int) -> bool:
    """Whether an output comes from the run that `kept` describes, and is not an older one that it was to replace."""
    made = read_record(output)
    said = made.arguments[: len(kept.arguments)]  # how the video was written follows
    same = made.model_copy(update={"arguments": said}) == Record(**kept.model_dump(include=set(Record.model_fields)))
    return same and output.stat().st_mtime_ns >= begun


@contextmanager
def _locked(folder: Path, output: Path) -> Iterator[None]:
    """Be the only one who makes `output`; a folder with nothing in it goes afterwards."""
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BadInput(f"Another onetoall is making {output} now.", "Wait for it, or choose another name.") from error
    try:
        yield
    finally:
        lock.release()
        if not _read_record(folder):
            (folder / _LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # something of somebody else's is in it
                folder.rmdir()


def _check_same_run(folder: Path, output: Path, record: RunRecord, restart: bool) -> None:
    """Make sure that what is kept belongs to the run that `record` describes, and to nobody else.

    Raises:
        BadInput: It does not.
    """
    kept = _read_record(folder)
    if kept is None:
        foreign = sorted(path.name for path in folder.iterdir() if not _is_ours(path))
        if foreign:
            raise BadInput(f"{folder} holds {foreign[0]}, which onetoall did not write.", "Choose another output.")
        return
    differing = difference(kept, record)
    if differing is None:
        return
    if not restart:
        done = sum(1 for _ in _whole_states(folder))
        raise BadInput(
            f"{folder} holds {done} segment(s) of another run: {differing}.",
            f"`onetoall info {folder}` prints its command, which continues it; --restart gives it up.",
        )
    _empty(folder)


def _write_record(folder: Path, scratch: Path, record: RunRecord) -> None:
    unfinished = scratch / _RECORD
    unfinished.write_text(json_text(record), encoding="utf-8")
    with refusals(folder):
        place_durably(unfinished, folder / _RECORD)


def _read_record(folder: Path) -> RunRecord | None:
    try:
        return read_form(RunRecord, folder / _RECORD, advice="")
    except BadInput:
        return None


def _whole_states(folder: Path) -> Iterator[SegmentState]:
    """What follows each finished segment, in order; the first that is not whole ends them."""
    for number in count(1):
        try:
            with safe_open(_state_file(folder, number), framework="pt") as file:
                is_same = (file.metadata() or {}).get("frames") == content_digest(_frames_file(folder, number))
                if not is_same or not {"noise"} <= set(file.keys()) <= _STATE:
                    return
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            yield _state(number, **tensors)
        except (OSError, SafetensorError):
            return


def _tensors(state: SegmentState) -> dict[str, torch.Tensor]:
    """A state as its file holds it."""
    carried = {each.name: getattr(state.carried, each.name) for each in fields(Carried)}
    return {"noise": state.noise, **{name: each.contiguous() for name, each in carried.items() if each is not None}}


def _state(number: int, noise: torch.Tensor, **carried: torch.Tensor) -> SegmentState:
    return SegmentState(number, Carried(**carried), noise)


def _frames_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.mkv"


def _state_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.safetensors"


def _is_ours(path: Path) -> bool:
    return _OURS.fullmatch(path.name) is not None or is_working_folder(path.name)


def _empty(folder: Path) -> None:
    """Remove what we wrote into the folder, the record last; all may be gone, if somebody removed it meanwhile."""
    for path in sorted(folder.glob("*"), key=lambda path: path.name == _RECORD):
        if _OURS.fullmatch(path.name) and path.name != _LOCK:
            path.unlink(missing_ok=True)

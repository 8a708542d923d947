"""The sets of the benchmarks: fetched, unpacked, and looked through before anything is made of them."""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from onetoall_cli.errors import BadInput, ModelMissing, OnetoallError
from onetoall_cli.files import whole_folder
from onetoall_cli.files.forms import InsidePath, check
from onetoall_cli.files.names import MOVIE_SUFFIXES, natural_order
from onetoall_cli.hub import load_catalogue
from onetoall_cli.hub.disk import check_disk
from onetoall_cli.hub.entry_files import entry_file
from onetoall_cli.hub.fetch import fetch_lock, plan_fetch, run_plan
from onetoall_cli.hub.places import derived_folder
from onetoall_cli.media import open_video

_SHOWN = 5  # faults in one message
_BROKEN = "Fetch it again: `onetoall fetch --verify --repair`."
_LAYOUTS = "The manual of evaluation says how a set lies in its folder."


@dataclass(frozen=True)
class Clip:
    """One clip or pair of a set.

    Attributes:
        name: In tables, and of its outputs.
        reference: The picture that is given.
        motion: A video, a folder of frames, a picture or a pose file.
        truth: What the result is compared with.
        ref_pose: Pose file of the reference; None: it is detected.
    """

    name: str
    reference: Path
    motion: Path
    truth: Path
    ref_pose: Path | None = None


def fetched_set(entry: str, *, note: Callable[[str], None], progress: Callable[[int, int | None], None]) -> Path:
    """The folder of a set of the catalogue, fetched and unpacked if it is not here yet.

    Raises:
        ModelMissing: The hub does not give it, or the archive is damaged.
        OutOfResources: The disk is too full.
    """
    with fetch_lock(lambda: note("Waiting for another onetoall that is fetching.")):
        if entry_file(entry) is None:
            plan = plan_fetch([entry])
            licence = load_catalogue().entry(entry).licence
            note(f"Fetching {entry}: {plan.bytes_to_fetch / 10**6:.0f} MB. Licence: {licence}.")
            run_plan(plan, progress=progress)
        archive = entry_file(entry)
        assert archive is not None
        folder = derived_folder(entry) / archive.parent.name  # the commit
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            unpack(archive, folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive, whole or not at all.

    Raises:
        ModelMissing: It is damaged, or one of its files would not lie in the folder.
        OutOfResources: The disk is too full.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if not each.is_dir()]
            for each in members:
                check(InsidePath, each.filename, source=str(archive), advice=_BROKEN)
                if stat.S_ISLNK(each.external_attr >> 16):
                    raise BadInput(f"{archive} holds a link, {each.filename}.", _BROKEN)
            check_disk(sum(each.file_size for each in members), folder, "the set")
            with whole_folder(folder, "test set") as temporary:
                for each in members:
                    opened.extract(each, temporary)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, BadInput) as error:  # RuntimeError: encrypted
        problem = error.problem if isinstance(error, BadInput) else f"{archive} is damaged ({error})."
        raise ModelMissing(problem, _BROKEN) from error


def clips_of_frames(folder: Path) -> list[Clip]:
    """A set of folders of frames, `000/`, each with its reference beside it, `000_reference.png`.

    Raises:
        BadInput: It is none, or some of it is missing or cannot be read; the message names up to five.
    """
    root = _root(folder, "*_reference.png")
    motions = [path for path in _visible(root) if path.is_dir()]
    return _checked(Clip(path.name, root / f"{path.name}_reference.png", path, path) for path in motions)


def clips_of_videos(folder: Path) -> list[Clip]:
    """A set of videos, `name.mp4`, with their references in a folder, `reference/name.png`.

    Raises:
        BadInput: As `clips_of_frames`.
    """
    root = _root(folder, "reference")
    motions = [path for path in _visible(root) if path.suffix.lower() in MOVIE_SUFFIXES]
    return _checked(Clip(path.stem, root / "reference" / f"{path.stem}.png", path, path) for path in motions)


def _root(folder: Path, mark: str) -> Path:
    """The folder that holds `mark`: the given one, or the one folder in it, as archives have it."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder.", "Give the folder of the set.")
    for root in (folder, *(path for path in _visible(folder) if path.is_dir())):
        if any(root.glob(mark)):
            return root
    raise BadInput(f"{folder} holds no clips with references ({mark}).", _LAYOUTS)


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.name[0] not in "._"), key=natural_order)


def _checked(clips: Iterator[Clip]) -> list[Clip]:
    """The clips, all of which can be read and have a reference."""
    found = list(clips)
    faults = [fault for clip in found for fault in _faults(clip)]
    if faults:
        more = f" And {len(faults) - _SHOWN} more." if len(faults) > _SHOWN else ""
        raise BadInput(" ".join(faults[:_SHOWN]) + more, "Mend the set, or fetch or unpack it again.")
    if not found:
        raise BadInput("The set has no clips.", _LAYOUTS)
    return found


def _faults(clip: Clip) -> Iterator[str]:
    if not clip.reference.exists():
        yield f"{clip.reference} is missing, the reference of {clip.name}."
    try:
        frames = open_video(clip.truth).frames_estimate
    except OnetoallError as error:
        yield error.problem
        return
    if frames == 1:
        yield f"{clip.truth} has one frame, and a clip has several."

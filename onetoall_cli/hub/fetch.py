"""Fetching: plan a request, then run the plan, which can be interrupted anywhere.

A plan names every file with its size before anything is downloaded. After a complete run all files are in place,
verified and recorded in the index. After an interruption the same request continues where it stopped.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.files.documents import MAX_JSON
from onetoall_cli.hub import places
from onetoall_cli.hub.catalogue import ANY_MODEL_FILES, Catalogue, Entry, load_catalogue
from onetoall_cli.hub.disk import check_disk
from onetoall_cli.hub.index import FileRecord, Installed, installed, record
from onetoall_cli.hub.locking import locked
from onetoall_cli.hub.model_files import NETWORK_CLASS, PipelineIndex, read_model_file
from onetoall_cli.hub.remote import Listing, Stopped, list_repository
from onetoall_cli.hub.remove import release
from onetoall_cli.hub.transfer import obtain

WORKERS = 4  # files at once: ViTPose has 400 small ones, for which most time is waiting
ASK_ABOVE = 10**9  # bytes; below this no question is asked


@dataclass(frozen=True)
class FetchPart:
    """One entry of a plan.

    Attributes:
        target: The entry's record in the index afterwards.
        to_fetch: Its files that are not in the cache yet.
        to_check: Its files in the cache that onetoall did not put there, which are hashed first.
    """

    target: Installed
    to_fetch: tuple[FileRecord, ...]
    to_check: tuple[FileRecord, ...] = ()

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes to download: the rest of partial files, and nothing for content that another commit shares."""
        there = _blob_sizes(self.target.repository)
        return sum(max(0, file.size - there.get(_etag(file), 0)) for file in self.to_fetch)

    @property
    def brings_everything(self) -> bool:
        """Whether this is a whole model in diffusers' layout rather than bare weights."""
        return any(file.path == "model_index.json" for file in self.target.files)


@dataclass(frozen=True)
class FetchPlan:
    """All that a request has to fetch."""

    parts: tuple[FetchPart, ...]

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes to download."""
        return sum(part.bytes_to_fetch for part in self.parts)

    @property
    def pending(self) -> list[tuple[FetchPart, FileRecord]]:
        """Every file that has to be fetched or checked, small ones (configurations) first."""
        pairs = [(part, file) for part in self.parts for file in (*part.to_fetch, *part.to_check)]
        return sorted(pairs, key=lambda pair: pair[1].size)


def plan_fetch(
    names: Iterable[str],
    *,
    catalogue: Catalogue | None = None,
    revision: str | None = None,
    without: Iterable[str] = (),
) -> FetchPlan:
    """Plan to fetch `names`. The hub is asked only about entries that are not installed yet.

    Args:
        names: Entries, groups or `hf:OWNER/REPO`.
        catalogue: The catalogue; None reads the package's and the user's.
        revision: Revision of the named entries instead of the pinned one; the entries they need keep theirs.
        without: Entries to leave out although they are named or needed (`text-encoder`). What they need is fetched.

    Raises:
        BadInput: A name is unknown, or a repository is not a One-to-All model.
        ModelMissing: The hub does not have an entry, or cannot be reached.
    """
    catalogue = catalogue or load_catalogue()
    known = installed()
    parts: dict[str, FetchPart] = {}
    needs: dict[str, None] = {}  # ordered, each once
    for entry in catalogue.expand(names):
        if entry.name in without:
            needs.update(dict.fromkeys(entry.needs))
            continue
        part = _plan_part(entry, revision, known.get(entry.name))
        parts[entry.name] = part
        needs.update(dict.fromkeys(() if part.brings_everything else entry.needs))
    for name in needs:
        if name not in parts and name not in without:
            parts[name] = _plan_part(catalogue.entry(name), None, known.get(name))
    return FetchPlan(tuple(parts.values()))


def plan_repair(entries: Iterable[Installed]) -> FetchPlan:
    """Plan to fetch the missing files of installed entries, at their recorded commits."""
    return FetchPlan(tuple(FetchPart(entry, tuple(entry.missing())) for entry in entries))


def _plan_part(entry: Entry, asked: str | None, known: Installed | None) -> FetchPart:
    """The part for one entry. An installed entry keeps its commit unless another is asked for or the pin changed."""
    if known is not None and (asked == known.commit or (asked is None and known.pin == entry.revision)):
        return FetchPart(known, tuple(known.missing()))
    revision = asked or entry.revision
    listing = list_repository(entry.repository, revision)
    files = listing.matching(entry.files)
    if entry.files == ANY_MODEL_FILES:
        files = _check_is_model(listing, files)
    if not files:
        raise ModelMissing(
            f"{entry.repository} has none of the files of '{entry.name}' ({', '.join(entry.files)}).",
            "Check the catalogue entry's repository and files, or choose another --revision.",
        )
    target = Installed(
        name=entry.name,
        repository=entry.repository,
        revision=revision,
        pin=entry.revision,
        commit=listing.commit,
        files=files,
    )
    there = tuple(file for file in files if (target.folder / file.path).exists())
    return FetchPart(target, tuple(file for file in files if file not in there), there)


def _check_is_model(listing: Listing, files: tuple[FileRecord, ...]) -> tuple[FileRecord, ...]:
    """The files of a One-to-All model; any other repository is refused before gigabytes are fetched."""
    if not any(file.path == "model_index.json" for file in files):
        return tuple(file for file in files if "/" not in file.path)  # released weights without configurations
    index = next(file for file in files if file.path == "model_index.json")
    what = f"{listing.repository}/{index.path}"
    if index.size > MAX_JSON:
        raise ModelMissing(f"{what} has {index.size / 10**6:.0f} MB, which no such file has.", "Choose another one.")
    path = obtain(listing.repository, listing.commit, index, lambda _: None, threading.Event())
    _, network = read_model_file(PipelineIndex, path).transformer
    if network != NETWORK_CLASS:
        raise BadInput(
            f"{listing.repository} holds a {network}, not a One-to-All network.", "Choose another repository."
        )
    return files


def run_plan(plan: FetchPlan, *, progress: Callable[[int, int | None], None] | None = None) -> None:
    """Run a plan: download, verify, record.

    Args:
        plan: From `plan_fetch`.
        progress: Called with (bytes in place, all bytes) of the pending files, by one thread at a time.

    Raises:
        OutOfResources: The disk is too full, before or during the download.
        ModelMissing: The hub failed repeatedly; what has been downloaded is kept for the next run.
    """
    check_disk(plan.bytes_to_fetch, places.hub_cache(), "the download")
    before = installed()
    for part in plan.parts:
        if (
            part.target.name not in before
        ):  # recorded first, so that an interrupted fetch is listed, continued and removable
            record(part.target)
    _obtain_all(plan, progress)
    for part in plan.parts:
        record(part.target)  # for an update only now: the old commit is usable until here
        old = before.get(part.target.name)
        if old is not None and old.commit != part.target.commit:
            release(old)


def _obtain_all(plan: FetchPlan, progress: Callable[[int, int | None], None] | None) -> None:
    total = sum(file.size for _, file in plan.pending)
    counter = _Counter(total, progress)
    stop = threading.Event()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="fetch") as pool:
        jobs = [
            pool.submit(obtain, part.target.repository, part.target.commit, file, counter.add, stop)
            for part, file in plan.pending
        ]
        try:
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        if any(job.exception() for job in done):
            stop.set()
            pool.shutdown(cancel_futures=True)
    for error in (job.exception() for job in jobs if not job.cancelled()):
        if error is not None and not isinstance(error, Stopped):
            raise error


class _Counter:
    """Adds up the bytes that the threads report."""

    def __init__(self, total: int, progress: Callable[[int, int | None], None] | None) -> None:
        self._done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._progress:
                self._progress(self._done, self._total)


def fetch_lock(waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
    """Hold the lock for changes to the installed models; if it is taken, call `waiting` and wait for it."""
    return locked(places.data_folder() / "fetch.lock", waiting)


def _etag(file: FileRecord) -> str:
    """The name of the file's blob; huggingface.co uses the digest as ETag."""
    return file.digest.partition(":")[2]


def _blob_sizes(repository: str) -> dict[str, int]:
    """Bytes in the cache of each blob, whole or partial, by its name."""
    blobs = (places.repository_folder(repository) / "blobs").glob("*")
    return {path.name.removesuffix(".incomplete"): path.stat().st_size for path in blobs if path.is_file()}

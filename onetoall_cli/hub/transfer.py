"""Download of one file from the hub into the Hugging Face cache: resumed at the byte, hashed, whole or not at all.

Since version 1.0 `huggingface_hub` deletes partial files, so that an interrupted 5 GB file starts over. So the bytes
are received here, into the cache's `blobs/<digest>.incomplete`, and the finished blob is linked into its snapshot: the
documented layout, in which other programs find it.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from huggingface_hub import constants, hf_hub_download

from onetoall_cli.errors import BadInput, ModelMissing, OutOfResources, is_disk_full
from onetoall_cli.hub import digest, web
from onetoall_cli.hub.index import FileRecord
from onetoall_cli.hub.places import check_home, hub_cache, repository_folder, snapshot_folder, split_repository
from onetoall_cli.hub.remote import AGAIN, BrokeOff, Retries, Stopped, with_retries
from onetoall_cli.hub.remove import discard
from onetoall_cli.hub.web import HTTPError

Progress = Callable[[int], None]

_RANGE = re.compile(r"bytes (\d{1,18})-")


def obtain(repository: str, commit: str, file: FileRecord, progress: Progress, stop: threading.Event) -> Path:
    """Get `file` into the cache, with the right content.

    Args:
        repository: `OWNER/REPO` or `datasets/OWNER/REPO`.
        commit: The commit it belongs to.
        file: Its path, size and hash.
        progress: Called with the number of received bytes (negative if bytes had to be discarded).
        stop: Stops the download between two chunks.

    Returns:
        Its path in the snapshot.

    Raises:
        ModelMissing: The file cannot be fetched, or its content is not what the hub announced.
        BadInput: The cache cannot be written.
        OutOfResources: The disk is full.
        Stopped: `stop` was set.
    """
    placed = snapshot_folder(repository, commit) / file.path
    if placed.exists():
        if digest.is_intact(placed, file):
            progress(file.size)
            return placed
        discard(placed)
    if constants.HF_XET_HIGH_PERFORMANCE and file.digest.startswith("sha256:"):
        return _by_xet(repository, commit, file, progress)
    name = file.digest.partition(":")[2]  # the hub's ETag, by which huggingface_hub calls its blobs
    blob = repository_folder(repository) / "blobs" / name
    lock = hub_cache() / ".locks" / repository_folder(repository).name / f"{name}.lock"
    check_home(blob)
    with _disk_errors(blob.parent):
        for folder in (blob.parent, lock.parent, placed.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with _locked(lock, stop):
            if blob.exists() and digest.is_intact(blob, file):
                progress(file.size)
            else:
                url = web.file_url(repository, commit, file.path)
                _receive_intact(url, blob, file, f"{repository}/{file.path}", progress, stop)
            _place(blob, placed)
    return placed


@contextmanager
def _locked(path: Path, stop: threading.Event) -> Iterator[None]:
    """Hold the lock that huggingface_hub uses for this file."""
    lock = FileLock(path)
    while not lock.is_locked:
        if stop.is_set():
            raise Stopped
        with suppress(Timeout):
            lock.acquire(timeout=1)
    try:
        yield
    finally:
        lock.release()


def _receive_intact(
    url: str, blob: Path, file: FileRecord, what: str, progress: Progress, stop: threading.Event
) -> None:
    """Receive into `<blob>.incomplete`, check the hash and rename; if the hash is wrong, once more from the start."""
    partial = blob.with_name(f"{blob.name}.incomplete")
    for _ in range(2):
        hashed = _receive(url, partial, file, what, progress, stop)
        if digest.matches(hashed, file):
            os.replace(partial, blob)
            return
        partial.unlink()
        progress(-file.size)
    raise ModelMissing(
        f"{what} arrives with other content than the hub announces (twice).",
        "A proxy or mirror may be changing it: check HF_ENDPOINT and try another network.",
    )


def _receive(url: str, partial: Path, file: FileRecord, what: str, progress: Progress, stop: threading.Event) -> Any:
    """Complete `partial` by as many requests as needed; returns the hasher of the whole content."""
    hashed = digest.hasher(file)
    if partial.exists() and partial.stat().st_size > file.size:
        partial.unlink()
    if partial.exists():
        digest.feed_file(hashed, partial, progress)
    retries = Retries(what, stop)
    with partial.open("ab") as stream:
        while stream.tell() < file.size:
            try:
                _receive_rest(url, stream, file, hashed, progress, stop, retries)
            except HTTPError as error:
                retries.after(error)
    return hashed


def _receive_rest(
    url: str,
    stream: Any,
    file: FileRecord,
    hashed: Any,
    progress: Progress,
    stop: threading.Event,
    retries: Retries,
) -> None:
    """Request the missing bytes once. Of a server that sends the whole file instead, what is here is passed over."""
    have = stream.tell()
    with web.opened(url, start=have) as response:
        position = _first_byte(response, have)
        for chunk in _chunks(response, stream, file):
            if stop.is_set():
                raise Stopped
            new = chunk[max(0, have - position) :][: file.size - have]  # never more than announced
            position += len(chunk)
            if not new:
                continue
            stream.write(new)
            hashed.update(new)
            progress(len(new))
            retries.progressed()
            have += len(new)
            if have == file.size:  # whatever else it sends
                return
    raise BrokeOff(have, file.size)


def _first_byte(response: Any, asked: int) -> int:
    """Which byte of the file an answer begins with."""
    if response.status_code != 206:
        return 0
    given = _RANGE.match(response.headers.get("Content-Range", ""))
    if given is None or int(given[1]) > asked:
        raise HTTPError(f"an answer with other bytes than asked for, which were those from {asked} on")
    return int(given[1])


def _chunks(response: Any, stream: Any, file: FileRecord) -> Iterator[bytes]:
    """The bytes of an answer; where they end too early, how far the file has come is said."""
    try:
        yield from response.iter_raw()
    except HTTPError as error:
        raise BrokeOff(stream.tell(), file.size) from error


def _by_xet(repository: str, commit: str, file: FileRecord, progress: Progress) -> Path:
    """Download with the hub's own Xet transfer, which is faster but cannot resume."""
    what = f"{repository}/{file.path}"
    owned, kind = split_repository(repository)

    def fetch() -> str:
        return hf_hub_download(owned, file.path, repo_type=kind, revision=commit, cache_dir=hub_cache())

    placed = Path(with_retries(fetch, what))
    if not digest.is_intact(placed, file):
        discard(placed)
        raise ModelMissing(f"{what} arrives with other content than the hub announces.", AGAIN)
    progress(file.size)
    return placed


def _place(blob: Path, placed: Path) -> None:
    """Put a finished blob into its snapshot: as a link, or itself where the cache has no links."""
    placed.unlink(missing_ok=True)
    if not getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
        with suppress(OSError):
            placed.symlink_to(os.path.relpath(blob, placed.parent))
            return
    os.replace(blob, placed)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Say in our words why nothing can be written in the cache."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error.errno):
            raise BadInput(
                f"Cannot write in {folder}: {error.strerror}.", "Choose another cache folder with HF_HOME."
            ) from error
        free = shutil.disk_usage(folder).free
        raise OutOfResources(
            f"The disk of {folder} is full ({free / 10**9:.2f} GB free).",
            "Free some space, or put the cache elsewhere with HF_HOME. " + AGAIN,
        ) from error

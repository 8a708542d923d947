"""Download of one file from the hub into the Hugging Face cache: resumed at the byte, hashed, whole or not at all.

Since version 1.0 `huggingface_hub` deletes partial files, so that an interrupted 5 GB file starts over. So the bytes
are received here, into the cache's `blobs/<etag>.incomplete`; then `huggingface_hub` links the finished blob into its
snapshot as if it had fetched it.
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
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from onetoall_cli import __version__
from onetoall_cli.errors import BadInput, ModelMissing, OutOfResources, is_disk_full
from onetoall_cli.hub import digest
from onetoall_cli.hub.index import FileRecord
from onetoall_cli.hub.places import hub_cache, repository_folder, snapshot_folder, split_repository
from onetoall_cli.hub.remote import AGAIN, HTTPError, Retries, Stopped, with_retries
from onetoall_cli.hub.remove import discard

Progress = Callable[[int], None]

_SAFE_NAME = re.compile(r"\w[\w.-]*")


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
        OutOfResources: The disk is full.
        Stopped: `stop` was set.
    """
    what = f"{repository}/{file.path}"
    placed = snapshot_folder(repository, commit) / file.path
    if placed.exists():
        if digest.is_intact(placed, file):
            progress(file.size)
            return placed
        discard(placed)
    owned, kind = split_repository(repository)
    url = hf_hub_url(owned, file.path, repo_type=kind, revision=commit)
    metadata = with_retries(lambda: get_hf_file_metadata(url), what)
    etag = metadata.etag or ""
    if not _SAFE_NAME.fullmatch(etag):  # it becomes a file name
        raise ModelMissing(f"The hub sends no usable ETag for {what}.", "Check HF_ENDPOINT: this is not a hub.")
    if metadata.xet_file_data is not None and constants.HF_XET_HIGH_PERFORMANCE:
        return _by_xet(repository, commit, file, progress)
    blob = repository_folder(repository) / "blobs" / etag
    lock = hub_cache() / ".locks" / repository_folder(repository).name / f"{etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(lock, stop):
        if blob.exists() and digest.is_intact(blob, file):
            progress(file.size)
        else:
            _receive_intact(url, blob, file, what, progress, stop)
    return _link(repository, commit, file, what, blob)


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
    try:
        with partial.open("ab") as stream:
            while stream.tell() < file.size:
                try:
                    hashed = _receive_rest(url, stream, file, hashed, progress, stop, retries)
                    if stream.tell() < file.size:  # a server that ends early without an error
                        raise HTTPError(f"the connection closed at byte {stream.tell()} of {file.size}")
                except HTTPError as error:
                    retries.after(error)
    except OSError as error:
        raise _as_disk_error(error, partial.parent) from error
    return hashed


def _receive_rest(
    url: str,
    stream: Any,
    file: FileRecord,
    hashed: Any,
    progress: Progress,
    stop: threading.Event,
    retries: Retries,
) -> Any:
    """Request the missing bytes once. If the server ignores the range and sends the whole file, start over."""
    start = stream.tell()
    # identity: byte positions in a compressed answer differ from those in the file
    headers = {**build_hf_headers(library_name="onetoall", library_version=__version__), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    session = get_session()
    with session.stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        if start and response.status_code == 200:
            stream.seek(0)
            stream.truncate()
            hashed = digest.hasher(file)
            progress(-start)
        for chunk in response.iter_raw():
            if stop.is_set():
                raise Stopped
            chunk = chunk[: file.size - stream.tell()]  # never more than announced
            stream.write(chunk)
            hashed.update(chunk)
            progress(len(chunk))
            retries.progressed()
    return hashed


def _by_xet(repository: str, commit: str, file: FileRecord, progress: Progress) -> Path:
    """Download with the hub's own Xet transfer, which is faster but cannot resume."""
    what = f"{repository}/{file.path}"
    placed = _hub_download(repository, commit, file, what)
    if not digest.is_intact(placed, file):
        discard(placed)
        raise ModelMissing(f"{what} arrives with other content than the hub announces.", AGAIN)
    progress(file.size)
    return placed


def _link(repository: str, commit: str, file: FileRecord, what: str, blob: Path) -> Path:
    """Let huggingface_hub put the finished blob into its snapshot, as a link or, without links, as a copy."""
    placed = _hub_download(repository, commit, file, what)
    if placed.stat().st_size != file.size:
        raise ModelMissing(f"{placed} has the wrong size after it was fetched.", AGAIN)
    if not placed.is_symlink():
        blob.unlink(missing_ok=True)  # the copy is all that is needed
    return placed


def _as_disk_error(error: OSError, folder: Path) -> Exception:
    if not is_disk_full(error.errno):
        return BadInput(f"Cannot write in {folder}: {error.strerror}.", "Choose another cache folder with HF_HOME.")
    free = shutil.disk_usage(folder).free
    return OutOfResources(
        f"The disk of {folder} is full ({free / 10**9:.2f} GB free).",
        "Free some space, or put the cache elsewhere with HF_HOME. " + AGAIN,
    )


def _hub_download(repository: str, commit: str, file: FileRecord, what: str) -> Path:
    owned, kind = split_repository(repository)

    def fetch() -> str:
        return hf_hub_download(owned, file.path, repo_type=kind, revision=commit, cache_dir=hub_cache())

    return Path(with_retries(fetch, what))

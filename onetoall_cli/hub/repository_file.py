"""A single file of a repository, such as a LoRA: from the Hugging Face cache, or fetched into it."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.hub import places

_ADDRESS = re.compile(r"^hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?/(?P<path>.+)$")


def repository_file(address: str, *, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """The local path of a file of a repository, fetched unless it is in the cache.

    Args:
        address: `hf:OWNER/REPO/FILE` or `hf:OWNER/REPO@REVISION/FILE`. It is fetched without a question.
        progress: Called with (bytes fetched, all bytes).

    Raises:
        BadInput: The address has another form, or the repository has no such file.
        ModelMissing: The hub cannot be reached or refuses the request.
        OutOfResources: The disk is too full.
    """
    from huggingface_hub import try_to_load_from_cache

    from onetoall_cli.hub.disk import check_disk
    from onetoall_cli.hub.remote import list_repository
    from onetoall_cli.hub.transfer import obtain

    match = _ADDRESS.match(address)
    if match is None or not places.is_repository(match["repository"]) or ".." in address:
        raise BadInput(f"'{address}' names no file on the hub.", "Write hf:OWNER/REPO/FILE.safetensors.")
    repository, path, revision = match["repository"], match["path"], match["revision"] or "main"
    cache = places.hub_cache()
    cached = try_to_load_from_cache(repository, path, cache_dir=cache, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    listing = list_repository(repository, revision)
    file = next((each for each in listing.files if each.path == path), None)
    if file is None:
        alike = [each.path for each in listing.files if each.path.endswith(".safetensors")]
        advice = f"It has {', '.join(alike[:5])}." if alike else "It has no safetensors file."
        raise BadInput(f"{repository} has no file {path}.", advice)
    check_disk(file.size, cache, path)
    done = 0

    def count(received: int) -> None:
        nonlocal done
        done += received
        if progress:
            progress(done, file.size)

    placed = obtain(repository, listing.commit, file, count, threading.Event())
    if revision != listing.commit:  # kept as huggingface_hub does, so that the next run needs no network
        with whole_file(places.revision_file(repository, revision)) as temporary:
            temporary.write_text(listing.commit, encoding="ascii")
    return placed

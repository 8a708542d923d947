"""Requests to the hub: the files of a repository at a revision, retries after temporary errors, and error messages.

All requests use `huggingface_hub`, with its settings for token, endpoint, proxy and offline mode.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from onetoall_cli.errors import ModelMissing, OnetoallError
from onetoall_cli.files.forms import check
from onetoall_cli.hub.index import FileRecord
from onetoall_cli.hub.places import split_repository

log = logging.getLogger(__name__)
Result = TypeVar("Result")

ATTEMPTS = 6  # in a row without progress; about half a minute with the waits below
FIRST_WAIT = 1.0  # seconds before the second attempt; it doubles
LONGEST_WAIT = 8.0  # seconds between attempts, unless the server asks for more
LONGEST_ASKED_WAIT = 300.0  # seconds; the hub's rate limits last five minutes
TEMPORARY_STATUS = (408, 425, 429, 500, 502, 503, 504)

# The base of every error of the HTTP library under huggingface_hub (httpx, httpx2 in its newer releases).
HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]

AGAIN = "Run the command again: it continues where it stopped."


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit, with sizes and hashes."""

    repository: str
    revision: str
    commit: str
    files: tuple[FileRecord, ...]

    def matching(self, patterns: Iterable[str]) -> tuple[FileRecord, ...]:
        """The files that match any of `patterns`, sorted by name; `*` does not match a slash."""
        patterns = tuple(patterns)
        return tuple(file for file in self.files if any(_matches(file.path, pattern) for pattern in patterns))


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _record(repository: str, item: RepoFile) -> FileRecord:
    digest = f"sha256:{item.lfs.sha256}" if item.lfs else f"git:{item.blob_id}"
    fields = {"path": item.path, "size": item.size, "digest": digest}
    return check(FileRecord, fields, source=f"The hub's list of {repository}", advice="Check HF_ENDPOINT.")


def list_repository(repository: str, revision: str) -> Listing:
    """Ask the hub for the files of `repository` at `revision` (a branch, tag or commit).

    Raises:
        ModelMissing: The repository cannot be reached, does not exist or is not visible to this user.
    """
    api, (owned, kind) = HfApi(), split_repository(repository)

    def ask() -> Listing:
        commit = api.repo_info(owned, repo_type=kind, revision=revision).sha
        assert commit is not None  # always sent for models and data sets
        tree = api.list_repo_tree(owned, repo_type=kind, revision=commit, recursive=True)
        files = [_record(repository, item) for item in tree if isinstance(item, RepoFile) and _is_plain(item.path)]
        return Listing(repository, revision, commit, tuple(sorted(files, key=lambda file: file.path)))

    return with_retries(ask, f"{repository} (revision {revision})")


def _is_plain(path: str) -> bool:
    """Whether a path from the hub stays inside its folder on every system."""
    return "\\" not in path and ":" not in path and not {"", ".", ".."} & set(path.split("/"))


def with_retries(ask: Callable[[], Result], what: str) -> Result:
    """Call `ask`, and again after temporary errors.

    Raises:
        ModelMissing: It failed too often, or with a permanent error.
    """
    retries = Retries(what)
    while True:
        try:
            return ask()
        except (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
            retries.after(error)


class Stopped(Exception):
    """Another thread failed or the user interrupted: stop without a message, and keep what was downloaded."""


class Retries:
    """Waits after temporary errors of network or hub, and gives up after too many.

    Args:
        what: What is requested, for the message.
        stop: Ends a wait early.
    """

    def __init__(self, what: str, stop: threading.Event | None = None) -> None:
        self._what = what
        self._stop = stop or threading.Event()
        self._attempts = 0

    def progressed(self) -> None:
        """Start counting again, because data arrived."""
        self._attempts = 0

    def after(self, error: Exception) -> None:
        """Wait after `error`, as long as the server asks for or else a growing time.

        Raises:
            ModelMissing: The error is permanent, or came too often.
            Stopped: `stop` was set.
        """
        self._attempts += 1
        if self._attempts >= ATTEMPTS or not _is_temporary(error):
            raise describe(error, self._what) from error
        wait = _asked_wait(error) or min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self._attempts - 1))
        log.info("%s: %s; trying again in %.0f s", self._what, error, wait)
        if self._stop.wait(wait):
            raise Stopped


def _is_temporary(error: Exception) -> bool:
    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, LocalEntryNotFoundError):  # huggingface_hub's wrapping of a failed request
        return error.__cause__ is not None and _is_temporary(error.__cause__)  # type: ignore[arg-type]
    status = _status(error)
    return status is None or status in TEMPORARY_STATUS


def _status(error: BaseException) -> int | None:
    """The HTTP status of `error`; None without an answer."""
    response = getattr(error, "response", None)
    return response.status_code if response is not None else None


def _asked_wait(error: Exception) -> float | None:
    """Seconds the server asks to wait (`Retry-After`)."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(asked), LONGEST_ASKED_WAIT) if asked.isdigit() else None


def describe(error: Exception, what: str) -> OnetoallError:
    """An error of the hub as an error for the user, with advice."""
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = _status(error)
    if isinstance(error, OfflineModeIsEnabled):
        return ModelMissing(
            f"{what} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it.",
            "Unset HF_HUB_OFFLINE, or copy the Hugging Face cache from a machine that has it.",
        )
    if isinstance(error, GatedRepoError):
        return ModelMissing(
            f"{what} asks for its terms to be accepted ({status}).",
            "Accept them on the repository's page, then log in with `hf auth login` or set HF_TOKEN.",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelMissing(f"{what} does not exist (404).", "Choose another with --revision, for example main.")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return ModelMissing(
            f"The hub does not show {what} to you ({status}).",
            "Check the name; for a private one log in with `hf auth login` or set HF_TOKEN.",
        )
    if status == 404:
        return ModelMissing(f"The hub has no {what} (404).", "Check the name, or choose another --revision.")
    if status == 429:
        return ModelMissing(f"The hub limits how often {what} may be asked for (429).", f"Wait a while. {AGAIN}")
    if status is not None:
        return ModelMissing(f"The hub answers {status} for {what}.", f"Wait a while. {AGAIN}")
    return ModelMissing(
        f"The hub at {constants.ENDPOINT} does not answer for {what} ({type(error).__name__}: {error}).",
        f"Check the connection, proxy and HF_ENDPOINT. {AGAIN}",
    )

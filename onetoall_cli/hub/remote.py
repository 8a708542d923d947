"""The hub's side: what a repository holds at a revision, with patience for passing faults and clear last words.

Everything goes through `huggingface_hub`, so its tokens, endpoint, proxy and offline settings hold.
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
from onetoall_cli.hub.index import FileRecord

log = logging.getLogger(__name__)
Result = TypeVar("Result")

ATTEMPTS = 6  # without progress in between; with the waits below about half a minute
FIRST_WAIT = 1.0  # seconds before the second attempt; it doubles
LONGEST_WAIT = 8.0  # seconds between attempts, unless the server asks for more
LONGEST_ASKED_WAIT = 300.0  # seconds; the hub's rate-limit windows are five minutes
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)

# The base of every error of the HTTP library under huggingface_hub (httpx, httpx2 in its newer releases).
HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]

AGAIN = "Run the command again: it continues where it stopped."


@dataclass(frozen=True)
class Listing:
    """A repository at one commit: every file with its size and hash."""

    repository: str
    revision: str
    commit: str
    files: tuple[FileRecord, ...]

    def matching(self, patterns: Iterable[str]) -> tuple[FileRecord, ...]:
        """The files that any of `patterns` takes in; `*` does not cross a folder. In the order of the names."""
        patterns = tuple(patterns)
        return tuple(file for file in self.files if any(_matches(file.path, pattern) for pattern in patterns))


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def list_repository(repository: str, revision: str) -> Listing:
    """Ask the hub what `repository` holds at `revision` (a branch, tag or commit).

    Raises:
        ModelMissing: It cannot be reached, does not exist or is not shown to this user.
    """
    api = HfApi()

    def ask() -> Listing:
        commit = api.model_info(repository, revision=revision).sha
        assert commit is not None  # always sent for a model
        tree = api.list_repo_tree(repository, revision=commit, recursive=True)
        files = [
            FileRecord(item.path, item.size, f"sha256:{item.lfs.sha256}" if item.lfs else f"git:{item.blob_id}")
            for item in tree
            if isinstance(item, RepoFile) and _is_plain(item.path)
        ]
        return Listing(repository, revision, commit, tuple(sorted(files, key=lambda file: file.path)))

    return patiently(ask, f"{repository} (revision {revision})")


def _is_plain(path: str) -> bool:
    """Whether a name from the hub stays inside its folder on every system."""
    return "\\" not in path and ":" not in path and not {"", ".", ".."} & set(path.split("/"))


def patiently(ask: Callable[[], Result], what: str) -> Result:
    """Call `ask`, again after passing faults, and turn the last one into a sentence.

    Raises:
        ModelMissing: It failed for good.
    """
    patience = Patience(what)
    while True:
        try:
            return ask()
        except (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
            patience.after(error)


class Stopped(Exception):
    """Another thread failed or the user interrupted: give up quietly, keeping what has come."""


class Patience:
    """Waits after passing faults of the network or the hub, and ends them when they do not pass.

    Args:
        what: What is being asked for, for the message.
        stop: Ends a wait early.
    """

    def __init__(self, what: str, stop: threading.Event | None = None) -> None:
        self._what = what
        self._stop = stop or threading.Event()
        self._attempts = 0

    def progressed(self) -> None:
        """Something came through: the count starts anew."""
        self._attempts = 0

    def after(self, error: Exception) -> None:
        """Wait as long as `error` asks for, or as is usual.

        Raises:
            ModelMissing: It is no passing fault, or it has come too often.
            Stopped: `stop` was set.
        """
        self._attempts += 1
        if self._attempts >= ATTEMPTS or not _passes(error):
            raise describe(error, self._what) from error
        wait = _asked_wait(error) or min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self._attempts - 1))
        log.info("%s: %s; trying again in %.0f s", self._what, error, wait)
        if self._stop.wait(wait):
            raise Stopped


def _passes(error: Exception) -> bool:
    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, LocalEntryNotFoundError):  # huggingface_hub's wrapping of a failed request
        return error.__cause__ is not None and _passes(error.__cause__)  # type: ignore[arg-type]
    status = _status(error)
    return status is None or status in PASSING_STATUS


def _status(error: BaseException) -> int | None:
    """The HTTP status behind `error`; None when no answer came at all."""
    response = getattr(error, "response", None)
    return response.status_code if response is not None else None


def _asked_wait(error: Exception) -> float | None:
    """Seconds the server asks to wait (`Retry-After`)."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(asked), LONGEST_ASKED_WAIT) if asked.isdigit() else None


def describe(error: Exception, what: str) -> OnetoallError:
    """`error` of the hub as a sentence for the user and one of advice."""
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

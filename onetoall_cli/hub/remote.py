"""Requests to the hub: the files of a repository at a revision, retries after temporary errors, and error messages."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pydantic import Field

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import BadInput, ModelMissing, OnetoallError
from onetoall_cli.files.documents import parse_json
from onetoall_cli.files.forms import ForeignForm, InsidePath, check
from onetoall_cli.hub import web
from onetoall_cli.hub.index import FileRecord
from onetoall_cli.hub.web import HTTPError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

ATTEMPTS = 6  # in a row without a new byte; about half a minute with the waits below
FIRST_WAIT = 1.0  # seconds before the second attempt; it doubles
LONGEST_WAIT = 8.0  # seconds between attempts, unless the server asks for more
LONGEST_ASKED_WAIT = 300.0  # seconds; the hub's rate limits last five minutes
TEMPORARY_STATUS = (408, 425, 429, 500, 502, 503, 504)
MOST_FILES = 100_000  # of a repository; the largest one that is fetched from has 1000
LARGEST_FILE = 2**40  # bytes; the hub takes files of up to 0.5 TB

AGAIN = "Run the command again: it continues where it stopped."
NO_HUB = "Check HF_ENDPOINT, and whether a login page of the network stands in between."


class _Revision(ForeignForm):
    sha: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class _Large(ForeignForm):
    oid: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _File(ForeignForm):
    type: Literal["file"]
    path: Annotated[InsidePath, Field(max_length=1000)]
    size: Annotated[int, Field(ge=0, le=LARGEST_FILE)]
    oid: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    lfs: _Large | None = None


class _Folder(ForeignForm):
    type: Literal["directory"]


_Page = list[Annotated[_File | _Folder, Field(discriminator="type")]]


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


def list_repository(repository: str, revision: str) -> Listing:
    """Ask the hub for the files of `repository` at `revision` (a branch, tag or commit).

    Raises:
        ModelMissing: The repository cannot be reached, does not exist or is not visible to this user; or what answers
            is no hub.
    """
    what = f"{repository} (revision {revision})"
    kind = "" if repository.startswith("datasets/") else "models/"
    api = f"{web.address()}/api/{kind}{quote(repository)}"
    commit = _ask(_Revision, f"{api}/revision/{quote(revision, safe='')}", what)[0].sha
    files: dict[str, FileRecord] = {}
    seen = 0
    page: str | None = f"{api}/tree/{commit}?recursive=true"
    while page is not None:
        items, following = _ask(_Page, page, what)
        new = {item.path: _record(item) for item in items if isinstance(item, _File)}
        if following is not None and (not items or new.keys() & files.keys() or not web.is_of_hub(following)):
            raise ModelMissing(f"The answer of {web.address()} for {what} has pages that lead astray.", NO_HUB)
        files |= new
        page = following
        seen += len(items)  # folders too: they could go on for ever
        if seen > MOST_FILES:
            raise ModelMissing(f"{what} has more than {MOST_FILES} files.", "Choose another repository.")
    return Listing(repository, revision, commit, tuple(sorted(files.values(), key=lambda file: file.path)))


def _record(item: _File) -> FileRecord:
    digest = f"sha256:{item.lfs.oid}" if item.lfs else f"git:{item.oid}"
    return FileRecord(path=item.path, size=item.size, digest=digest)


def _ask(kind: type[Result], url: str, what: str) -> tuple[Result, str | None]:
    """What the hub says under `url`, checked, and the address of the next page."""
    data, following = with_retries(lambda: web.described(url), what)
    source = f"The answer of {web.address()} for {what}"
    try:
        plain = parse_json(data, source=source, advice=NO_HUB, max_bytes=web.LONGEST_ANSWER)
        return check(kind, plain, source=source, advice=NO_HUB), following
    except BadInput as error:
        raise ModelMissing(error.problem, error.advice) from error


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
        """Start counting again, because something new arrived."""
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
        level = logging.INFO if self._attempts == 1 and wait <= LONGEST_WAIT else logging.WARNING
        log.log(level, "%s: %s; trying again in %.0f s.", self._what, _shortly(error), wait)
        if self._stop.wait(wait):
            raise Stopped


class BrokeOff(HTTPError):  # type: ignore[misc, valid-type]
    """The connection ended before the file did, without an error.

    Args:
        have: Bytes that are here.
        size: Bytes of the file.
    """

    def __init__(self, have: int, size: int) -> None:
        super().__init__(f"the connection ended at byte {have} of {size}")
        self.have, self.size = have, size


def _shortly(error: Exception) -> str:
    status = _status(error)
    if status is not None:
        return f"the hub answers {status}"
    return displayed(error if isinstance(error, BrokeOff) else f"{type(error).__name__}: {error}", 200)


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
    if isinstance(error, BrokeOff):
        return ModelMissing(
            f"The hub breaks off {what} at byte {error.have} of {error.size}, {ATTEMPTS} times now.",
            f"Try another network, or a mirror with HF_ENDPOINT. {AGAIN}",
        )
    return ModelMissing(
        f"The hub at {web.address()} does not answer for {what} ({_shortly(error)}).",
        f"Check the connection, proxy and HF_ENDPOINT. {AGAIN}",
    )

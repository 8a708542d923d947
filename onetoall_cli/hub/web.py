"""Requests to the hub over `huggingface_hub`'s client: with time limits, and with no secret in any message.

The client brings the settings for proxies, certificates and offline mode. It has no time limit of its own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from onetoall_cli import __version__
from onetoall_cli.errors import BadInput

LONGEST_ANSWER = 64 * 10**6  # bytes of a description; the real hub's pages have up to 1 MB
LONGEST_WAIT_FOR_ANSWER = 60.0  # seconds for all of a description, however it trickles

# The base of every error of the HTTP library under huggingface_hub (httpx, httpx2 in its newer releases).
HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]


def address() -> str:
    """The hub's address (`HF_ENDPOINT`), without a user's name and password.

    Raises:
        BadInput: It is no address.
    """
    return _split_endpoint()[0]


def check_settings() -> None:
    """Check the settings that every request needs: the hub's address, the token, proxies and certificates.

    Raises:
        BadInput: One of them cannot be used.
    """
    _split_endpoint()
    _headers()
    _client()


def proxies() -> list[str]:
    """The proxies that the environment names, without users' names and passwords."""
    found = (value.rpartition("@")[2] for kind, value in getproxies().items() if kind != "no")
    return sorted(set(found))


def file_url(repository: str, commit: str, path: str) -> str:
    """Where the hub has a file of a repository (`OWNER/REPO` or `datasets/OWNER/REPO`)."""
    return f"{address()}/{quote(repository)}/resolve/{quote(commit, safe='')}/{quote(path)}"


@contextmanager
def opened(url: str, *, start: int = 0, timeout: float | None = None) -> Iterator[Any]:
    """The answer to a GET request, whose body is yet to be read.

    Args:
        url: Of the hub, or where it sends us; the token and the password go to the hub alone.
        start: The first byte that is wanted; a server may ignore it.
        timeout: Seconds without a byte after which the request fails.

    Raises:
        HTTPError: The server cannot be reached, goes silent or refuses.
        BadInput: As `check_settings`.
    """
    headers = {**_headers(), **({"Range": f"bytes={start}-"} if start else {})}
    credentials = _split_endpoint()[1]
    limit = timeout or constants.HF_HUB_DOWNLOAD_TIMEOUT
    more = {"auth": credentials} if credentials else {}
    with _client().stream("GET", url, headers=headers, timeout=limit, **more) as response:
        hf_raise_for_status(response)
        yield response


def described(url: str) -> tuple[bytes, str | None]:
    """A whole description (JSON) that the hub gives, and the address of its next page.

    Raises:
        HTTPError: As `opened`; or the description is too long or comes too slowly.
    """
    deadline = time.monotonic() + LONGEST_WAIT_FOR_ANSWER
    parts, size = [], 0
    with opened(url, timeout=constants.HF_HUB_ETAG_TIMEOUT) as response:
        for chunk in response.iter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size > LONGEST_ANSWER:
                raise HTTPError(f"an answer of more than {LONGEST_ANSWER / 10**6:.0f} MB")
            if time.monotonic() > deadline:
                raise HTTPError(f"no whole answer within {LONGEST_WAIT_FOR_ANSWER:.0f} s")
        return b"".join(parts), response.links.get("next", {}).get("url")


def is_of_hub(url: str) -> bool:
    """Whether a URL is the hub's own, so that the token may be sent there."""
    asked, own = urlsplit(url), urlsplit(address())
    return (asked.scheme, asked.netloc) == (own.scheme, own.netloc)


def _split_endpoint() -> tuple[str, tuple[str, str] | None]:
    """The hub's address, and the name and password in it."""
    try:
        parts = urlsplit(constants.ENDPOINT)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise BadInput("HF_ENDPOINT is no address.", "Write it as https://HOST, or unset it.")
    place = parts.netloc.rpartition("@")[2]
    credentials = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return f"{parts.scheme}://{place}{parts.path}".rstrip("/"), credentials


def _headers() -> dict[str, str]:
    try:
        headers = build_hf_headers(library_name="onetoall", library_version=__version__)
    except (OSError, ValueError):  # a file that cannot be read as text
        headers = {"authorization": "\0"}
    token = headers.get("authorization", "").removeprefix("Bearer ")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise BadInput(
            "The hub's token has a character that no token has.",
            "Set HF_TOKEN again or run `hf auth login`; the released models need no token.",
        )
    # identity: byte positions in a compressed answer differ from those in the file
    return {**headers, "Accept-Encoding": "identity"}


def _client() -> Any:
    try:
        return get_session()
    except Exception as error:  # of many kinds; its text may have a proxy's password in it
        raise BadInput(
            f"The settings for proxies or certificates cannot be used ({type(error).__name__}).",
            "Check ALL_PROXY, HTTPS_PROXY, HTTP_PROXY and SSL_CERT_FILE.",
        ) from error

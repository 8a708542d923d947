"""Pipes and devices: an output is copied into one once it is whole, an input copied out of one before it is read.

So every format can be written to a pipe and read from one, also those that need to go back and forth in a file.
"""

import atexit
import errno
import logging
import os
import re
import select
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from onetoall_cli.errors import BadInput
from onetoall_cli.files.unfinished import refusals, working_folder

NOTE_AFTER = 2.0  # seconds of silence before the user is told what is waited for
PATIENCE = 60.0  # seconds until a named pipe that nobody opens for writing is refused
_POLL = 0.1  # seconds
_CHUNK = 1 << 20  # bytes
_MAX_LINKS = 40  # as many as Linux follows

# How files begin whose kind is told by their ending everywhere else; what is not here is left to the video reader.
_BEGINNINGS = (
    (re.compile(rb"(\xef\xbb\xbf)?\s*[\[{]"), ".json"),
    (re.compile(rb"\x93NUMPY"), ".npy"),
    (re.compile(rb"PK\x03\x04"), ".npz"),
    (re.compile(rb"\x89PNG"), ".png"),
    (re.compile(rb"\xff\xd8\xff"), ".jpg"),
    (re.compile(rb"GIF8"), ".gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"BM"), ".bmp"),
    (re.compile(rb"II\*\0|MM\0\*"), ".tif"),
    (re.compile(rb"\0\0\0\x0cjP  "), ".jp2"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), ".avif"),
    (re.compile(rb"....ftyp(hei[cx]|mif1)", re.DOTALL), ".heic"),
)

_log = logging.getLogger(__name__)


def descriptor(path: Path, *, dash: int) -> int | None:
    """The number of the open file that `path` names: `/dev/stdout`, `/dev/fd/N`, a link to one; None for another path.

    Args:
        dash: What `-` means: 0 for an input, 1 for an output.
    """
    if str(path) == "-":
        return dash
    path = Path(path)
    with suppress(OSError):  # at the end of the links, or where we may not look
        for _ in range(_MAX_LINKS):
            parent = os.path.realpath(path.parent)
            own = re.fullmatch(r"/dev/fd|/proc/(\d+)(/task/\d+)?/fd", parent)
            if own and path.name.isdecimal() and own[1] in (None, str(os.getpid())):
                return int(path.name)
            path = Path(parent, os.readlink(path))
    return None


def is_output_stream(path: Path) -> bool:
    """Whether an output called `path` goes into something that is no file: an open one, a pipe or a device."""
    if descriptor(path, dash=1) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def ending_of(path: Path, default: str) -> str:
    """The lower-case ending that says how an output is written: its own, or `default` for a stream that has none."""
    return path.suffix.lower() or (default if is_output_stream(path) else "")


def copy_to_stream(file: Path, path: Path) -> None:
    """Write the contents of `file` into the stream `path`; a named pipe is waited for until somebody reads it.

    Raises:
        BadInput: It cannot be written.
        BrokenPipeError: Who read it has gone.
    """
    with refusals(path):
        number = descriptor(path, dash=1)
        target = os.dup(number) if number is not None else _opened_for_writing(path)
        with open(file, "rb") as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK)


def as_file(path: Path) -> Path:
    """`path`, or a copy of what comes out of it if it is `-`, a pipe or an open descriptor: a file to seek in.

    What comes out is copied once in a process; the copy goes when the process ends.

    Raises:
        BadInput: A device or a terminal; nothing comes out, or nobody writes into a named pipe for `PATIENCE`.
        OutOfResources: The copy does not fit the disk.
    """
    number = descriptor(path, dash=0)
    try:
        status = os.stat(path) if number is None else os.fstat(number)
    except OSError:
        return path  # who opens it says what is wrong
    if number is None and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return path
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise BadInput(f"{path} is a device or a terminal, not a file.", "Give a file or a pipe.")
    return _copy(path, number, (status.st_dev, status.st_ino))


def input_ending(path: Path) -> str:
    """The lower-case ending of an input; for a stream without one, of what comes out of it ("" where nothing tells)."""
    return as_file(path).suffix.lower()


@cache
def _copy(path: Path, number: int | None, identity: tuple[int, int]) -> Path:
    """Copy what comes out of a stream into a file whose ending says what it is."""
    with refusals(Path(tempfile.gettempdir())):
        copy = _copies() / f"{identity[0]}-{identity[1]}"
        with open(copy, "wb") as file:
            for chunk in _chunks(path, number):
                file.write(chunk)
    if not copy.stat().st_size:
        raise BadInput(f"Nothing came out of {path}.", "Check the command that writes into it.")
    return copy.rename(copy.with_suffix(path.suffix or _told_by_contents(copy)))


@cache
def _copies() -> Path:
    """The folder of the copies."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(working_folder(Path(tempfile.gettempdir())))


def _told_by_contents(file: Path) -> str:
    with open(file, "rb") as opened:
        head = opened.read(256)
    return next((ending for beginning, ending in _BEGINNINGS if beginning.match(head)), "")


def _chunks(path: Path, number: int | None) -> Iterator[bytes]:
    """What comes out of a stream, bit by bit. Who sends nothing is waited for, but not in silence."""
    is_named = number is None
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if number is None else os.dup(number)
    silence = _Silence(f"Waiting for {path}: nothing comes out of it.")
    try:
        while True:
            ready = select.select([source], [], [], _POLL)[0]
            waited = silence.seconds()
            if not ready and not is_named:  # to read would wait without end
                continue
            try:
                chunk = os.read(source, _CHUNK)
            except BlockingIOError:  # somebody has opened it for writing, and is silent
                continue
            if chunk:
                yield chunk
                silence.broken()
            elif ready:
                return
            elif waited > PATIENCE:
                raise BadInput(f"Nobody writes into the pipe {path}.", "Start what writes into it first.")
    finally:
        os.close(source)


def _opened_for_writing(path: Path) -> int:
    """Open a pipe or device for writing, as a descriptor; a pipe once somebody reads it."""
    silence = _Silence(f"Waiting for somebody to read {path}.")
    while True:
        try:
            opened = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
            silence.seconds()
            time.sleep(_POLL)
        else:
            os.set_blocking(opened, True)
            return opened


class _Silence:
    """Says once, after `NOTE_AFTER`, what is waited for."""

    def __init__(self, text: str) -> None:
        self._text, self._told = text, False
        self.broken()

    def broken(self) -> None:
        """Something came: count from now."""
        self._since = time.monotonic()

    def seconds(self) -> float:
        """How long nothing has come."""
        waited = time.monotonic() - self._since
        if waited > NOTE_AFTER and not self._told:
            self._told = True
            _log.warning("%s", self._text)
        return waited

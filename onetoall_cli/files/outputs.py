"""One check of everything a command is to write, before any work, and the names of outputs that were given none."""

import errno
import os
import shutil
import stat
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.files.claims import claim
from onetoall_cli.files.contents import Kind, check_ours
from onetoall_cli.files.streams import descriptor, ending_of, is_output_stream
from onetoall_cli.files.unfinished import working_folder

LEAST_FREE = 20 * 10**6  # bytes: less than this is a full disk, whatever is written
# bytes of a name that we make up: eCryptfs, the strictest file system in use, takes 143, and 8 are for "-compare"
LONGEST_DEFAULT = 135
_TEXT_ENDINGS = (".json", ".txt", ".md")  # what may be written to a terminal


@dataclass(frozen=True)
class Output:
    """Something a command writes.

    Attributes:
        path: Where to; `-` is standard output.
        endings: Lower-case endings its name may have, the usual one first; () where any will do.
        kind: What a folder will be; None for a file.
        option: Names it on the command line.
    """

    path: Path
    endings: Sequence[str] = ()
    kind: Kind | None = None
    option: str = "-o"

    @property
    def is_folder(self) -> bool:
        """Whether it is no file."""
        return self.kind is not None

    @property
    def ending(self) -> str:
        """How it is written, in lower case: as its name ends; a stream without an ending, the usual way."""
        return ending_of(self.path, self.endings[0] if self.endings else "")


def check_outputs(outputs: Iterable[Output], *, inputs: Iterable[Path | None] = (), overwrite: bool) -> None:
    """Fail before any work if one of `outputs` cannot be written, or something would be lost by it.

    Files may be pipes, devices and open descriptors (`/dev/stdout`). What killed runs left in the outputs' folders
    is swept.

    Args:
        outputs: All that the command will write.
        inputs: All that it will read: files, folders, pipes; None is skipped.
        overwrite: Whether what exists may be replaced.

    Raises:
        BadInput: An input whose name no disk takes; an output whose name has an unknown ending or is too long; whose
            place is missing, not writable, no ordinary file or a folder of somebody else's; that exists without
            `overwrite`; that is or holds an input, is a folder the user lives in, or is or lies in another output.
        OutOfResources: Less than `LEAST_FREE` bytes are free there.
    """
    check_current_folder()
    outputs = list(outputs)
    given = [path for path in inputs if path is not None]
    for path in given:
        _check_name(path)
    for output in outputs:
        _check_ending(output)
        status = _status(output)
        _check_inputs(output, given)
        if is_output_stream(output.path):
            _check_stream(output)
        else:
            _check_place(output, status, overwrite=overwrite)
    for one, other in combinations(outputs, 2):
        _check_apart(one, other)


def check_current_folder() -> None:
    """Refuse to work where relative names mean nothing.

    Raises:
        BadInput: The current folder has been deleted.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise BadInput("The current folder has been deleted.", "Change to another one.") from error


def claim_outputs(outputs: Iterable[Output], *, overwrite: bool) -> None:
    """Inside `claims`, be the only process that makes `outputs`, which `check_outputs` has passed.

    Raises:
        BadInput: Another process makes one now, or has just made it.
    """
    for output in outputs:
        if not is_output_stream(output.path):
            real = Path(os.path.realpath(output.path))
            folder, name = (real, "") if output.is_folder and real.exists() else (real.parent, real.name)
            claim(folder, name, output.path)
            if not overwrite and real.exists():  # who made it has finished meanwhile
                raise _already_exists(output)


def default_name(*inputs: Path, ending: str) -> Path:
    """The output, in the current folder, that is named after `inputs`: `ref-dance.mp4`, long names shortened."""
    words = ["stdin" if str(path) == "-" else path.stem for path in inputs]
    room = LONGEST_DEFAULT - len(ending) - len(words) + 1
    if sum(len(os.fsencode(word)) for word in words) > room:
        words = [shortened(word, room // len(words)) for word in words]
    return Path("-".join(words) + ending)


def shortened(name: str, longest: int) -> str:
    """The beginning of `name` that takes up to `longest` bytes in a file system."""
    while len(os.fsencode(name)) > longest:
        name = name[:-1]
    return name


def _check_name(path: Path) -> None:
    """Refuse an input that cannot exist; whether it does, who opens it says."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise BadInput(
                f"{shortened(str(path), 40)}... is no name of a file: {error.strerror}.", "Check the name."
            ) from error


def _check_ending(output: Output) -> None:
    if output.is_folder or not output.endings:
        return
    if output.ending not in output.endings:
        raise BadInput(
            f"{output.path} cannot be written as {output.ending or 'a name without an ending'}.",
            f"Name it with {' or '.join(output.endings)}.",
        )


def _status(output: Output) -> os.stat_result | None:
    """What is at an output's place, behind links; None: nothing.

    Raises:
        BadInput: There cannot be anything.
    """
    number = descriptor(output.path, dash=1)
    try:
        return os.stat(os.path.realpath(output.path)) if number is None else os.fstat(number)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = {
            errno.ENAMETOOLONG: f"The name {shortened(output.path.name, 40)}... is too long for its disk.",
            errno.EBADF: f"{output.path} is closed.",
        }.get(error.errno or 0, f"{output.path} cannot be written: {error.strerror}.")
        raise BadInput(problem, f"Choose another name with {output.option}.") from error


def _check_stream(output: Output) -> None:
    if output.is_folder:
        raise BadInput(f"{output.path} is no folder, and a folder is no stream.", "Give the name of a folder.")
    number = descriptor(output.path, dash=1)
    if not _takes_bytes(output.path, number):
        raise BadInput(f"{output.path} may not be written.", f"Choose another with {output.option}.")
    if number is not None and os.isatty(number) and output.ending not in _TEXT_ENDINGS:
        raise BadInput(f"{output.path} is a terminal, which shows no pictures.", "Send it into a pipe or a file.")


def _takes_bytes(path: Path, number: int | None) -> bool:
    if number is None:
        return os.access(path, os.W_OK)
    try:
        os.write(number, b"")  # nothing, but refused where reading alone is allowed
    except OSError:
        return False
    return True


def _check_place(output: Output, status: os.stat_result | None, *, overwrite: bool) -> None:
    path, real = output.path, Path(os.path.realpath(output.path))
    if status is not None:
        if output.is_folder != stat.S_ISDIR(status.st_mode):
            raise BadInput(f"{path} is {'no' if output.is_folder else 'a'} folder.", "Choose another name.")
        if not output.is_folder and not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{path} is no ordinary file.", f"Choose another name with {output.option}.")
        if not overwrite:
            raise _already_exists(output)
    if output.kind and status is not None:
        _check_not_lived_in(path)
        check_ours(path, output.kind)
        _check_writable(real, path, output.option)
    else:
        _check_writable(real.parent, real.parent if os.path.islink(path) else path.parent, output.option)


def _already_exists(output: Output) -> BadInput:
    return BadInput(
        f"{output.path} already exists.", f"Pass --overwrite to replace it, or another name with {output.option}."
    )


def _check_writable(folder: Path, shown: Path, option: str) -> None:
    """Refuse a folder in which nothing can be made; `shown` is how the user calls it."""
    if not folder.is_dir():
        raise BadInput(f"The output folder {shown} does not exist.", f"Create it, or choose another with {option}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"The output folder {shown} is not writable.", f"Choose another with {option}.")
    disk = shutil.disk_usage(folder)
    if disk.total and disk.free < LEAST_FREE:  # some network disks do not say
        raise OutOfResources(
            f"The disk that holds {shown} is full: {disk.free / 10**6:.1f} MB are free.",
            f"Free some space, or write to another disk with {option}.",
        )
    with working_folder(folder):
        pass  # only trying is certain: quotas, network disks, a folder that may not be changed


def _check_not_lived_in(folder: Path) -> None:
    """Refuse the current folder, a home and everything above them."""
    homes = []
    with suppress(RuntimeError):
        homes.append(Path.home())
    with suppress(OSError):
        homes.append(Path.cwd())
    for home in homes:
        if _identity(folder) in _lineage(home):
            what = "is" if _identity(folder) == _identity(home) else "holds"
            raise BadInput(f"{folder} {what} the folder {home}, which is yours.", "Choose a folder of its own.")


def _check_inputs(output: Output, inputs: Sequence[Path]) -> None:
    own = _identity(output.path, dash=1)
    for path in inputs:
        if own == _identity(path, dash=0):
            raise BadInput(f"The output {output.path} is the input {path}.", "Choose another name.")
        if own in _lineage(path):
            raise BadInput(f"The output {output.path} holds the input {path}.", "Choose another folder.")
        if os.path.isfile(output.path) and os.path.isdir(path) and _identity(path) in _lineage(output.path):
            raise BadInput(f"{output.path} is a part of the input {path}.", "Choose another name.")


def _check_apart(one: Output, other: Output) -> None:
    """Refuse two outputs in one place, but for a device such as /dev/null."""
    first, second = (_identity(each.path, dash=1) for each in (one, other))
    if first == second and not one.path.is_char_device():
        raise BadInput(
            f"{one.option} {one.path} and {other.option} {other.path} are the same.", "Give each a name of its own."
        )
    for inner, outer in ((one, second), (other, first)):
        if outer in _lineage(inner.path)[1:]:
            raise BadInput(
                f"Of the outputs {one.path} and {other.path}, one lies in the other.", "Give each a place of its own."
            )


def _lineage(path: Path) -> list[Hashable]:
    """Identities of a path and of all folders it lies in, by its own name and behind links."""
    if str(path) == "-":
        return []
    real, named = Path(os.path.realpath(path)), Path(os.path.abspath(path))
    return [_identity(each) for each in (real, *real.parents, *named.parents)]


def _identity(path: Path, *, dash: int = 0) -> Hashable:
    """The same for all names of one file or folder; of one that is not there, also in upper and lower case."""
    number = descriptor(path, dash=dash)
    try:
        status = os.stat(os.path.realpath(path)) if number is None else os.fstat(number)
    except OSError:
        real = Path(os.path.realpath(path))
        return (_identity(real.parent) if real.parent != real else "", _folded(real.name))
    return (status.st_dev, status.st_ino)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

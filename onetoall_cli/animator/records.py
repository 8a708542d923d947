"""How a result was made, as it is stored inside every output: `onetoall info` turns it into a command again.

The arguments hold every setting as it was resolved, so that they give the same result when defaults change.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from onetoall_cli import __version__
from onetoall_cli.alignment import Conditioning
from onetoall_cli.display_text import displayed
from onetoall_cli.errors import BadInput
from onetoall_cli.files.digest import content_digest
from onetoall_cli.files.forms import Form, check
from onetoall_cli.hub import ModelLocation
from onetoall_cli.media import read_metadata

RECORDED_LIBRARIES = ("torch", "diffusers", "transformers", "av")

Byte = Annotated[int, Field(ge=0, le=255)]
Argument = str | tuple[Byte, ...]
"""An argument of a command; one that is not UTF-8, as a file name can be, is stored as its bytes."""


class Record(Form):
    """How a result was made.

    Attributes:
        onetoall: Version of onetoall.
        arguments: The command line after `onetoall`.
        model: Its `name` and `revision`; empty where none was used.
        result: What came out: size, frames, what was decided.
        versions: Of the libraries whose arithmetic the result depends on.
    """

    onetoall: str
    arguments: tuple[Argument, ...]
    model: dict[str, str | None]
    result: dict[str, Any]
    versions: dict[str, str]

    def command(self) -> list[str]:
        """The arguments as a program is started with them."""
        return [each if isinstance(each, str) else os.fsdecode(bytes(each)) for each in self.arguments]


class RecordedSound(Form):
    """Where an aligned motion's sound is: file, and its part in seconds (None: to the end)."""

    path: Path
    start: float = Field(ge=0)
    duration: float | None = Field(ge=0)


class AlignedRecord(Record):
    """How an aligned input was made.

    Attributes:
        audio: The driving video's sound; None where it has none.
    """

    audio: RecordedSound | None


class InputFile(Form):
    """A file or folder that a run reads, and the hash of its content."""

    name: str
    sha256: str


class RunRecord(Record):
    """All that decides on a run's frames: two with no `difference` give the same ones, bit for bit."""

    format: Literal["onetoall-run"] = "onetoall-run"
    inputs: dict[str, InputFile]
    """By what they are: "reference", "driving", ..."""
    segments: int
    """How many there are in all."""
    weights: str
    """The network's revision; of files without one their names, sizes and times."""
    fed: str
    """Hash of what the network is fed."""


def make_record(arguments: Sequence[str], *, model: ModelLocation | None, result: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored in an output: a `Record` as plain JSON.

    Args:
        arguments: The command line after `onetoall`.
        model: The model, of which name and revision are kept, or None where none was used.
        result: What came out: size, frames, what was decided.
    """
    return {
        "onetoall": __version__,
        "arguments": [_storable(argument) for argument in arguments],
        "model": {"name": model.name, "revision": model.revision} if model else {},
        "result": dict(result),
        "versions": {name: version(name) for name in RECORDED_LIBRARIES},
    }


def read_record(path: Path) -> Record:
    """The record in a video, a picture or an aligned folder.

    Raises:
        BadInput: It has none, or one that onetoall did not write so.
    """
    stored = Conditioning.load(path).meta.get("source") if path.is_dir() else read_metadata(path)
    advice = "Only videos, pictures and aligned folders made by onetoall carry them."
    if stored is None:
        raise BadInput(f"{path} carries no settings of onetoall.", advice)
    return check(AlignedRecord if path.is_dir() else Record, stored, source=f"The record in {path}", advice=advice)


def aligned_record(conditioning: Conditioning) -> AlignedRecord | None:
    """The record of an aligned input; None where it was not made from files.

    Raises:
        BadInput: It has one that onetoall did not write so.
    """
    stored = conditioning.meta.get("source")
    if stored is None:
        return None
    return check(
        AlignedRecord, stored, source="The aligned folder's `source`", advice="Write it again with `onetoall align`."
    )


def _storable(argument: str) -> Argument:
    try:
        argument.encode("utf-8")
        return argument
    except UnicodeEncodeError:
        return tuple(os.fsencode(argument))


def make_run_record(
    record: Mapping[str, Any], sources: Mapping[str, object], model: ModelLocation, fed: Sequence[Any]
) -> RunRecord:
    """A record with what else decides on the frames.

    Args:
        record: From `make_record`.
        sources: The inputs as they were given, by what they are; values that are no files are in `fed`.
        model: The model.
        fed: Arrays that the network is fed, and how it computes.
    """
    inputs = {
        role: InputFile(name=displayed(source, None), sha256=content_digest(Path(source)))
        for role, source in sources.items()
        if isinstance(source, (str, Path))
    }
    hashed = hashlib.sha256()
    for each in fed:
        hashed.update(np.ascontiguousarray(each).tobytes() if isinstance(each, np.ndarray) else repr(each).encode())
    said = {**record, "arguments": tuple(record["arguments"])}
    segments = len(record["result"]["segments"])
    return RunRecord(**said, inputs=inputs, segments=segments, weights=_weights(model), fed=hashed.hexdigest())


def _weights(model: ModelLocation) -> str:
    if model.revision:
        return model.revision
    files = sorted(path for folder in (model.transformer, model.vae) for path in folder.iterdir() if path.is_file())
    return " ".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)


def difference(kept: RunRecord, wanted: RunRecord) -> str | None:
    """How the run that was begun and the one that is wanted differ, as a clause; None: they give the same frames."""
    for role, now in wanted.inputs.items():
        before = kept.inputs.get(role)
        if before is None or before.sha256 != now.sha256:
            is_same_file = before is not None and before.name == now.name
            return f"{now.name} has changed" if is_same_file else f"its {role} was {before.name if before else 'none'}"
    said, said_before = _options(wanted), _options(kept)
    for option in (*said, *said_before):
        if said.get(option) != said_before.get(option):
            return f"{option} was {said_before.get(option, 'not given')} and is {said.get(option, 'not given')}"
    if (kept.model, kept.weights) != (wanted.model, wanted.weights):
        return "the model has changed"
    versions, versions_before = ({"onetoall": each.onetoall, **each.versions} for each in (wanted, kept))
    for library, version_now in versions.items():
        if versions_before.get(library) != version_now:
            return f"{library} was {versions_before.get(library)} and is {version_now}"
    return None if kept.fed == wanted.fed else "what was found in the inputs differs"


def _options(record: RunRecord) -> dict[str, str]:
    """The command and its options; without names of inputs, whose contents are compared."""
    words = record.command()
    said: dict[str, list[str]] = {"the command": list(words[:1])}
    option = ""
    for word in words[1:]:
        if word.startswith("--"):
            option = word
            said.setdefault(option, [])
        elif option:
            said[option].append(word)
    return {name: " ".join(each) or "on" for name, each in said.items() if name[2:] not in record.inputs}

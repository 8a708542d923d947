"""How a result was made, as it is stored inside every output: `onetoall info` turns it into a command again.

The record is `{"onetoall": version, "arguments": [...], "model": ..., "result": ..., "versions": ...}`. The arguments
hold every setting as it was resolved, so that they give the same result when defaults change.
"""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from onetoall_cli import __version__
from onetoall_cli.files.digest import content_digest
from onetoall_cli.hub import ModelLocation

RECORDED_LIBRARIES = ("torch", "diffusers", "transformers", "av")


def make_record(arguments: Sequence[str], *, model: ModelLocation | None, result: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored in an output.

    Args:
        arguments: The command line after `onetoall`.
        model: The model, of which name and revision are kept, or None where none was used.
        result: What came out: size, frames, what was decided.
    """
    return {
        "onetoall": __version__,
        "arguments": list(arguments),
        "model": {"name": model.name, "revision": model.revision} if model else {},
        "result": dict(result),
        "versions": {name: version(name) for name in RECORDED_LIBRARIES},
    }


def fingerprint(sources: Mapping[str, object], model: ModelLocation, fed: Sequence[Any]) -> dict[str, Any]:
    """What a run is made from, beside its record: two of equal records and fingerprints give the same frames.

    Args:
        sources: The inputs as they were given, by what they are: "reference", "driving", ...; None is skipped.
        model: The model; its files are looked at where no revision names them.
        fed: Arrays that the network is fed, and how they are drawn.
    """
    files = {
        role: {"name": str(source), "sha256": content_digest(Path(source))}
        for role, source in sources.items()
        if isinstance(source, (str, Path))
    }
    hashed = hashlib.sha256()
    for each in fed:
        hashed.update(np.ascontiguousarray(each).tobytes() if isinstance(each, np.ndarray) else repr(each).encode())
    return {"inputs": files, "weights": _weights(model), "fed": hashed.hexdigest()}


def _weights(model: ModelLocation) -> str:
    """The network's revision; of files without one their names, sizes and times."""
    if model.revision:
        return model.revision
    files = sorted(path for folder in (model.transformer, model.vae) for path in folder.iterdir() if path.is_file())
    return " ".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)


def difference(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """How the run that was begun and the one that is wanted differ, as a clause; None: they give the same frames.

    Args:
        kept, wanted: A record with a `fingerprint` each.
    """
    for role, now in wanted["inputs"].items():
        before = kept["inputs"].get(role, {"name": "", "sha256": ""})
        if before["sha256"] != now["sha256"]:
            is_same_file = before["name"] == now["name"]
            return f"{now['name']} has changed" if is_same_file else f"its {role} was {before['name'] or 'no file'}"
    said, before = _options(wanted), _options(kept)
    for option in (*said, *before):
        if said.get(option) != before.get(option):
            return f"{option} was {before.get(option, 'not given')} and is {said.get(option, 'not given')}"
    if kept["model"] != wanted["model"] or kept["weights"] != wanted["weights"]:
        return "the model has changed"
    for library in ("onetoall", *RECORDED_LIBRARIES):
        now, then = ({"onetoall": each["onetoall"], **each["versions"]}[library] for each in (wanted, kept))
        if now != then:
            return f"it was made with {library} {then}, and this is {now}"
    return None if kept["fed"] == wanted["fed"] else "what was found in the inputs differs"


def _options(record: Mapping[str, Any]) -> dict[str, str]:
    """The command and its options in a record; without those whose files are compared, and without names of inputs."""
    options: dict[str, list[str]] = {}
    option = "the command"
    for word in record["arguments"]:
        if word.startswith("--"):
            option = word
            options.setdefault(option, [])
        elif option != "the command" or not options:
            options.setdefault(option, []).append(word)
    return {name: " ".join(words) or "on" for name, words in options.items() if name[2:] not in record["inputs"]}

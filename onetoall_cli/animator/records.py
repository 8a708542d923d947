"""How a result was made, as it is stored inside every output: `onetoall info` turns it into a command again.

The record is `{"onetoall": version, "arguments": [...], "model": ..., "result": ..., "versions": ...}`. The arguments
hold every setting as it was resolved, so that they give the same result when defaults change.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from onetoall_cli import __version__
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

"""The index of weights in several files (`*.safetensors.index.json`): which file of its folder holds which tensor."""

from pathlib import Path

from pydantic import Field

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import BadInput
from onetoall_cli.files.forms import ForeignForm, read_form


class WeightIndex(ForeignForm):
    """An index.

    Attributes:
        weight_map: The file of each tensor, in the index's own folder.
    """

    weight_map: dict[str, str] = Field(min_length=1)


def indexed_files(index: Path, *, advice: str) -> set[str]:
    """The names of the files that an index names.

    Raises:
        BadInput: It is not such an index, or names anything but safetensors files beside it.
    """
    names = set(read_form(WeightIndex, index, advice=advice).weight_map.values())
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors") or "\0" in name:
            raise BadInput(f"{index} names '{displayed(name)}', which is no safetensors file beside it.", advice)
    return names

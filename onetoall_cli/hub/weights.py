"""Safetensors folders, looked at before anything is loaded: which files, are they whole, what do they hold.

Only safetensors are ever opened: pickled weights can run code, so a folder that has only those is refused.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from onetoall_cli.errors import ModelMissing

if TYPE_CHECKING:
    import torch

REPAIR_ADVICE = "Run `onetoall fetch --verify --repair`, or fetch the model again."
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class TensorInfo:
    """What a safetensors header says of one tensor: the file, its dtype in safetensors' spelling ("BF16"), shape."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up one set of weights, sorted.

    With an index (`*.safetensors.index.json`) these are the files it names; without, every `*.safetensors`
    at the folder's root (the released repositories come either way).

    Raises:
        ModelMissing: there are none, only pickled ones, or one named by the index is not there.
    """
    folder = Path(folder)
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if not indexes:
        return _unindexed_files(folder)
    names = {name for index in indexes for name in _files_in_index(index)}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise ModelMissing(f"{folder / name} is missing, and {indexes[0].name} needs it.", REPAIR_ADVICE)
    return [folder / name for name in sorted(names)]


def _unindexed_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if files:
        _check_shards_complete(files)
        return files
    if any(path.suffix in PICKLED for path in folder.glob("*")):
        raise ModelMissing(
            f"{folder} has only pickled weights ({', '.join(PICKLED)}), which can run code when opened.",
            "Convert them to safetensors, or use a repository that has them.",
        )
    raise ModelMissing(f"{folder} has no *.safetensors files.", REPAIR_ADVICE)


def _files_in_index(index: Path) -> set[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelMissing(f"{index} is not a safetensors index: {error!r}.", REPAIR_ADVICE) from error
    if any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ModelMissing(f"{index} names files outside its folder.", "Do not use it: fetch the model again.")
    return names


def _check_shards_complete(files: list[Path]) -> None:
    """`x-00001-of-00003.safetensors`: all three must be there, even without an index that says so."""
    for file in files:
        parts = file.stem.rsplit("-", 3)
        if len(parts) != 4 or parts[2] != "of" or not (parts[1].isdigit() and parts[3].isdigit()):
            continue
        for number in range(1, int(parts[3]) + 1):
            shard = file.with_name(f"{parts[0]}-{number:0{len(parts[1])}d}-of-{parts[3]}.safetensors")
            if not shard.exists():
                raise ModelMissing(f"{shard} is missing.", REPAIR_ADVICE)


def read_tensors(files: Iterable[Path]) -> dict[str, TensorInfo]:
    """Names, dtypes and shapes of all tensors in `files`, from their headers alone (fast at any size).

    Raises:
        ModelMissing: a file is truncated or not safetensors, or two files hold the same tensor; the file is named.
    """
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        for name, info in _read_header(file).items():
            if name in tensors:
                raise ModelMissing(
                    f"{file} and {tensors[name].file.name} both hold the tensor '{name}'.",
                    "Files of two different models are mixed in this folder: remove the ones that do not belong.",
                )
            tensors[name] = info
    return tensors


def _read_header(file: Path) -> dict[str, TensorInfo]:
    try:
        with safe_open(file, framework="np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
            return {name: TensorInfo(file, part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except FileNotFoundError as error:
        raise ModelMissing(f"{file} is missing.", REPAIR_ADVICE) from error
    except (SafetensorError, OSError) as error:
        raise ModelMissing(f"{file} is damaged or not a safetensors file ({error}).", REPAIR_ADVICE) from error


class StoredTensors:
    """The tensors of a folder, each to be taken once; what is lacking or left over is an error that names it.

    Tensors are mapped from the files: they take memory as they are used, or not at all if they are converted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._where = read_tensors(weight_files(folder))
        self._open: dict[Path, Any] = {}

    def take(self, name: str, shape: Sequence[int] | None = None) -> "torch.Tensor":
        """One tensor.

        Raises:
            ModelMissing: it is not there, or has not the given shape.
        """
        info = self._where.pop(name, None)
        if info is None:
            raise ModelMissing(f"{self._folder} lacks the tensor {name}.", REPAIR_ADVICE)
        if shape is not None and info.shape != tuple(shape):
            raise ModelMissing(f"{info.file}: {name} has shape {info.shape}, not {tuple(shape)}.", REPAIR_ADVICE)
        if info.file not in self._open:
            self._open[info.file] = safe_open(info.file, framework="pt")
        return self._open[info.file].get_tensor(name)

    def take_under(self, prefix: str) -> "dict[str, torch.Tensor]":
        """All tensors whose names start with `prefix`."""
        return {name: self.take(name) for name in [name for name in self._where if name.startswith(prefix)]}

    def check_all_taken(self) -> None:
        """Raise ModelMissing if a tensor was never asked for."""
        for name, info in sorted(self._where.items()):
            raise ModelMissing(f"{info.file} holds the unexpected tensor {name}.", REPAIR_ADVICE)

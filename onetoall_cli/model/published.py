"""The released checkpoints: mapping of their tensor names to this network's and back, and strict loading."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from onetoall_cli.errors import BadInput
from onetoall_cli.files.weight_index import indexed_files
from onetoall_cli.model.names import plain_name

NAMES_SHOWN = 5

# Our name -> released name, applied in this order. Released names are diffusers' Wan names and the research code's.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^text_keys\.(\d+)\.", r"blocks.\1.attn2."),
    (r"\.text_attention\.", r".attn2."),
    (r"\.text_norm\.", r".norm2."),
    (r"\.self_attention\.", r".attn1."),
    (r"\.to_out\b", r".to_out.0"),
    (r"\.to_reference_k\b", r".add_k_proj"),
    (r"\.to_reference_v\b", r".add_v_proj"),
    (r"\.norm_reference_k\b", r".norm_added_k"),
    (r"^text_embedding\b", r"condition_embedder.text_embedder"),
    (r"\btime_embedding\b", r"condition_embedder"),
    (r"^output_head\.scale_shift_table$", r"scale_shift_table"),
    (r"^output_head\.projection\b", r"proj_out"),
    (r"^reference_extractor\.projections\b", r"refextractor.ref_blocks"),
    (r"^reference_extractor\b", r"refextractor"),
    (r"^pose_refiner\.projections\b", r"controlnet_zero"),
    (r"^pose_refiner\b", r"controlnet"),
    (r"^pose_encoder\b", r"input_hint_block"),
    (r"^prefix_encoder\b", r"image_to_cond"),
    (r"\.stages\.(\d+)\.downsample\b", r".down_blocks.\1.downsamplers.0.conv"),
    (r"\.stages\.(\d+)\.", r".down_blocks.\1.resnets.0."),
    (
        r"^(input_hint_block\..*conv(?:_in|_out|1|2)?)\.(weight|bias)$",
        r"\1.conv.\2",
    ),  # a causal convolution wraps a plain one
)


class CheckpointError(ValueError):
    """Weights that cannot be loaded."""


class CheckpointUnreadable(CheckpointError):
    """A file that is missing, truncated or not safetensors."""


class CheckpointMismatch(CheckpointError):
    """Weights that do not fit this network.

    Attributes:
        missing: Published names that the weights lack.
        unexpected: Published names that the network does not have.
        wrong_shape: The needed and the found shape by published name.
    """

    def __init__(
        self,
        source: str,
        missing: list[str],
        unexpected: list[str],
        wrong_shape: dict[str, tuple[list[int], list[int]]],
    ) -> None:
        self.missing, self.unexpected, self.wrong_shape = missing, unexpected, wrong_shape
        shapes = [f"{name} (needs {need}, has {found})" for name, (need, found) in wrong_shape.items()]
        kinds = (("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes))
        faults = [f"{len(names)} {kind}: {_shown(names)}" for kind, names in kinds if names]
        super().__init__(f"{source} does not fit this network: {'; '.join(faults)}.")


class KeyMapping(NamedTuple):
    """Tensor names both ways: `to_published[own] == published`, `to_own[published] == own`."""

    to_published: dict[str, str]
    to_own: dict[str, str]


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint: its shape from the file's header, and a function that reads its data."""

    shape: list[int]
    read: Callable[[], torch.Tensor]


def published_name(own: str) -> str:
    """The released name of one of the network's tensors or modules."""
    for pattern, replacement in _RENAMES:
        own = re.sub(pattern, replacement, own)
    return own


def key_mapping(own_names: Iterable[str]) -> KeyMapping:
    """Map the given names of the network to the released ones and back."""
    to_published = {own: published_name(own) for own in own_names}
    return KeyMapping(to_published, {published: own for own, published in to_published.items()})


def load_published(
    model: torch.nn.Module,
    source: Mapping[str, torch.Tensor] | str | Path,
    dtype_of: Callable[[str, torch.dtype], torch.dtype],
) -> None:
    """Load the weights of `source` into `model`, which is on the meta device.

    Names and shapes are checked before any weight is read. Then each tensor is loaded by itself, mapped from the file
    if its dtype stays, so that the weights are never in memory twice.

    Args:
        model: The network.
        source: Tensors by published name, a safetensors file, or a folder of them (with or without an index).
        dtype_of: Returns the dtype of a tensor for its name in the network and its stored dtype.

    Raises:
        CheckpointUnreadable: A file is missing, truncated or not safetensors.
        CheckpointMismatch: A name is missing or unexpected, or a shape is wrong.
    """
    with _stored_tensors(source) as stored:
        mapping = key_mapping(model.state_dict())
        _check(_name_of(source), model, mapping, stored)
        state = {}
        for own, published in mapping.to_published.items():
            tensor = stored[published].read()
            state[own] = tensor.to(dtype_of(own, tensor.dtype))
        model.load_state_dict(state, assign=True)


def _check(source: str, model: torch.nn.Module, mapping: KeyMapping, stored: Mapping[str, StoredTensor]) -> None:
    needed = {mapping.to_published[own]: list(tensor.shape) for own, tensor in model.state_dict().items()}
    missing = sorted(needed.keys() - stored.keys())
    unexpected = sorted(stored.keys() - needed.keys())
    wrong_shape = {
        name: (shape, stored[name].shape)
        for name, shape in needed.items()
        if name in stored and stored[name].shape != shape
    }
    if missing or unexpected or wrong_shape:
        raise CheckpointMismatch(source, missing, unexpected, wrong_shape)


@contextmanager
def _stored_tensors(source: Mapping[str, torch.Tensor] | str | Path) -> Iterator[dict[str, StoredTensor]]:
    """The tensors of `source` by published name; files stay open inside the `with`."""
    if isinstance(source, Mapping):
        yield {
            name: StoredTensor(list(tensor.shape), partial(source.__getitem__, name)) for name, tensor in source.items()
        }
        return
    with ExitStack() as files:
        stored: dict[str, StoredTensor] = {}
        for path in _shards(Path(source)):
            shard = files.enter_context(_opened(path))
            for written in shard.keys():  # noqa: SIM118 - not a dict
                name = plain_name(written)
                if name in stored:
                    raise CheckpointUnreadable(f"{path} holds {name}, which another file of the folder holds too.")
                stored[name] = StoredTensor(shard.get_slice(written).get_shape(), partial(shard.get_tensor, written))
        yield stored


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise CheckpointUnreadable(f"{path} is missing.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointUnreadable(f"{path} is not a whole safetensors file: {error}.") from error


def _shards(source: Path) -> list[Path]:
    """The files of a checkpoint: those an index names, else every safetensors file of the folder."""
    if not source.is_dir():
        return [source]
    indices = sorted(source.glob("*.safetensors.index.json"))
    if not indices:
        shards = sorted(source.glob("*.safetensors"))
        if not shards:
            raise CheckpointUnreadable(f"{source} holds no safetensors file.")
        return shards
    if len(indices) > 1:
        raise CheckpointUnreadable(f"{source} holds several indices: {_shown([path.name for path in indices])}.")
    try:
        files = indexed_files(indices[0], advice="")
    except BadInput as error:
        raise CheckpointUnreadable(error.problem) from error
    return [source / name for name in sorted(files)]


def _name_of(source: Mapping[str, torch.Tensor] | str | Path) -> str:
    return "The state dict" if isinstance(source, Mapping) else str(source)


def _shown(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")

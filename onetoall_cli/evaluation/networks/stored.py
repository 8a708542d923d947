"""Metric networks from their fetched files: strictly, and never through a pickle that may run code.

Files that are pickles are read once as plain tensors (torch's `weights_only`) and kept as safetensors.
"""

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from onetoall_cli.errors import ModelMissing
from onetoall_cli.evaluation.networks.i3d import I3D
from onetoall_cli.evaluation.networks.inception import FIDInception, Inception
from onetoall_cli.evaluation.networks.perceptual import alex_lpips, vgg_lpips
from onetoall_cli.evaluation.networks.resnet3d import ResNet3D
from onetoall_cli.files import whole_file
from onetoall_cli.hub.entry_files import entry_file
from onetoall_cli.hub.places import derived_folder

# What readers raise on files that are damaged or hold something else
_UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    KeyError,
    ValueError,
    AttributeError,
    TypeError,
)


@dataclass(frozen=True)
class _Network:
    """How a network is made, and which published tensors its features do not need, by the beginnings of their names."""

    make: Callable[[], nn.Module]
    unused: tuple[str, ...] = ()


# By catalogue entry
NETWORKS = {
    "lpips-vgg": _Network(vgg_lpips, ("classifier.", "pre_logits.", "head.")),
    "lpips-alex": _Network(alex_lpips, ("classifier.",)),
    "i3d": _Network(I3D),
    "resnet3d": _Network(ResNet3D),
    "inception": _Network(FIDInception, ("AuxLogits.", "fc.")),
    "inception-tv": _Network(Inception, ("AuxLogits.", "fc.")),
}


def is_installed(entry: str) -> bool:
    """Whether the file of a metric's network is on this machine."""
    return entry_file(entry) is not None


def missing(entry: str, needed_by: str) -> ModelMissing:
    """The error that a metric's network is not installed."""
    return ModelMissing(f"{needed_by} needs the network '{entry}'.", f"Run `onetoall fetch {entry}`.")


def load_network(entry: str, device: torch.device) -> nn.Module:
    """An installed network of `NETWORKS`, ready to look at pictures on `device`.

    Raises:
        ModelMissing: It is not installed, damaged, or not that network; the message names what is wrong.
    """
    file = entry_file(entry)
    if file is None:
        raise missing(entry, "This metric")
    network = NETWORKS[entry]
    module = network.make()
    tensors = {
        name: value for name, value in _tensors(file, entry).items() if not name.startswith(network.unused or "\0")
    }
    fill(module, tensors, source=str(file))
    return module.eval().requires_grad_(False).to(device)


def fill(module: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Give a module all its weights: every name and shape must fit. What it brought itself (LPIPS's layers) stays.

    Raises:
        ModelMissing: A tensor is missing, too many, or of another shape.
    """
    own = {name for name, _ in module.named_parameters()} | {
        name for name, _ in module.named_buffers() if name.rpartition(".")[2].startswith(("running_", "num_batches"))
    }
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # newer than some files
    faults = [f"missing {name}" for name in sorted(own - set(tensors) - counters)]
    faults += [f"unknown {name}" for name in sorted(set(tensors) - own)]
    expected = module.state_dict()
    faults += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(own & set(tensors))
        if tensors[name].shape != expected[name].shape
    ]
    if faults:
        raise ModelMissing(
            f"{source} is not the network that is expected: {'; '.join(faults[:3])}.",
            "Fetch it again: `onetoall fetch --verify --repair`.",
        )
    module.load_state_dict(tensors, strict=False)


def _tensors(file: Path, entry: str) -> dict[str, Tensor]:
    """The tensors of a file by name; those of a pickle from the safetensors file that is made of it once."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        kept = _kept_as(file, entry)
        if not kept.exists():
            tensors = _unpickled(file)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(kept) as temporary:
                save_file(tensors, temporary)
        return load_file(kept)
    except _UNREADABLE as error:
        raise ModelMissing(
            f"{file} is damaged or holds more than tensors ({str(error).splitlines()[0]}).",
            "Fetch it again: `onetoall fetch --verify --repair`.",
        ) from error


def _kept_as(file: Path, entry: str) -> Path:
    """Where the tensors of a pickle are kept: by its path, size and date, so that a new file is read anew."""
    status = file.stat()
    mark = hashlib.sha256(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    return derived_folder(entry) / f"{file.stem}-{mark}.safetensors"


def _unpickled(file: Path) -> dict[str, Tensor]:
    """The tensors in a pickle of a training run or of a bare state dict, without a wrapper's `module.` in front."""
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError("not a pickle of tensors") from error  # torch advises to load it all the same
    stored = stored.get("state_dict", stored)
    return {name.removeprefix("module."): value.contiguous() for name, value in stored.items()}

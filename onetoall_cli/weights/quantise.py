"""Quantised copies of a network: made tensor by tensor, and loaded without the original.

The linear layers named by `model.precision` become LLM.int8 or NF4 of bitsandbytes, in its storage format with
diffusers' `quantization_config`.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.files import whole_folder
from onetoall_cli.files.forms import json_text
from onetoall_cli.files.unfinished import sweep
from onetoall_cli.hub import digest, places
from onetoall_cli.hub.catalogue import Catalogue
from onetoall_cli.hub.disk import check_disk
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.location import ModelLocation, locate_model, require
from onetoall_cli.hub.model_files import CONFIG, NetworkConfig, read_model_file
from onetoall_cli.hub.quantised_copies import COPY_MANIFEST, Manifest
from onetoall_cli.hub.weight_files import REPAIR_ADVICE, weight_files
from onetoall_cli.model.precision import is_kept_wide, quantisable_linears
from onetoall_cli.precisions import QUANTISED, UNQUANTISED, bytes_per_parameter
from onetoall_cli.weights.architecture import network_config
from onetoall_cli.weights.network import empty_network
from onetoall_cli.weights.tensors import StoredTensors, read_tensors

if TYPE_CHECKING:
    import torch

    from onetoall_cli.model import OneToAllTransformer3DModel

SHARD_BYTES = 500 * 10**6  # size of the copy's files; so much of it is in memory, twice while a file is written
ALIGNMENT = 64  # bytes, of each tensor in the writer's buffer
OUTLIER_THRESHOLD = 6.0  # LLM.int8 multiplies larger activations without quantisation
DISK_MARGIN = 1.05  # room for headers and scales in a copy's files, over the size in the table of precisions
WEIGHTS_NAME = "diffusion_pytorch_model"
INDEX_NAME = f"{WEIGHTS_NAME}.safetensors.index.json"


def quantise_network(
    source: Path,
    config: Mapping[str, Any] | None,
    target: Path,
    precision: str,
    *,
    origin: Mapping[str, str | None],
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Write a quantised copy of a network in diffusers' layout, whole or not at all.

    In memory are one tensor of the original and `SHARD_BYTES` of the copy at a time.

    Args:
        source: The network's folder.
        config: Constructor arguments if `source` holds published weights; None for diffusers' layout.
        target: The copy's folder; one that onetoall wrote before is replaced.
        precision: "int8" or "nf4".
        origin: `name`, `repository` and `commit` of the original, recorded in the copy.
        progress: Called with (tensors done, all tensors).

    Raises:
        ModelMissing: The original is incomplete, or another network.
        BadInput: The precision is unknown.
    """
    if precision not in QUANTISED:
        raise BadInput(f"'{precision}' is not a precision.", f"Choose one of {', '.join(QUANTISED)}.")
    network = empty_network(source, config)
    stored_names = _stored_names(network, published=config is not None)
    _check_tensors(source, network, stored_names)
    linears = quantisable_linears(network)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(target, "network") as folder:
        writer = _ShardWriter(folder)
        where = read_tensors(weight_files(source))
        for done, (own, stored) in enumerate(stored_names.items()):
            with safe_open(where[stored].file, framework="pt") as file:  # closed each time, to unmap what was read
                pieces = _converted(own, file.get_tensor(where[stored].name), linears, precision)
            for name, tensor in pieces.items():
                writer.add(name, tensor)
            if progress:
                progress(done + 1, len(stored_names))
        writer.finish()
        _write_config(network, linears, precision, folder)
        _write_manifest(folder, origin, precision)


def quantise_entry(
    name: str,
    precision: str,
    catalogue: Catalogue,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Make the quantised copy of an installed network that `--model NAME-PRECISION` loads.

    Raises:
        ModelMissing: The network is not installed, or incomplete.
        OutOfResources: The disk is too full for the copy.
    """
    known = require(name, installed().get(name))
    location = locate_model(name, catalogue=catalogue)
    target = places.copy_folder(f"{name}-{precision}")
    sweep(target.parent)  # of folders left by killed runs, before the free space is measured
    parameters = sum(math.prod(info.shape) for info in read_tensors(weight_files(location.transformer)).values())
    check_disk(int(parameters * bytes_per_parameter(precision) * DISK_MARGIN), target, f"the {precision} copy")
    origin = {"name": name, "repository": known.repository, "commit": known.commit}
    quantise_network(
        location.transformer, network_config(location), target, precision, origin=origin, progress=progress
    )
    return target


def _stored_names(network: "OneToAllTransformer3DModel", *, published: bool) -> dict[str, str]:
    """The network's tensor names mapped to those in the files, in the network's order."""
    return network.published_key_mapping().to_published if published else {name: name for name in network.state_dict()}


def _check_tensors(source: Path, network: "torch.nn.Module", stored_names: Mapping[str, str]) -> None:
    stored = read_tensors(weight_files(source))
    needed = {stored_names[own]: tuple(tensor.shape) for own, tensor in network.state_dict().items()}
    for name in sorted(needed.keys() | stored.keys()):
        found = stored[name].shape if name in stored else None
        if found != needed.get(name):
            raise ModelMissing(
                f"{source} does not fit this network: {name} should have shape {needed.get(name)}, not {found}.",
                REPAIR_ADVICE,
            )


def _converted(own: str, tensor: "torch.Tensor", linears: set[str], precision: str) -> "dict[str, torch.Tensor]":
    """A tensor as the copy stores it: in its dtype, or as quantised values and scales."""
    import torch

    module, _, kind = own.rpartition(".")
    if module not in linears or kind != "weight":
        return {own: tensor.to(torch.float32 if is_kept_wide(own) else torch.bfloat16)}
    if precision == "int8":
        quantised, scale = quantise_int8(tensor)
        return {own: quantised, f"{module}.SCB": scale}
    quantised, state = quantise_nf4(tensor)
    return {own: quantised, **{f"{own}.{key}": value for key, value in state.items()}}


def quantise_int8(weight: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """A weight (out, in) as int8 (out, in) and its row scales (out,) float32."""
    import bitsandbytes
    import torch

    quantised, scale, _ = bitsandbytes.functional.int8_vectorwise_quant(weight.to(torch.float16))
    return quantised, scale


def quantise_nf4(weight: "torch.Tensor") -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """A weight (out, in) as packed 4-bit values (out * in / 2, 1) uint8 and bitsandbytes' state to read them."""
    import bitsandbytes
    import torch

    quantised, state = bitsandbytes.functional.quantize_4bit(
        weight.to(torch.bfloat16), quant_type="nf4", compress_statistics=True
    )
    return quantised, state.as_dict(packed=True)


class _ShardWriter:
    """Collects tensors and writes them as safetensors files of about `SHARD_BYTES`, with an index.

    Tensors are copied into one buffer. Otherwise they would fragment the heap between the large temporaries of
    quantising, to several times their size.
    """

    def __init__(self, folder: Path) -> None:
        import torch

        self._folder = folder
        self._buffer = torch.empty(SHARD_BYTES, dtype=torch.uint8)
        self._used = 0
        self._tensors: dict[str, torch.Tensor] = {}
        self._shards: list[list[str]] = []
        self._total = 0

    def add(self, name: str, tensor: "torch.Tensor") -> None:
        size = tensor.numel() * tensor.element_size()
        if self._tensors and self._used + size > len(self._buffer):
            self._write()
        if size > len(self._buffer):
            self._buffer = self._buffer.new_empty(size)
        place = self._buffer[self._used : self._used + size].view(tensor.dtype).view(tensor.shape)
        self._tensors[name] = place.copy_(tensor)
        self._used += -(-size // ALIGNMENT) * ALIGNMENT
        self._total += size

    def _write(self) -> None:
        from safetensors.torch import save_file

        save_file(self._tensors, self._folder / f"{len(self._shards) + 1}.shard", metadata={"format": "pt"})
        self._shards.append(list(self._tensors))
        self._tensors, self._used = {}, 0

    def finish(self) -> None:
        """Write the remaining tensors, give the files their numbered names and write the index."""
        if self._tensors:
            self._write()
        count = len(self._shards)
        weight_map = {}
        for number, names in enumerate(self._shards, start=1):
            file = f"{WEIGHTS_NAME}-{number:05d}-of-{count:05d}.safetensors"
            (self._folder / f"{number}.shard").rename(self._folder / file)
            weight_map.update(dict.fromkeys(names, file))
        index = {"metadata": {"total_size": self._total}, "weight_map": weight_map}
        (self._folder / INDEX_NAME).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _write_config(network: "OneToAllTransformer3DModel", linears: set[str], precision: str, folder: Path) -> None:
    import torch
    from diffusers import BitsAndBytesConfig

    kept = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    skipped = sorted(set(kept) - linears)
    if precision == "int8":
        quantisation = BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=OUTLIER_THRESHOLD, llm_int8_skip_modules=skipped
        )
    else:
        quantisation = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=skipped,
        )
    network.register_to_config(quantization_config=quantisation)
    network.save_config(folder)


def _write_manifest(folder: Path, origin: Mapping[str, str | None], precision: str) -> None:
    """Write the manifest: the original, and the files' hashes for `fetch --verify`."""
    import bitsandbytes

    manifest = Manifest(
        name=origin.get("name"),
        repository=origin.get("repository"),
        commit=origin.get("commit"),
        precision=precision,
        bitsandbytes=bitsandbytes.__version__,
        files=tuple(digest.describe_file(path, folder) for path in sorted(folder.iterdir())),
    )
    (folder / COPY_MANIFEST).write_text(json_text(manifest), encoding="utf-8")


def stored_precision(location: ModelLocation) -> str:
    """The precision of a network's files: "none", "int8" or "nf4"."""
    return UNQUANTISED if location.published else _precision_in(location.transformer)


def _precision_in(folder: Path) -> str:
    """The precision of a network in diffusers' layout, from its configuration."""
    quantisation = read_model_file(NetworkConfig, folder / CONFIG).quantization_config
    if quantisation is None:
        return UNQUANTISED
    return "int8" if quantisation.load_in_8bit else "nf4"


def load_quantised(folder: Path, dtype: "torch.dtype") -> "OneToAllTransformer3DModel":
    """Load a quantised copy on the CPU; `.to("cuda")` moves it.

    Args:
        folder: A folder written by `quantise_network`.
        dtype: Dtype of the other weights, and in which quantised layers compute.

    Raises:
        ModelMissing: A tensor is missing or unexpected.
    """
    network = empty_network(folder, None)
    precision = _precision_in(folder)
    names = {name: name for name in network.state_dict()}
    return _fill_quantised(network, folder, names, precision, dtype, _read_int8 if precision == "int8" else _read_nf4)


def load_quantising(
    folder: Path, config: Mapping[str, Any] | None, dtype: "torch.dtype", precision: str
) -> "OneToAllTransformer3DModel":
    """Load an unquantised network on the CPU, quantising its blocks one tensor at a time.

    Args:
        folder, config: As `source` and `config` of `quantise_network`.
        dtype: As for `load_quantised`.
        precision: "int8" or "nf4".

    Raises:
        ModelMissing: The network is incomplete, or another one.
    """
    network = empty_network(folder, config)
    names = _stored_names(network, published=config is not None)

    def quantise(tensors: StoredTensors, name: str, layer: Any) -> Any:
        return quantised_weight(tensors.take(name, (layer.out_features, layer.in_features)), layer, precision)

    return _fill_quantised(network, folder, names, precision, dtype, quantise)


def _fill_quantised(
    network: "OneToAllTransformer3DModel",
    folder: Path,
    stored_names: Mapping[str, str],
    precision: str,
    dtype: "torch.dtype",
    weight_of: Callable[[StoredTensors, str, Any], Any],
) -> "OneToAllTransformer3DModel":
    """Load weights into an empty network; `weight_of` makes a quantised layer's weight from the stored tensors."""
    import torch

    linears = quantisable_linears(network)
    replace_linears(network, linears, precision, dtype)
    tensors = StoredTensors(folder)
    plain = {}
    for own, tensor in network.state_dict().items():
        module, _, kind = own.rpartition(".")
        if module in linears and kind == "weight":
            layer = network.get_submodule(module)
            layer.weight = weight_of(tensors, stored_names[own], layer)
        else:
            stored = tensors.take(stored_names[own], tensor.shape)
            plain[own] = stored.to(torch.float32 if is_kept_wide(own) else dtype)
    tensors.check_all_taken()
    network.load_state_dict(plain, strict=False, assign=True)
    return network.eval()


def replace_linears(network: "torch.nn.Module", names: set[str], precision: str, dtype: "torch.dtype") -> None:
    """Replace the linear layers `names` by bitsandbytes layers without weights."""
    import bitsandbytes
    import torch

    # bitsandbytes logs the cast to float16, which int8 always makes, for every layer in every step.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    for name in names:
        linear: Any = network.get_submodule(name)
        shape = (linear.in_features, linear.out_features, linear.bias is not None)
        with torch.device("meta"):
            layer: torch.nn.Module
            if precision == "int8":
                layer = bitsandbytes.nn.Linear8bitLt(*shape, has_fp16_weights=False, threshold=OUTLIER_THRESHOLD)
            else:
                layer = bitsandbytes.nn.Linear4bit(*shape, compute_dtype=dtype, quant_type="nf4")
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, layer.requires_grad_(False))


def quantise_in_place(network: "torch.nn.Module", precision: str, dtype: "torch.dtype") -> None:
    """Quantise a network that is on the CPU, layer by layer, as `load_quantising` does while it loads."""
    names = quantisable_linears(network)
    plain: dict[str, Any] = {name: network.get_submodule(name) for name in names}
    replace_linears(network, names, precision, dtype)
    for name, linear in plain.items():
        layer: Any = network.get_submodule(name)
        layer.bias = linear.bias
        layer.weight = quantised_weight(linear.weight.data, layer, precision)
        linear.weight = None


def _read_int8(tensors: StoredTensors, name: str, layer: Any) -> Any:
    return _int8_parameter(tensors.take(name), tensors.take(name.removesuffix("weight") + "SCB"))


def _read_nf4(tensors: StoredTensors, name: str, layer: Any) -> Any:
    return _nf4_parameter(tensors.take(name), tensors.take_under(f"{name}."), layer)


def quantised_weight(weight: "torch.Tensor", layer: Any, precision: str) -> Any:
    """The quantised parameter of a layer from `replace_linears`, made of its weight (out, in)."""
    if precision == "int8":
        return _int8_parameter(*quantise_int8(weight))
    return _nf4_parameter(*quantise_nf4(weight), layer)


def _int8_parameter(values: "torch.Tensor", scale: "torch.Tensor") -> Any:
    import bitsandbytes

    return bitsandbytes.nn.Int8Params(values, requires_grad=False, has_fp16_weights=False, CB=values, SCB=scale)


def _nf4_parameter(values: "torch.Tensor", state: "dict[str, torch.Tensor]", layer: Any) -> Any:
    import bitsandbytes

    return bitsandbytes.nn.Params4bit.from_prequantized(values, state, device="cpu", module=layer)

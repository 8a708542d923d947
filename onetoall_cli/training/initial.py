"""Initial networks: random weights, a finished stage, or Wan2.1 text-to-video weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from onetoall_cli.errors import BadInput
from onetoall_cli.hub.model_files import CONFIG, AnyConfig, read_model_file
from onetoall_cli.model import OneToAllTransformer3DModel


def build_network(model: dict | None, init_from: Path | None, seed: int) -> OneToAllTransformer3DModel:
    """The initial network of a run, in float32.

    Args:
        model: Constructor arguments; needed for random weights and for Wan weights.
        init_from: A folder with a One-to-All network (`config.json`, or a run's folder with `network/`), or Wan2.1 T2V
            transformer weights in diffusers' layout; None for random weights.
        seed: Seed of the random weights.

    Raises:
        BadInput: `init_from` is neither, or does not fit `model`.
    """
    if init_from is None:
        return _fresh(model or {}, seed)
    folder = init_from / "network" if (init_from / "network" / "config.json").is_file() else init_from
    kind = _class_of(folder)
    if kind == OneToAllTransformer3DModel.__name__:
        return _finished(folder)
    if kind == "WanTransformer3DModel":
        if model is None:
            raise BadInput(f"{folder} holds Wan weights, which need the setting `model`.", "Add the model's sizes.")
        return from_wan(_fresh(model, seed), _read_weights(folder))
    raise BadInput(f"{folder} holds neither a One-to-All network nor Wan2.1 weights.", "Check init_from.")


def _fresh(model: dict, seed: int) -> OneToAllTransformer3DModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return OneToAllTransformer3DModel(**model)
        except TypeError as error:
            raise BadInput(f"The model's settings do not fit: {error}.", "Correct `model` in the config.") from error


def _finished(folder: Path) -> OneToAllTransformer3DModel:
    try:
        network = OneToAllTransformer3DModel.from_pretrained(
            folder, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        problem = str(error).strip().splitlines()[0]
        raise BadInput(f"{folder} cannot be loaded: {problem}", "Check init_from.") from error
    return network.float()


def _class_of(folder: Path) -> str | None:
    config = folder / CONFIG
    return read_model_file(AnyConfig, config).class_name if config.is_file() else None


def _read_weights(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            weights.update(load_file(file))
        except SafetensorError as error:
            raise BadInput(f"{file} is not a safetensors file: {error}.", "Fetch it again.") from error
    return weights


@torch.no_grad()
def from_wan(network: OneToAllTransformer3DModel, wan: Mapping[str, Tensor]) -> OneToAllTransformer3DModel:
    """Copy the weights of a Wan2.1 T2V transformer (diffusers' names) into `network`, so that its output is Wan's.

    The denoiser takes all weights unchanged. Extractor block i takes self-attention, feed-forward and modulation of the
    denoiser block at the same relative depth. The extractor's patch embedding takes the denoiser's for the reference's
    channels and zeros for the mask's. Refinement block k takes those of denoiser block k. Reference keys and values are
    copies of the block's own, with value biases of zero, so that a zero feature (the extractor's linears start at zero)
    adds nothing. The encoders of pose and prefix stay as they are.

    Raises:
        BadInput: Weights are missing, unexpected or of another size; the first is named.
    """
    own = network.state_dict()  # shares its tensors with the network: filling them fills it
    published = network.published_key_mapping().to_published
    backbone = {name: published[name] for name in own if _is_backbone(name)}
    _check(wan, {published_name: own[name] for name, published_name in backbone.items()})
    for name, published_name in backbone.items():
        own[name].copy_(wan[published_name])
    _start_additions(
        own, network.config["num_layers"], network.config["num_reference_layers"], network.config["in_channels"]
    )
    return network


def _is_backbone(name: str) -> bool:
    added = ("reference_extractor.", "pose_encoder.", "pose_refiner.", "prefix_encoder.")
    return not name.startswith(added) and "reference" not in name


def _check(wan: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    faults = [f"{name} is missing" for name in needed if name not in wan]
    faults += [f"{name} is unexpected" for name in wan if name not in needed]
    faults += [
        f"{name} has shape {tuple(wan[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in needed.items()
        if name in wan and wan[name].shape != tensor.shape
    ]
    if faults:
        raise BadInput(
            f"The Wan weights do not fit the model: {faults[0]} ({len(faults)} faults).",
            "Set `model` to the sizes of the Wan checkpoint.",
        )


def _start_additions(own: dict[str, Any], layers: int, reference_layers: int, channels: int) -> None:
    """Fill extractor, refiner and HRFA from the denoiser's weights in `own` (tensors are written in place)."""
    for name in own:
        if ".self_attention.to_reference_" in name or ".self_attention.norm_reference_" in name:
            own[name].copy_(own[name.replace("_reference_", "_")])
            if name.endswith("to_reference_v.bias"):
                own[name].zero_()
        elif name.startswith("reference_extractor.time_embedding."):
            own[name].copy_(own[name.removeprefix("reference_extractor.")])
        elif name.startswith("reference_extractor.blocks."):
            index, rest = name.removeprefix("reference_extractor.blocks.").split(".", 1)
            own[name].copy_(own[f"blocks.{int(index) * layers // reference_layers}.{rest}"])
        elif name.startswith("pose_refiner.blocks."):
            own[name].copy_(own[name.replace("pose_refiner.", "")])
    weight = own["reference_extractor.patch_embedding.weight"]
    weight.zero_()
    weight[:, :channels] = own["patch_embedding.weight"]
    own["reference_extractor.patch_embedding.bias"].copy_(own["patch_embedding.bias"])

"""Initial networks: random weights, a finished stage, a released or other model, or Wan2.1 text-to-video weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.hub import GenerationDefaults, ModelLocation, load_catalogue, locate_model
from onetoall_cli.hub.location import locate_folder, shipped_models
from onetoall_cli.hub.model_files import CONFIG, AnyConfig, read_model_file
from onetoall_cli.hub.weight_files import weight_files
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.training.lora import add_lora
from onetoall_cli.training.recipe import NetworkSettings, TrainingSettings
from onetoall_cli.training.settings import load_settings
from onetoall_cli.training.stages import freeze_but, trained_names
from onetoall_cli.weights.architecture import architecture_of
from onetoall_cli.weights.loading import load_network
from onetoall_cli.weights.tensors import read_tensors

Kind = Literal["random", "finished", "published", "wan"]


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        kind: Random weights, a network of ours, one with the released names, or Wan2.1's.
        network: Folder of the weights; None for random ones.
        location: The whole model with VAE, prompts and defaults; None for weights alone.
        origin: Of a finished run, what that started from.
    """

    kind: Kind
    network: Path | None = None
    location: ModelLocation | None = None
    origin: "Start | None" = None

    @property
    def knows_text(self) -> bool:
        """Whether the network comes from one that was trained with a text encoder."""
        if self.origin is not None:
            return self.origin.knows_text
        return self.location is not None or self.kind in ("published", "wan")

    def whole(self) -> ModelLocation:
        """The model with VAE, text and defaults; weights alone take the installed VAE and text encoder.

        Raises:
            ModelMissing: They are not installed.
            BadInput: There is no model, but random weights.
        """
        if self.origin is not None:
            return self.origin.whole()
        if self.location is not None:
            return self.location
        if self.network is None:
            raise BadInput("Random weights come without a VAE.", "Set vae.")
        return locate_folder(self.network)


def find_start(init_from: str | None) -> Start:
    """Find what `init_from` names; see `TrainingSettings`.

    Raises:
        BadInput: It names nothing that a training can start from.
        ModelMissing: It names a model that is not installed, or incomplete.
    """
    if init_from is None:
        return Start("random")
    folder = Path(init_from)
    if load_catalogue().knows(init_from) or init_from in shipped_models() or not folder.is_dir():
        location = locate_model(init_from)
        return Start("published" if location.published else "finished", location.transformer, location)
    if (folder / "settings.yaml").is_file():
        return _run(folder)
    if (folder / "model_index.json").is_file():
        location = locate_folder(folder)
        return Start("finished", location.transformer, location)
    return Start(_kind_of(folder), folder)


def _run(folder: Path) -> Start:
    """A finished run, which has VAE, text and defaults from what it started from itself."""
    network = folder / "network"
    if not (network / "config.json").is_file():
        raise BadInput(f"The run {folder} is not finished, or trained no network.", "Finish it first.")
    before = load_settings(TrainingSettings, folder / "settings.yaml").init_from
    return Start("finished", network, origin=find_start(before))


def _kind_of(folder: Path) -> Kind:
    kind = _class_of(folder)
    if kind == OneToAllTransformer3DModel.__name__:
        return "finished"
    if kind == "WanTransformer3DModel":
        return "wan"
    if kind is None and any(folder.glob("*.safetensors")):
        return "published"
    raise BadInput(f"{folder} holds neither a One-to-All network nor Wan2.1 weights.", "Check init_from.")


def _class_of(folder: Path) -> str | None:
    config = folder / CONFIG
    return read_model_file(AnyConfig, config).class_name if config.is_file() else None


def released_defaults(start: Start) -> GenerationDefaults:
    """The generation defaults of a start: its own, or for bare weights those of the released model of their size.

    Raises:
        ModelMissing: The weights are damaged.
    """
    if start.origin is not None:
        return released_defaults(start.origin)
    if start.location is not None:
        return start.location.defaults
    if start.kind == "published" and start.network is not None:
        found = architecture_of(read_tensors(weight_files(start.network)), start.network)
        for entry in load_catalogue().entries.values():
            if entry.architecture == found and entry.defaults is not None:
                return entry.defaults
    return GenerationDefaults()


def build_network(
    model: NetworkSettings | None,
    start: Start,
    seed: int,
    *,
    dtype: torch.dtype = torch.float32,
    quantisation: str = "none",
) -> OneToAllTransformer3DModel:
    """The initial network of a run.

    Args:
        model: Sizes; needed for random weights and for Wan weights.
        start: From `find_start`.
        seed: Seed of the random weights.
        dtype: Of the weights; those that need float32 are float32.
        quantisation: "int8" or "nf4" quantises the blocks.

    Raises:
        BadInput: Start and `model` do not fit.
        ModelMissing: The weights are incomplete, or those of another network.
    """
    if start.network is None:
        return _fresh(model or NetworkSettings(), seed)
    if start.kind == "wan":
        if model is None:
            raise BadInput(f"{start.network} holds Wan weights, which need the setting `model`.", "Add their sizes.")
        return from_wan(_fresh(model, seed), _read_weights(start.network))
    location = start.location or _bare(start.network, published=start.kind == "published")
    return load_network(location, dtype, quantisation=quantisation)


def _bare(network: Path, *, published: bool) -> ModelLocation:
    """Weights alone, as `load_network` wants them."""
    return ModelLocation(
        name=str(network),
        transformer=network,
        published=published,
        architecture=None,
        vae=network,
        scheduler=None,
        text_encoder=None,
        tokenizer=None,
        embeddings=(),
        defaults=GenerationDefaults(),
        revision=None,
    )


def _fresh(model: NetworkSettings, seed: int) -> OneToAllTransformer3DModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return OneToAllTransformer3DModel(**model.model_dump())


def _read_weights(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for file in weight_files(folder):
        try:
            weights.update(load_file(file))
        except (SafetensorError, OSError) as error:
            raise ModelMissing(f"{file} is not a safetensors file: {error}.", "Fetch it again.") from error
    return weights


@torch.no_grad()
def from_wan(network: OneToAllTransformer3DModel, wan: Mapping[str, Tensor]) -> OneToAllTransformer3DModel:
    """Copy the weights of a Wan2.1 T2V transformer (diffusers' names) into `network`, so that its output is Wan's.

    The denoiser takes all weights unchanged. Extractor block i takes self-attention, feed-forward and modulation of
    denoiser block i. The extractor's patch embedding takes the denoiser's for the reference's
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
    _start_additions(own, network.config["in_channels"])
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


def _start_additions(own: dict[str, Any], channels: int) -> None:
    """Fill extractor, refiner and HRFA from the denoiser's weights in `own` (tensors are written in place)."""
    for name in own:
        if ".self_attention.to_reference_" in name or ".self_attention.norm_reference_" in name:
            own[name].copy_(own[name.replace("_reference_", "_")])
            if name.endswith("to_reference_v.bias"):
                own[name].zero_()
        elif name.startswith("reference_extractor.time_embedding.") or name.startswith("reference_extractor.blocks."):
            own[name].copy_(own[name.removeprefix("reference_extractor.")])
        elif name.startswith("pose_refiner.blocks."):
            own[name].copy_(own[name.removeprefix("pose_refiner.")])
    weight = own["reference_extractor.patch_embedding.weight"]
    weight.zero_()
    weight[:, :channels] = own["patch_embedding.weight"]
    own["reference_extractor.patch_embedding.bias"].copy_(own["patch_embedding.bias"])


def choose_trained(network: OneToAllTransformer3DModel, settings: TrainingSettings) -> set[str]:
    """Give gradients to what a run trains, a LoRA's adapter put in from its seed; returns the parameters' names.

    Raises:
        BadInput: A target of the LoRA names no layer.
    """
    if settings.train == "lora":
        network.requires_grad_(False)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            names = add_lora(network, settings.lora)
    elif settings.train == "stage":
        names = trained_names(network, settings.conditions_of_stage)
    else:
        names = [name for name, _ in network.named_parameters()]
    freeze_but(network, names)
    return set(names)

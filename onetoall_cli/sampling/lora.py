"""LoRA files on the network: the key formats of the Wan2.1 family, mapped to this network's names and merged.

Weights that are floating point are changed once, at load, so that a LoRA costs no time afterwards. Quantised layers
cannot be changed: there it becomes an adapter layer (peft) beside them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from onetoall_cli.errors import BadInput
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.published import published_name

ADAPTER = "lora"  # name of the adapter in which the parts for quantised layers are joined

# diffusers' Wan names, which the released checkpoints use -> the original Wan's, which ComfyUI and kohya use.
_NATIVE_NAMES: tuple[tuple[str, str], ...] = (
    (r"\.attn1\b", ".self_attn"),
    (r"\.attn2\b", ".cross_attn"),
    (r"\.to_out\.0\b", ".o"),
    (r"\.to_([qkv])\b", r".\1"),
    (r"\.ffn\.net\.0\.proj\b", ".ffn.0"),
    (r"\.ffn\.net\.2\b", ".ffn.2"),
    (r"\.norm2\b", ".norm3"),
    (r"^condition_embedder\.time_embedder\.linear_1\b", "time_embedding.0"),
    (r"^condition_embedder\.time_embedder\.linear_2\b", "time_embedding.2"),
    (r"^condition_embedder\.text_embedder\.linear_1\b", "text_embedding.0"),
    (r"^condition_embedder\.text_embedder\.linear_2\b", "text_embedding.2"),
    (r"^condition_embedder\.time_proj\b", "time_projection.1"),
    (r"^proj_out\b", "head.head"),
    (r"^scale_shift_table\b", "head.modulation"),
    (r"\.scale_shift_table\b", ".modulation"),
)
_PREFIX = re.compile(r"^(?:model\.diffusion_model\.|diffusion_model\.|transformer\.|base_model\.model\.|lora_unet_)")
_PARTS = (
    (re.compile(r"\.lora_(?:down|A)(?:\.\w+)?\.weight$"), "down"),
    (re.compile(r"\.lora_(?:up|B)(?:\.\w+)?\.weight$"), "up"),
    (re.compile(r"\.lora_(?:up|B)(?:\.\w+)?\.bias$"), "up_bias"),
    (re.compile(r"\.alpha$"), "alpha"),
    (re.compile(r"\.diff$"), "diff"),
    (re.compile(r"\.diff_b$"), "diff_b"),
)


class Lora(NamedTuple):
    """A LoRA file and how strongly it counts."""

    path: Path
    weight: float = 1.0


class LowRank(NamedTuple):
    """A change of a weight matrix: scale * up @ down."""

    down: torch.Tensor  # (rank, in, ...)
    up: torch.Tensor  # (out, rank, ...)
    scale: float

    def full(self, shape: torch.Size) -> torch.Tensor:
        """As float32 of the weight's `shape`."""
        return (self.scale * (self.up.float().flatten(1) @ self.down.float().flatten(1))).reshape(shape)

    def fits(self, shape: torch.Size) -> bool:
        return self.up.shape[0] == shape[0] and self.down.shape[1:] == shape[1:]


class Full(NamedTuple):
    """A change of a whole tensor."""

    change: torch.Tensor
    scale: float

    def full(self, shape: torch.Size) -> torch.Tensor:
        """As float32 of the tensor's `shape`."""
        return self.scale * self.change.float().reshape(shape)

    def fits(self, shape: torch.Size) -> bool:
        return self.change.numel() == shape.numel()


@dataclass
class Outcome:
    """What became of one file.

    Attributes:
        lora: The file.
        applied: Tensors of the network that it changed.
        unmatched: Its keys that name nothing in this network.
        misfits: Its keys whose tensors have another size than the network's.
    """

    lora: Lora
    applied: int = 0
    unmatched: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)


def apply_loras(network: OneToAllTransformer3DModel, loras: Sequence[Lora]) -> list[Outcome]:
    """Apply LoRA files, whose effects add up. Before blocks are offloaded or compiled.

    A file changes the denoiser. The reference extractor and the pose branch, which have no counterpart in Wan,
    change only where a key names them as the released checkpoints do (`refextractor.…`).

    Args:
        network: With its weights.
        loras: safetensors files in diffusers' format (`transformer.…lora_A`), ComfyUI's (`diffusion_model.…lora_down`,
            with `alpha`, `diff`, `diff_b`) or kohya's (`lora_unet_…`).

    Returns:
        One outcome per file.

    Raises:
        BadInput: a file cannot be read, or nothing in it fits this network.
    """
    targets = _targets(network)
    outcomes = []
    changes: dict[str, list[LowRank | Full]] = defaultdict(list)
    for lora in loras:
        outcome = Outcome(lora)
        for name, change in _changes(lora, targets, network, outcome):
            changes[name].append(change)
            outcome.applied += 1
        _check(outcome)
        outcomes.append(outcome)
    beside = {name: each for name, each in changes.items() if not network.get_parameter(name).is_floating_point()}
    for name in changes.keys() - beside.keys():
        _merge(network.get_parameter(name), changes[name])
    if beside:
        _add_adapter(network, beside)
    return outcomes


def _targets(network: torch.nn.Module) -> dict[str, str]:
    """Every name under which a LoRA may know a module or parameter of the network -> its own name.

    A name with dots replaced by underscores is kohya's.
    """
    targets = {}
    for parameter, _ in network.named_parameters():
        own, published = parameter, published_name(parameter)
        if parameter.endswith((".weight", ".bias")):
            own, published = own.rpartition(".")[0], published.rpartition(".")[0]
        native = published
        for pattern, replacement in _NATIVE_NAMES:
            native = re.sub(pattern, replacement, native)
        for name in (published, native):
            targets[name] = targets[name.replace(".", "_")] = own
    return targets


def _changes(
    lora: Lora, targets: Mapping[str, str], network: torch.nn.Module, outcome: Outcome
) -> Iterator[tuple[str, LowRank | Full]]:
    """The file's changes by the name of the parameter; what cannot be placed is noted in `outcome`."""
    parameters = dict(network.named_parameters())
    for module, parts in _grouped(_read(lora.path), outcome).items():
        own = targets.get(module)
        for suffix, keys, change in _assembled(parts, lora.weight):
            name = own if own in parameters else f"{own}.{suffix}"
            if own is None or change is None or name not in parameters:
                outcome.unmatched += keys
            elif _can_take(parameters[name], network.get_submodule(name.rpartition(".")[0]), change):
                yield name, change
            else:
                outcome.misfits += keys


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} cannot be read as a LoRA: {error}.", "A LoRA is one safetensors file.") from error


def _grouped(tensors: Mapping[str, torch.Tensor], outcome: Outcome) -> dict[str, dict[str, tuple[str, torch.Tensor]]]:
    """A file's tensors by module, then by part ("down", "up", ...): the key and the tensor."""
    groups: dict[str, dict[str, tuple[str, torch.Tensor]]] = defaultdict(dict)
    for key, tensor in tensors.items():
        for pattern, part in _PARTS:
            match = pattern.search(key)
            if match:
                groups[_PREFIX.sub("", key[: match.start()])][part] = (key, tensor)
                break
        else:
            outcome.unmatched.append(key)
    return groups


def _assembled(
    parts: Mapping[str, tuple[str, torch.Tensor]], weight: float
) -> Iterator[tuple[str, list[str], LowRank | Full | None]]:
    """One module's parts put together: which of its parameters, from which keys, what change (None: half a one)."""
    scale = weight
    if "alpha" in parts and "down" in parts:
        scale *= parts["alpha"][1].item() / parts["down"][1].shape[0]
    keys = [parts[part][0] for part in ("down", "up", "alpha") if part in parts]
    if keys:
        whole = "down" in parts and "up" in parts
        yield "weight", keys, LowRank(parts["down"][1], parts["up"][1], scale) if whole else None
    for part, suffix, strength in (("up_bias", "bias", scale), ("diff", "weight", weight), ("diff_b", "bias", weight)):
        if part in parts:
            yield suffix, [parts[part][0]], Full(parts[part][1], strength)


def _can_take(parameter: torch.nn.Parameter, module: torch.nn.Module, change: LowRank | Full) -> bool:
    """Whether a change has the parameter's size; a quantised weight takes only low-rank ones."""
    if parameter.is_floating_point():
        return change.fits(parameter.shape)
    return isinstance(change, LowRank) and change.fits(torch.Size((module.out_features, module.in_features)))  # type: ignore[arg-type]


def _check(outcome: Outcome) -> None:
    if outcome.applied:
        return
    path = outcome.lora.path
    if outcome.misfits:
        raise BadInput(
            f"{path} was made for a network of another size (first: {outcome.misfits[0]}).",
            "A LoRA of the 14B does not fit the 1.3B, nor the other way round.",
        )
    first = f" (first: {outcome.unmatched[0]})" if outcome.unmatched else ""
    raise BadInput(f"Nothing in {path} names a part of this network{first}.", "Use a LoRA made for Wan2.1 T2V.")


def _merge(parameter: torch.nn.Parameter, changes: Sequence[LowRank | Full]) -> None:
    """Add all changes at once, in float32, rounded once."""
    merged = parameter.data.float()
    for change in changes:
        merged = merged + change.full(parameter.shape).to(parameter.device)
    parameter.data = merged.to(parameter.dtype)  # not in place: the weights may be a file's, mapped


def _add_adapter(network: OneToAllTransformer3DModel, changes: Mapping[str, Sequence[LowRank | Full]]) -> None:
    """Put low-rank layers beside quantised ones; several changes of one layer are one of higher rank."""
    from peft import LoraConfig, set_peft_model_state_dict

    state = {}
    for name, each in changes.items():
        low_rank = [change for change in each if isinstance(change, LowRank)]
        module = name.removesuffix(".weight")
        state[f"{module}.lora_A.weight"] = torch.cat([change.down for change in low_rank])
        state[f"{module}.lora_B.weight"] = torch.cat([change.up * change.scale for change in low_rank], dim=1)
    # anchored: peft matches names by their ends, and the extractor's blocks end like the denoiser's
    ranks = {
        f"^{re.escape(name[: -len('.lora_A.weight')])}": len(down) for name, down in state.items() if "_A." in name
    }
    modules = "|".join(ranks)
    network.add_adapter(LoraConfig(target_modules=modules, rank_pattern=ranks, alpha_pattern=ranks), ADAPTER)
    set_peft_model_state_dict(network, state, ADAPTER)

"""LoRA files on the network: the names of the Wan2.1 family mapped to this network's, and the changes merged.

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

from onetoall_cli.errors import BadInput
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.published import published_name
from onetoall_cli.sampling.lora_files import Change, LowRank, read_lora

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


class Lora(NamedTuple):
    """A LoRA file and how strongly it counts."""

    path: Path
    weight: float = 1.0


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
        loras: Files of any form that `read_lora` reads.

    Returns:
        One outcome per file.

    Raises:
        BadInput: A file cannot be read, nothing in it fits this network, or it makes a weight infinite.
    """
    targets = _targets(network)
    outcomes = []
    changes: dict[str, list[Change]] = defaultdict(list)
    for lora in loras:
        outcome = Outcome(lora)
        for name, change in _changes(lora, targets, network, outcome):
            changes[name].append(change)
            outcome.applied += 1
        _check(outcome)
        outcomes.append(outcome)
    beside = {name: each for name, each in changes.items() if not network.get_parameter(name).is_floating_point()}
    for name in changes.keys() - beside.keys():
        _merge(name, network.get_parameter(name), changes[name])
    if beside:
        _add_adapter(network, beside)
    return outcomes


def _targets(network: torch.nn.Module) -> dict[str, str]:
    """Every name under which a LoRA may know a module or parameter, with underscores for dots -> the network's own."""
    targets = {}
    for parameter, _ in network.named_parameters():
        own, published = parameter, published_name(parameter)
        if parameter.endswith((".weight", ".bias")):
            own, published = own.rpartition(".")[0], published.rpartition(".")[0]
        native = published
        for pattern, replacement in _NATIVE_NAMES:
            native = re.sub(pattern, replacement, native)
        for name in (published, native):
            targets[name.replace(".", "_")] = own
    return targets


def _changes(
    lora: Lora, targets: Mapping[str, str], network: torch.nn.Module, outcome: Outcome
) -> Iterator[tuple[str, Change]]:
    """The file's changes by the name of the parameter; what cannot be placed is noted in `outcome`."""
    parameters = dict(network.named_parameters())
    content = read_lora(lora.path)
    outcome.unmatched += content.unknown
    for module, suffix, keys, change in content.changes:
        own = targets.get(module)
        name = own if own in parameters else f"{own}.{suffix}"
        if own is None or change is None or name not in parameters:
            outcome.unmatched += keys
        elif _can_take(parameters[name], network.get_submodule(name.rpartition(".")[0]), change):
            yield name, change._replace(scale=change.scale * lora.weight)
        else:
            outcome.misfits += keys


def _can_take(parameter: torch.nn.Parameter, module: torch.nn.Module, change: Change) -> bool:
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
            f"{path} was made for a network of another size, or for one that is not quantised ({outcome.misfits[0]}).",
            "A LoRA of the 14B does not fit the 1.3B, and whole changes (diff, LoKr) no quantised network.",
        )
    first = f" (first: {outcome.unmatched[0]})" if outcome.unmatched else ""
    raise BadInput(f"Nothing in {path} names a part of this network{first}.", "Use a LoRA made for Wan2.1 T2V.")


def _merge(name: str, parameter: torch.nn.Parameter, changes: Sequence[Change]) -> None:
    """Add all changes at once, in float32, rounded once."""
    merged = parameter.data.float()
    for change in changes:
        merged = merged + change.full(parameter.shape).to(parameter.device)
    rounded = merged.to(parameter.dtype)
    if not torch.isfinite(rounded).all():
        raise BadInput(
            f"With the LoRA {name} is too large for {str(parameter.dtype).removeprefix('torch.')}.",
            "Give the LoRA a lower weight, or choose another --dtype.",
        )
    parameter.data = rounded  # not in place: the weights may be a file's, mapped


def _add_adapter(network: OneToAllTransformer3DModel, changes: Mapping[str, Sequence[Change]]) -> None:
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

"""LoRA training: a low-rank adapter in the denoiser's blocks, and the file that `--lora` takes."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor, nn

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.published import published_name
from onetoall_cli.training.recipe import LoraSettings

LORA_FILE = "lora.safetensors"
_ADAPTER = "default"
_HEADER_KEY = "lora_adapter_metadata"  # where diffusers keeps peft's configuration
_FEED_FORWARD = ("ffn.net.0.proj", "ffn.net.2")


def targets(network: nn.Module, settings: LoraSettings) -> list[str]:
    """Names of the linear layers of the denoiser's blocks that a LoRA changes.

    Raises:
        BadInput: A target names no layer.
    """
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    layers = [name for name in layers if name.startswith("blocks.")]
    chosen = []
    for target in settings.targets:
        ends = _FEED_FORWARD if target == "ffn" else (target,)
        found = [name for name in layers if any(name == end or name.endswith(f".{end}") for end in ends)]
        if not found:
            known = sorted({name.rpartition(".")[2] for name in layers} - {"proj", "2"})
            raise BadInput(
                f"lora.targets: no layer is called '{target}'.", f"Choose from {', '.join([*known, 'ffn'])}."
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def add_lora(network: OneToAllTransformer3DModel, settings: LoraSettings) -> list[str]:
    """Put an untrained adapter into a network, which it does not change yet; returns the adapter's parameters by name.

    Raises:
        BadInput: As `targets`.
    """
    names = "|".join(re.escape(name) for name in targets(network, settings))
    alpha = settings.alpha or float(settings.rank)
    network.add_adapter(LoraConfig(r=settings.rank, lora_alpha=alpha, target_modules=names), _ADAPTER)  # type: ignore[arg-type]
    return [name for name, _ in network.named_parameters() if ".lora_" in name]


def save_lora(tensors: Mapping[str, Tensor], settings: LoraSettings, path: Path) -> None:
    """Write an adapter in diffusers' form, with the released names and rank and alpha in the header.

    Args:
        tensors: The adapter's parameters, by the names of `add_lora`.
        settings: Its settings.
        path: The file.
    """
    state = {}
    for name, value in tensors.items():
        module, _, part = name.replace(f".{_ADAPTER}.", ".").partition(".lora_")
        state[f"transformer.{published_name(module)}.lora_{part}"] = value.detach().float().cpu().contiguous()
    about = {"transformer.r": settings.rank, "transformer.lora_alpha": settings.alpha or float(settings.rank)}
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt", _HEADER_KEY: json.dumps(about)})

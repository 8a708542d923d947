"""The network's configuration from the shapes of its weights; the released repositories have no configuration file.

Tensor names are those of the released checkpoints: diffusers' Wan names and the research code's additions.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onetoall_cli.errors import ModelMissing
from onetoall_cli.hub import ModelLocation
from onetoall_cli.hub.weight_files import weight_files
from onetoall_cli.weights.formats import refusal
from onetoall_cli.weights.tensors import TensorInfo, read_tensors

# Wan2.1's head dimension at every size. The shapes do not give it, because the norms span all heads.
HEAD_DIM = 128

_DENOISER_BLOCKS = re.compile(r"blocks\.(\d+)\.")
_REFERENCE_BLOCKS = re.compile(r"refextractor\.blocks\.(\d+)\.")
_POSE_BLOCKS = re.compile(r"controlnet\.blocks\.(\d+)\.")


def network_config(location: ModelLocation) -> dict[str, Any] | None:
    """Constructor arguments for the network of `location`; None if it has a `config.json`.

    Raises:
        ModelMissing: The weights are damaged, those of another network, or do not match the catalogue.
    """
    if not location.published:
        return None
    folder = location.transformer
    found = architecture_of(read_tensors(weight_files(folder)), folder)
    for key, value in (location.architecture or {}).items():
        if found.get(key) != value:
            raise ModelMissing(
                f"{folder} does not match the catalogue: {key} is {found.get(key)}, not {value}.",
                "Fetch the model again, or correct the catalogue entry.",
            )
    return found


def architecture_of(tensors: Mapping[str, TensorInfo], source: Path) -> dict[str, Any]:
    """Constructor arguments of `OneToAllTransformer3DModel` for published weights.

    Args:
        tensors: From `read_tensors`.
        source: The weights' folder, for messages.

    Raises:
        ModelMissing: The weights are those of another network.
    """
    try:
        width = tensors["patch_embedding.weight"].shape[0]
        # Other networks with Wan's names, such as its own T2V transformer, lack these two.
        tensors["refextractor.patch_embedding.weight"], tensors["input_hint_block.conv_in.conv.weight"]
        return {
            "num_attention_heads": width // HEAD_DIM,
            "attention_head_dim": HEAD_DIM,
            "in_channels": tensors["patch_embedding.weight"].shape[1],
            "text_dim": tensors["condition_embedder.text_embedder.linear_1.weight"].shape[1],
            "freq_dim": tensors["condition_embedder.time_embedder.linear_1.weight"].shape[1],
            "ffn_dim": tensors["blocks.0.ffn.net.0.proj.weight"].shape[0],
            "num_layers": _count(tensors, _DENOISER_BLOCKS),
            "num_reference_layers": _count(tensors, _REFERENCE_BLOCKS),
            "num_pose_layers": _count(tensors, _POSE_BLOCKS),
        }
    except KeyError as error:
        raise refusal(source, tensors) from error


def _count(tensors: Mapping[str, TensorInfo], block_names: re.Pattern[str]) -> int:
    numbers = [int(match[1]) for match in map(block_names.match, tensors) if match]
    return max(numbers, default=-1) + 1

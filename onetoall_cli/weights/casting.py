"""Weights in float8, half the size of bfloat16: diffusers' layerwise casting widens each layer while it computes."""

import torch
from diffusers.hooks import apply_layerwise_casting_hook

from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.precision import quantisable_linears

FP8 = torch.float8_e4m3fn  # more mantissa than e5m2; its range is wide enough for weights


def store_in_fp8(network: OneToAllTransformer3DModel, dtype: torch.dtype) -> None:
    """Store the linear layers that a quantised network quantises in float8; they compute in `dtype`.

    Changes to weights (LoRAs) come before.
    """
    for name in quantisable_linears(network):
        apply_layerwise_casting_hook(network.get_submodule(name), FP8, dtype, non_blocking=True)

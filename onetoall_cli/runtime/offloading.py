"""Blocks that wait in main memory: diffusers' group offloading, with copies that run beside the computation."""

from itertools import pairwise
from typing import Any

import torch
from diffusers.hooks.group_offloading import _GROUP_OFFLOADING, GroupOffloadingHook
from torch import nn

from onetoall_cli.model import OneToAllTransformer3DModel

BLOCKS_ON_DEVICE = 2  # the one that computes and the one that is being copied


def offload_blocks(network: OneToAllTransformer3DModel, device: torch.device) -> None:
    """Leave a network's weights on the CPU, from where each block comes to the device for its turn.

    On CUDA the next block of the same stack is copied while a block computes. diffusers' own prefetching
    (`use_stream`) cannot serve here: it takes its order from the first pass, and the passes of a step differ (one has
    no refinement blocks); nor does it allow one offloaded part inside another (diffusers 0.42).

    Args:
        network: Changed in place.
        device: Where it computes.
    """
    network.to("cpu")
    network.enable_group_offload(
        onload_device=device, offload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    if device.type == "cuda":
        stream = torch.cuda.Stream(device)
        for stack in (network.reference_extractor.blocks, network.pose_refiner.blocks, network.blocks):
            copy_ahead(stack, stream)


def copy_ahead(stack: nn.ModuleList, stream: torch.Stream) -> None:
    """Let each block of a stack start the copy of the next one, on a stream of its own, before it computes.

    Args:
        stack: Offloaded blocks, one a group, that run in this order whenever the first of them runs.
        stream: For the copies, of the device the blocks compute on.
    """
    hooks = [_offloading(block) for block in stack]
    for hook in hooks:
        group = hook.group
        group.stream = stream
        group.cpu_param_dict = group._init_cpu_param_dict()  # pinned, or copies could not run beside anything
        group.offload_()
    for hook, following in pairwise(hooks):
        hook.next_group = following.group
        following.group.onload_self = False
        following.group.non_blocking = True  # the first block's copy stays one that is waited for


def _offloading(block: nn.Module) -> GroupOffloadingHook:
    registry: Any = block._diffusers_hook
    return registry.get_hook(_GROUP_OFFLOADING)

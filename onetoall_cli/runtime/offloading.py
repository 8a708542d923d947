"""Offloading of blocks to main memory: diffusers' group offloading, with copies parallel to the computation."""

from itertools import pairwise
from typing import Any

import torch
from diffusers.hooks.group_offloading import _GROUP_OFFLOADING, GroupOffloadingHook
from torch import nn

from onetoall_cli.model import OneToAllTransformer3DModel

BLOCKS_ON_DEVICE = 2  # the one that computes and the one that is being copied


def offload_blocks(network: OneToAllTransformer3DModel, device: torch.device) -> None:
    """Keep a network's weights on the CPU, and copy each block to the device when it runs.

    On CUDA the next block of the same stack is copied while a block computes. diffusers' own prefetching (`use_stream`)
    does not work here: it records its order in the first pass, but the passes of a step differ (one has no refinement
    blocks), and it does not allow nested offloaded modules (diffusers 0.42).

    Args:
        network: Changed in place.
        device: Device it computes on.
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
    """Let each block of a stack start the copy of the next block, on `stream`, before it computes.

    Args:
        stack: Offloaded blocks, each a group, that always run in this order.
        stream: A stream for the copies, on the device that the blocks compute on.
    """
    hooks = [_offloading(block) for block in stack]
    for hook in hooks:
        group = hook.group
        group.stream = stream
        group.cpu_param_dict = group._init_cpu_param_dict()  # pinned, which parallel copies need
        group.offload_()
    for hook, following in pairwise(hooks):
        hook.next_group = following.group
        following.group.onload_self = False
        following.group.non_blocking = True  # only the first block waits for its copy


def _offloading(block: nn.Module) -> GroupOffloadingHook:
    registry: Any = block._diffusers_hook
    return registry.get_hook(_GROUP_OFFLOADING)

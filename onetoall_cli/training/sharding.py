"""Sharding: each process of a run holds its part of every weight, gradient and optimiser state (FSDP2, as ZeRO-3 does).

Checkpoints hold whole tensors, so a run continues sharded or not, and with any number of processes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from onetoall_cli.model import OneToAllTransformer3DModel


def shard(network: OneToAllTransformer3DModel, device: torch.device) -> OneToAllTransformer3DModel:
    """Spread a network, block by block, over all processes of the process group, each with one device of this kind."""
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for side in (network.blocks, network.reference_extractor.blocks, network.pose_refiner.blocks):
        for block in side:  # type: ignore[union-attr]
            fully_shard(block, mesh=mesh)
    # A root is left whole after its forward pass by itself; without a backward pass (validation) it would stay so.
    fully_shard(network, mesh=mesh, reshard_after_forward=True)
    return network


def whole(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """The whole tensors of shards, one after the other; others stay as they are.

    All processes have to call it with the same names. Those that do not `keep` them get none; the others get what was
    sharded in the memory of the machine.
    """
    gathered = {}
    for name, value in tensors.items():
        if isinstance(value, DTensor):
            value = value.full_tensor().detach().cpu()
        if keep:
            gathered[name] = value
    return gathered


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This process's shard of a whole tensor that all processes have, spread as `like` is; else the tensor itself."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)

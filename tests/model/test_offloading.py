"""Blocks that wait in main memory. There is no GPU here: copies that run beside the computation are played."""

import pytest
import torch
from diffusers.hooks import group_offloading
from golden_cases import CASES, new_model, prepare

from onetoall_cli.runtime.offloading import BLOCKS_ON_DEVICE, copy_ahead, offload_blocks

AWAY, COMING, HERE = "away", "coming", "here"


class Stream:
    """A copy stream: what was started is only sure to be there after `synchronize`."""

    def __init__(self) -> None:
        self.coming: list[group_offloading.ModuleGroup] = []

    def synchronize(self) -> None:
        for group in self.coming:
            group.place = HERE
        self.coming = []


def groups(module) -> list:
    """The groups of a network, or the group of a block."""
    registries = [part._diffusers_hook for part in module.modules() if hasattr(part, "_diffusers_hook")]
    hooks = [registry.get_hook("group_offloading") for registry in registries]
    return [hook.group for hook in hooks if hook]


@pytest.fixture
def played(monkeypatch):
    """A network offloaded with a stream whose groups know where they are; each use of a weight checks it."""

    def onload(group):
        if group.stream is not None:
            group.stream.synchronize()
        group.loads = getattr(group, "loads", 0) + 1
        group.place = COMING if group.stream is not None and group.non_blocking else HERE
        if group.place == COMING:
            group.stream.coming.append(group)

    def offload(group):
        group.place = AWAY

    monkeypatch.setattr(group_offloading.ModuleGroup, "_init_cpu_param_dict", lambda _: {})
    monkeypatch.setattr(group_offloading.ModuleGroup, "onload_", onload)
    monkeypatch.setattr(group_offloading.ModuleGroup, "offload_", offload)
    model = new_model()
    offload_blocks(model, torch.device("cpu"))
    for group in groups(model):
        group.offload_device = torch.device("meta")  # where weights seem not to be, so that no group helps itself
    stream = Stream()
    for stack in (model.reference_extractor.blocks, model.pose_refiner.blocks, model.blocks):
        copy_ahead(stack, stream)
    most = [0]
    for group in groups(model):
        # Torch's hooks run before diffusers' on the same module, so only what is inside a member can be asked.
        for leaf in (leaf for member in group.modules for leaf in member.modules() if leaf is not member):
            if next(leaf.parameters(recurse=False), None) is not None:
                leaf.register_forward_pre_hook(lambda *_, group=group: check(group))

    def check(group):
        assert group.place == HERE
        most[0] = max(most[0], sum(one.place != AWAY for one in groups(model.blocks)))

    model.most_blocks = most
    return model


@torch.no_grad()
def test_with_streams_every_weight_has_arrived_when_it_is_used_in_passes_of_every_kind(tiny, played):
    for name in ("plain", "no_pose", "token_replace", "no_pose", "plain"):
        case = CASES[name]
        inputs = case.inputs()
        velocities = [
            model.denoise(inputs["hidden_states"], inputs["timestep"], **prepare(model, case, inputs))
            for model in (played, tiny)
        ]
        torch.testing.assert_close(*velocities, atol=2e-5, rtol=0)
    assert played.most_blocks[0] == BLOCKS_ON_DEVICE
    assert {group.loads for group in groups(played.blocks)} == {5}  # once a pass, none in vain
    assert {group.loads for group in groups(played.pose_refiner.blocks)} == {3}

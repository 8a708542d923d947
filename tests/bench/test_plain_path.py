"""The plain path that ours is measured against computes the same velocities."""

import pytest
import torch

from onetoall_cli.bench.networks import random_inputs, random_network
from onetoall_cli.bench.plain import PlainNetwork
from onetoall_cli.bench.steps import our_step, plain_step, prepare

CONFIG = {
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "ffn_dim": 96,
    "text_dim": 24,
    "num_layers": 4,
    "num_reference_layers": 2,
    "num_pose_layers": 2,
}


@pytest.fixture(scope="module")
def network():
    return random_network(CONFIG, torch.float32)


@pytest.mark.parametrize("context_frames", [0, 2])
def test_plain_and_ours_give_the_same_guided_velocity(network, context_frames):
    inputs = random_inputs(network, 64, 48, 13, context_frames=context_frames)
    ours = our_step(network, inputs, prepare(network, inputs))
    plain = plain_step(PlainNetwork(network), inputs)
    assert plain.std() > 0.1
    torch.testing.assert_close(ours, plain, atol=2e-4, rtol=1e-3)


def test_every_condition_counts_in_the_random_network(network):
    """So that the comparison above would notice a part that is left out."""
    inputs = random_inputs(network, 64, 48, 9)
    plain = PlainNetwork(network)
    arguments = [inputs.latents, 500.0, inputs.texts[True], inputs.references[True]]
    arguments += [inputs.pose_video, inputs.reference_pose]
    base = plain(*arguments)
    for index in range(2, 6):
        changed = [value + 0.3 if place == index else value for place, value in enumerate(arguments)]
        assert (plain(*changed) - base).abs().max() > 1e-3
    assert (plain(*arguments, pose_scale=0.0) - base).abs().max() > 1e-3


def test_a_random_network_keeps_wide_what_a_loaded_one_does():
    network = random_network(CONFIG, torch.bfloat16)
    assert network.blocks[0].scale_shift_table.dtype == torch.float32
    assert network.blocks[0].ffn.net[2].weight.dtype == torch.bfloat16
    assert all(parameter.isfinite().all() and not parameter.is_meta for parameter in network.parameters())

"""The network against the numbers of the public research code (float32, tolerance 2e-4)."""

import pytest
import torch
from golden_cases import CASES, prepare
from golden_recipe import DATA
from safetensors.torch import load_file

TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def golden():
    return load_file(DATA / "transformer_tiny.safetensors")


def _assert_golden(value, expected):
    assert value.shape == expected.shape
    assert (value - expected).abs().max().item() <= TOLERANCE


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_forward_on_raw_inputs_matches_the_research_code(tiny, golden, name):
    case = CASES[name]
    velocity = tiny(
        **case.inputs(), pose_scale=case.pose_scale, num_context_frames=case.num_context_frames, return_dict=True
    ).sample
    _assert_golden(velocity, golden[name])


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_denoise_on_prepared_values_matches_too_and_equals_forward(tiny, golden, name):
    case = CASES[name]
    inputs = case.inputs()
    velocity = tiny.denoise(inputs["hidden_states"], inputs["timestep"], **prepare(tiny, case, inputs))
    _assert_golden(velocity, golden[name])
    settings = {"pose_scale": case.pose_scale, "num_context_frames": case.num_context_frames}
    (raw,) = tiny(**inputs, **settings, return_dict=False)
    assert torch.equal(velocity, raw)


@torch.no_grad()
def test_intermediate_values_match(tiny, golden):
    case = CASES["plain"]
    inputs = case.inputs()
    prepared = prepare(tiny, case, inputs)
    for index, feature in enumerate(prepared["reference_features"]):
        _assert_golden(feature, golden[f"plain.reference_features.{index}"])
    _assert_golden(prepared["prefix"], golden["plain.reference_prefix"])
    poses = torch.cat([golden["plain.reference_pose_features"], golden["plain.pose_features"]], dim=2)
    _assert_golden(prepared["pose"], poses.flatten(2).transpose(1, 2))


@torch.no_grad()
def test_time_may_be_a_plain_number(tiny, golden):
    case = CASES["plain"]
    velocity = tiny(**{**case.inputs(), "timestep": case.timestep}).sample
    _assert_golden(velocity, golden["plain"])


@torch.no_grad()
def test_samples_of_a_batch_do_not_mix(tiny, golden):
    """Different times, texts, references and poses side by side give what each gives alone."""
    case = CASES["token_replace"]
    inputs = case.inputs()
    batch = {
        name: torch.cat([value, value.flip(-1) * 0.5 if value.ndim > 1 else value // 2])
        for name, value in inputs.items()
    }
    together = tiny(**batch, num_context_frames=2).sample
    _assert_golden(together[:1], golden["token_replace"])
    second = {name: value[1:] for name, value in batch.items()}
    assert torch.allclose(together[1:], tiny(**second, num_context_frames=2).sample, atol=2e-5)

"""The network under autograd: every weight learns, checkpointing changes only memory, new branches start silent."""

import pytest
import torch
from allocation import peak_bytes
from golden_cases import CASES, new_model
from golden_recipe import TINY, rnd

from onetoall_cli.model import OneToAllTransformer3DModel


def loss_of(model, name="token_replace"):
    case = CASES[name]
    return model(**case.inputs(), num_context_frames=case.num_context_frames).sample.square().mean()


@pytest.fixture(scope="module")
def gradients():
    """Of the plain run, by parameter name."""
    model = new_model().train()
    loss_of(model).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_every_weight_gets_a_gradient(gradients):
    for name, gradient in gradients.items():
        assert gradient is not None and torch.isfinite(gradient).all(), name
        if not name.endswith("to_k.bias"):  # a constant on all keys falls out of the softmax, but for the norm
            assert gradient.abs().max() > 0, name


def test_gradient_checkpointing_gives_the_same_gradients(gradients):
    model = new_model().train()
    model.enable_gradient_checkpointing()
    loss_of(model).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-6, rtol=1e-4, msg=name)


def test_gradient_checkpointing_saves_memory():
    latents, reference, text = rnd(1, 1, 16, 9, 16, 16), rnd(2, 1, 32, 1, 16, 16), rnd(3, 1, 12, 64)

    def peak(checkpointing):
        model = new_model().train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        return peak_bytes(lambda: model(latents, 500, text, reference, pose_scale=0).sample.sum().backward())

    weights = sum(parameter.nbytes for parameter in new_model().parameters())  # their gradients count in both
    assert peak(True) - weights < 0.6 * (peak(False) - weights)


def test_a_gradient_step_follows_the_loss(gradients):
    """The gradients are those of the function computed: a small step along them changes the loss as predicted."""
    model = new_model()
    with torch.no_grad():
        before = loss_of(model).item()
        norm = sum(gradient.square().sum() for gradient in gradients.values())
        step = 1e-3 * before / norm
        for name, parameter in model.named_parameters():
            parameter -= step * gradients[name]
        after = loss_of(model).item()
    assert (before - after) == pytest.approx((step * norm).item(), rel=0.1)


def test_bfloat16_trains(gradients):
    model = new_model().to(torch.bfloat16).train()
    case = CASES["token_replace"]
    inputs = {name: value if name == "timestep" else value.bfloat16() for name, value in case.inputs().items()}
    model(**inputs, num_context_frames=2).sample.float().square().mean().backward()
    for name in ("blocks.1.self_attention.to_reference_k.weight", "pose_encoder.conv_in.weight"):
        gradient, expected = dict(model.named_parameters())[name].grad.float(), gradients[name]
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.95, name


@torch.no_grad()
def test_new_branches_of_an_untrained_network_are_silent():
    """Zero-initialised linears: neither the reference features nor the pose can disturb a pretrained backbone."""
    model = OneToAllTransformer3DModel(**TINY)
    inputs = CASES["plain"].inputs()
    rotary = model.rotary_tables(4, 8, 6)
    features = model.extract_reference(inputs["reference_latents"], 500, rotary)
    assert len(features) == 2 and not any(feature.any() for feature in features)
    assert torch.equal(model(**inputs).sample, model(**inputs, pose_scale=0.0).sample)


def test_a_lora_adapter_attaches_to_the_denoiser_and_leaves_again():
    from peft import LoraConfig

    model = new_model()
    inputs = CASES["plain"].inputs()
    with torch.no_grad():
        plain = model(**inputs).sample
        model.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_reference_k"], init_lora_weights=False))
        changed = model(**inputs).sample
        model.disable_adapters()
        assert not torch.equal(plain, changed) and torch.equal(plain, model(**inputs).sample)


def test_impossible_configurations_are_refused():
    with pytest.raises(ValueError, match="pose layers"):
        OneToAllTransformer3DModel(**{**TINY, "num_pose_layers": 4})
    with pytest.raises(ValueError, match="patch_size"):
        OneToAllTransformer3DModel(**TINY, patch_size=(2, 2, 2))


@torch.no_grad()
def test_head_dim_widths_and_depths_are_configuration():
    config = {
        "num_attention_heads": 3,
        "attention_head_dim": 24,
        "ffn_dim": 80,
        "text_dim": 10,
        "freq_dim": 32,
        "in_channels": 4,
        "out_channels": 5,
        "num_layers": 5,
        "num_reference_layers": 2,
        "num_pose_layers": 3,
        "pose_channels": 8,
        "prefix_channels": 12,
    }
    model = OneToAllTransformer3DModel(**config)
    velocity = model(
        torch.randn(2, 4, 2, 4, 6),
        torch.tensor([10.0, 900.0]),
        torch.randn(2, 7, 10),
        torch.randn(2, 8, 1, 4, 6),
        torch.rand(2, 3, 5, 32, 48),
        torch.rand(2, 3, 1, 32, 48),
    ).sample
    assert velocity.shape == (2, 5, 2, 4, 6) and torch.isfinite(velocity).all()

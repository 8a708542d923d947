"""What diffusers offers around a network works on this one: dtypes, backends, offloading, caches, compilation."""

import pytest
import torch
from allocation import peak_bytes
from diffusers import FirstBlockCacheConfig
from diffusers.models import attention_dispatch
from golden_cases import CASES, new_model, prepare


def bfloat16(inputs):
    return {name: value if name == "timestep" else value.bfloat16() for name, value in inputs.items()}


@torch.no_grad()
def run(model, name="token_replace", **changes):
    case = CASES[name]
    inputs = {**case.inputs(), **changes}
    return model.denoise(inputs["hidden_states"], inputs["timestep"], **prepare(model, case, inputs))


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_bfloat16_on_the_cpu_stays_close_to_float32(tiny, name):
    model = new_model(torch_dtype=torch.bfloat16)
    case = CASES[name]
    settings = {"pose_scale": case.pose_scale, "num_context_frames": case.num_context_frames}
    velocity = model(**bfloat16(case.inputs()), **settings).sample
    expected = tiny(**case.inputs(), **settings).sample
    assert velocity.dtype == torch.bfloat16
    assert (velocity.float() - expected).norm() < 0.02 * expected.norm()


@torch.no_grad()
def step_peak(dtype: torch.dtype) -> int:
    """Bytes that one step of 10 x 12 x 12 tokens takes at once, besides what is prepared."""
    model = new_model(torch_dtype=dtype)
    latents, reference, text = (
        torch.randn(size).to(dtype) for size in ((1, 16, 9, 24, 24), (1, 32, 1, 24, 24), (1, 12, 64))
    )
    rotary = model.rotary_tables(10, 24, 24)
    prepared = {
        "text": model.encode_text(text),
        "reference_features": model.extract_reference(reference, 500, rotary),
        "prefix": model.encode_prefix(reference),
        "rotary": rotary,
    }
    return peak_bytes(lambda: model.denoise(latents, 500, **prepared))


def test_bfloat16_halves_the_memory_of_a_step():
    """No activation is silently widened."""
    assert step_peak(torch.bfloat16) < 0.6 * step_peak(torch.float32)


def test_attention_backend_can_be_set(tiny, monkeypatch):
    model = new_model()
    used = []
    original = attention_dispatch._AttentionBackendRegistry._backends[
        attention_dispatch.AttentionBackendName._NATIVE_MATH
    ]
    monkeypatch.setitem(
        attention_dispatch._AttentionBackendRegistry._backends,
        attention_dispatch.AttentionBackendName._NATIVE_MATH,
        lambda **arguments: used.append(1) or original(**arguments),
    )
    model.set_attention_backend("_native_math")
    velocity = run(model)
    assert len(used) == 3 * len(model.blocks) + len(model.pose_refiner.blocks) + len(model.reference_extractor.blocks)
    torch.testing.assert_close(velocity, run(tiny), atol=2e-5, rtol=0)


def test_merged_text_works_with_a_backend_that_takes_no_mask(tiny, monkeypatch):
    """As flash attention: the few merged keys then go through torch's own attention."""
    model = new_model()
    original = attention_dispatch._AttentionBackendRegistry._backends[
        attention_dispatch.AttentionBackendName._NATIVE_MATH
    ]

    def refuses_masks(attn_mask=None, **arguments):
        assert attn_mask is None
        return original(attn_mask=None, **arguments)

    monkeypatch.setitem(
        attention_dispatch._AttentionBackendRegistry._backends,
        attention_dispatch.AttentionBackendName._NATIVE_MATH,
        refuses_masks,
    )
    model.set_attention_backend("_native_math")
    padded = torch.zeros(1, 64, 64)
    padded[:, :5] = 1
    changes = {"encoder_hidden_states": padded}
    torch.testing.assert_close(run(model, **changes), run(tiny, **changes), atol=2e-5, rtol=0)


@pytest.mark.parametrize("offload_type", ["block_level", "leaf_level"])
def test_group_offloading_brings_every_weight_in_time(tiny, tmp_path, offload_type):
    """Offloaded to disk, a weight that is used without its hook would be uninitialised memory."""
    model = new_model()
    kind = {"num_blocks_per_group": 1} if offload_type == "block_level" else {}
    model.enable_group_offload(
        onload_device=torch.device("cpu"),
        offload_device=torch.device("cpu"),
        offload_type=offload_type,
        offload_to_disk_path=str(tmp_path),
        **kind,
    )
    assert not torch.equal(model.blocks[2].ffn.net[2].weight, tiny.blocks[2].ffn.net[2].weight)
    for name in ("token_replace", "plain"):
        torch.testing.assert_close(run(model, name), run(tiny, name), atol=2e-5, rtol=0)


def test_first_block_cache_skips_blocks_and_keeps_passes_apart(tiny):
    model = new_model()
    model.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    calls = []
    model.blocks[2].ffn.register_forward_hook(lambda *_: calls.append(1))
    cases = {"reference": "plain", "nothing": "no_pose"}
    first, second = [], []
    for outputs in (first, second):
        for context, name in cases.items():
            with model.cache_context(context):
                outputs.append(run(model, name))
    assert len(calls) == len(cases)  # the second round computed no inner block
    for name, cold, warm in zip(cases.values(), first, second, strict=True):
        assert torch.equal(cold, run(tiny, name))
        torch.testing.assert_close(warm, cold, atol=1e-4, rtol=0)  # same inputs: what is reused is right, pose included


@pytest.mark.slow
def test_the_repeated_blocks_compile(tiny):
    model = new_model()
    model.compile_repeated_blocks(fullgraph=True)
    for name in ("plain", "token_replace"):
        torch.testing.assert_close(run(model, name), run(tiny, name), atol=1e-4, rtol=0)

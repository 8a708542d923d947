"""What the network leaves out or computes once, each equal to the plain computation."""

import math

import pytest
import torch
import torch.nn.functional as F
from allocation import peak_bytes
from golden_cases import CASES, new_model, prepare
from golden_recipe import rnd

from onetoall_cli.model.attention import HeadsNorm, merge_repeated_rows, representable_log_weights
from onetoall_cli.model.rotary import rotary_tables


def count_calls(module) -> list:
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("count", [16, 17, 100, 500, 511, 512])
def test_log_weights_are_exact_in_bfloat16_and_sum_to_the_count(count):
    logs = torch.tensor(representable_log_weights(count), dtype=torch.float64)
    assert torch.equal(logs, logs.bfloat16().double())
    assert logs.exp().sum().item() == pytest.approx(count, rel=2e-7)
    assert len(logs) <= 8


@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_merged_padding_gives_what_all_rows_give(tiny, batch):
    """Rows that differ by less than float32 resolves in the result are not merged: that is the plain path."""
    case = CASES["plain"]
    inputs = {name: value.expand(batch, *value.shape[1:]) for name, value in case.inputs().items()}
    padded = torch.zeros(batch, 512, 64)
    padded[:, :12] = inputs["encoder_hidden_states"]
    padded[-1, 12:20] = 0.5  # a longer prompt beside a shorter one
    distinct = padded.clone()
    distinct[:, 20:] += 1e-9 * rnd(1, batch, 492, 64)
    assert tiny.encode_text(padded)[0].key.shape[1] < 40 and tiny.encode_text(distinct)[0].key.shape[1] == 512
    merged, plain = (tiny(**{**inputs, "encoder_hidden_states": text}).sample for text in (padded, distinct))
    torch.testing.assert_close(merged, plain, atol=2e-5, rtol=0)
    without = tiny(**{**inputs, "encoder_hidden_states": padded[:, :21]}).sample
    assert (merged - without).abs().max() > 1e-3  # the padding does count


def test_few_or_differing_rows_are_left_alone():
    text = rnd(1, 1, 40, 8)
    assert merge_repeated_rows(text) == (text, None)
    text[:, 30:] = 0
    rows, log_weights = merge_repeated_rows(text)
    assert rows is text and log_weights is None


def test_a_text_of_nothing_but_padding_is_merged_too():
    rows, log_weights = merge_repeated_rows(torch.zeros(1, 512, 8))
    assert rows.shape[1] == log_weights.shape[-1] < 10
    assert log_weights.exp().sum().item() == pytest.approx(512, rel=1e-6)


@torch.no_grad()
def test_denoising_steps_encode_nothing_again():
    model = new_model()
    case = CASES["plain"]
    inputs = case.inputs()
    prepared = prepare(model, case, inputs)
    once = [model.text_embedding, *model.text_keys, model.pose_encoder, model.prefix_encoder, model.reference_extractor]
    calls = [count_calls(module) for module in once]
    for timestep in (900, 500):
        model.denoise(inputs["hidden_states"], timestep, **prepared)
    assert not any(calls)


@torch.no_grad()
def test_without_pose_neither_encoder_nor_refinement_runs():
    model = new_model()
    case = CASES["no_pose"]
    calls = [count_calls(module) for module in (model.pose_encoder, model.pose_refiner)]
    inputs = case.inputs()
    model(**inputs, pose_scale=0.0)
    del inputs["pose_video"], inputs["reference_pose"]
    model(**inputs, pose_scale=0)
    prepared = prepare(model, CASES["plain"], CASES["plain"].inputs())
    calls.append(count_calls(model.pose_refiner))
    model.denoise(CASES["plain"].inputs()["hidden_states"], 500, **{**prepared, "pose_scale": 0.0})
    assert len(calls[0]) == 1 + 1 and not calls[1]  # only `prepare` ran the encoder, for video and reference


@torch.no_grad()
def test_hrfa_normalises_its_query_once():
    model = new_model()
    attention = model.blocks[1].self_attention
    calls = [count_calls(attention.to_q), count_calls(attention.norm_q)]
    model(**CASES["plain"].inputs())
    assert [len(found) for found in calls] == [1, 1]


@torch.no_grad()
def test_heads_norm_in_pieces_equals_rms_norm_and_rotation_by_complex_numbers():
    """600 tokens: more than one piece. The rotation as Wan defines it: complex, double precision."""
    torch.manual_seed(0)
    heads, dim, grid = 3, 32, (6, 10, 10)
    norm = HeadsNorm(heads, dim, eps=1e-6)
    norm.weight.normal_(1, 0.2)
    tables = rotary_tables(*grid, head_dim=dim)
    x = torch.randn(2, 600, heads * dim)
    plain, full, spatial = norm(x, None, tables.full, tables.spatial)

    expected = F.rms_norm(x, x.shape[-1:], norm.weight, 1e-6).unflatten(-1, (heads, dim))
    torch.testing.assert_close(plain, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(full, rotate_complex(expected, grid, still_time=False), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(spatial, rotate_complex(expected, grid, still_time=True), atol=2e-6, rtol=1e-5)


def rotate_complex(x: torch.Tensor, grid: tuple[int, int, int], still_time: bool) -> torch.Tensor:
    dim = x.shape[-1]
    space = 2 * (dim // 6)
    axes = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in grid), indexing="ij")
    angles = []
    for axis, (positions, part) in enumerate(zip(axes, (dim - 2 * space, space, space), strict=True)):
        frequencies = 1 / 10000.0 ** (torch.arange(0, part, 2, dtype=torch.float64) / part)
        angles.append(positions.flatten()[:, None] * frequencies * (0 if axis == 0 and still_time else 1))
    turn = torch.polar(torch.ones(()).double(), torch.cat(angles, dim=1))[None, :, None]
    turned = torch.view_as_complex(x.double().unflatten(-1, (-1, 2))) * turn
    return torch.view_as_real(turned).flatten(-2).float()


def test_rotary_tables_are_float32_and_accurate_far_out():
    tables = rotary_tables(1, 1, 1024, head_dim=128)
    assert {table.dtype for rotation in tables for table in (rotation.cos, rotation.sin)} == {torch.float32}
    slowest = 10000.0 ** (-40 / 42)
    assert tables.full.cos[1023, 0, -1].item() == pytest.approx(math.cos(1023 * slowest), abs=1e-7)
    assert tables.full.sin[1000, 0, 44 + 42 + 1].item() == pytest.approx(math.sin(1000), abs=1e-7)


@torch.no_grad()
def test_no_step_computes_in_double_or_complex(tiny):
    """Float64 and complex temporaries were the research code's rotary embedding."""
    seen = set()

    class Dtypes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            seen.update(t.dtype for t in torch.utils._pytree.tree_leaves(result) if isinstance(t, torch.Tensor))
            return result

    case = CASES["token_replace"]
    inputs = case.inputs()
    prepared = prepare(tiny, case, inputs)
    with Dtypes():
        tiny.denoise(inputs["hidden_states"], inputs["timestep"], **prepared)
    assert torch.float32 in seen and not seen & {torch.float64, torch.complex64, torch.complex128}


@torch.no_grad()
def test_token_replace_costs_no_table_per_token(tiny):
    """Modulating the context apart takes no more memory than modulating all tokens alike, but for a join."""
    case = CASES["token_replace"]
    inputs = case.inputs()
    prepared = prepare(tiny, case, inputs)

    def peak(context):
        return peak_bytes(
            lambda: tiny.denoise(
                inputs["hidden_states"], inputs["timestep"], **{**prepared, "num_context_frames": context}
            )
        )

    tokens, width = prepared["rotary"].full.cos.shape[0], 256
    assert peak(2) - peak(0) < 3 * tokens * width * 4  # a table of six rows per token would take 6


@torch.no_grad()
def test_values_prepared_for_another_size_are_refused(tiny):
    plain, other = CASES["plain"], CASES["token_replace"]
    inputs = plain.inputs()
    prepared, foreign = (prepare(tiny, case, case.inputs()) for case in (plain, other))
    with pytest.raises(ValueError, match="pose"):
        tiny.denoise(inputs["hidden_states"], 500, **{**prepared, "pose": foreign["pose"]})
    with pytest.raises(ValueError, match="rotary"):
        tiny.denoise(inputs["hidden_states"], 500, **{**prepared, "rotary": foreign["rotary"]})
    with pytest.raises(ValueError, match="context frames"):
        tiny.denoise(inputs["hidden_states"], 500, **{**prepared, "num_context_frames": 3})
    with pytest.raises(ValueError, match="patches"):
        tiny(**{**inputs, "hidden_states": rnd(1, 1, 16, 3, 7, 6), "reference_latents": rnd(1, 1, 32, 1, 7, 6)})
    with pytest.raises(ValueError, match="pose_scale is 0"):
        tiny(**{**inputs, "pose_video": None})

"""LoRA files in each format change exactly the weights they name, by exactly what they say."""

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from untrained_model import build_untrained_model

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import locate_model
from onetoall_cli.sampling import load_pipeline
from onetoall_cli.sampling.lora import Lora, apply_loras
from onetoall_cli.sampling.lora_files import read_lora
from onetoall_cli.weights import load_network

WIDTH, FFN, RANK = 64, 128, 4
CASES = Path(__file__).parents[1] / "data" / "cases" / "loras"


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    return locate_model(str(build_untrained_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture
def network(location):
    return load_network(location, torch.float32)


def low_rank(out: int, into: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(RANK, into, generator=generator), torch.randn(out, RANK, generator=generator)


# a layer's own name, its name in diffusers, in the original Wan, and its (out, in)
LAYERS = [
    ("blocks.1.self_attention.to_q", "blocks.1.attn1.to_q", "blocks.1.self_attn.q", (WIDTH, WIDTH)),
    ("blocks.0.self_attention.to_out", "blocks.0.attn1.to_out.0", "blocks.0.self_attn.o", (WIDTH, WIDTH)),
    ("blocks.2.text_attention.to_q", "blocks.2.attn2.to_q", "blocks.2.cross_attn.q", (WIDTH, WIDTH)),
    ("text_keys.2.to_v", "blocks.2.attn2.to_v", "blocks.2.cross_attn.v", (WIDTH, WIDTH)),
    ("blocks.0.ffn.net.0.proj", "blocks.0.ffn.net.0.proj", "blocks.0.ffn.0", (FFN, WIDTH)),
    ("blocks.0.ffn.net.2", "blocks.0.ffn.net.2", "blocks.0.ffn.2", (WIDTH, FFN)),
    (
        "time_embedding.time_embedder.linear_1",
        "condition_embedder.time_embedder.linear_1",
        "time_embedding.0",
        (WIDTH, 256),
    ),
    ("text_embedding.linear_2", "condition_embedder.text_embedder.linear_2", "text_embedding.2", (WIDTH, WIDTH)),
    ("time_embedding.time_proj", "condition_embedder.time_proj", "time_projection.1", (6 * WIDTH, WIDTH)),
    ("output_head.projection", "proj_out", "head.head", (64, WIDTH)),
]


def as_diffusers(published, native, down, up):
    return {f"transformer.{published}.lora_A.weight": down, f"transformer.{published}.lora_B.weight": up}, 1.0


def as_comfy(published, native, down, up):
    return {
        f"diffusion_model.{native}.lora_down.weight": down,
        f"diffusion_model.{native}.lora_up.weight": up,
        f"diffusion_model.{native}.alpha": torch.tensor(2.0),
    }, 2.0 / RANK


def as_kohya(published, native, down, up):
    name = f"lora_unet_{native.replace('.', '_')}"
    return {
        f"{name}.lora_down.weight": down,
        f"{name}.lora_up.weight": up,
        f"{name}.alpha": torch.tensor(float(RANK)),
    }, 1.0


def as_peft(published, native, down, up):
    name = f"base_model.model.{published}"
    return {f"{name}.lora_A.default.weight": down, f"{name}.lora_B.default.weight": up}, 1.0


def as_diffsynth(published, native, down, up):
    return {f"pipe.dit.{native}.lora_A.default.weight": down, f"pipe.dit.{native}.lora_B.default.weight": up}, 1.0


def as_videox_fun(published, native, down, up):
    name = f"lora_unet__{native.replace('.', '_')}"
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(2)}, 0.5


def as_half_dotted(published, native, down, up):
    name = f"lora_unet_{native.replace('.', '_', 1)}"  # blocks_0.self_attn.q
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, 1.0


def as_lycoris(published, native, down, up):
    name = f"lycoris_{published.replace('.', '_')}"
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(8.0)}, 2.0


def as_old_diffusers(published, native, down, up):
    name = f"transformer.base_model.model.{published}"
    return {f"{name}.lora.down.weight": down, f"{name}.lora.up.weight": up}, 1.0


def as_bare(published, native, down, up):
    return {f"{native}.lora_A.weight": down, f"{native}.lora_B.weight": up}, 1.0


STYLES = [
    as_diffusers,
    as_comfy,
    as_kohya,
    as_peft,
    as_diffsynth,
    as_videox_fun,
    as_half_dotted,
    as_lycoris,
    as_old_diffusers,
    as_bare,
]


@pytest.mark.parametrize("style", STYLES)
def test_every_format_is_merged_exactly_and_touches_nothing_else(network, tmp_path, style):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    expected, tensors = {}, {}
    for seed, (own, published, native, size) in enumerate(LAYERS):
        down, up = low_rank(*size, seed)
        keys, scale = style(published, native, down, up)
        tensors |= keys
        expected[f"{own}.weight"] = before[f"{own}.weight"] + 0.5 * scale * up @ down
    path = tmp_path / "lora.safetensors"
    save_file(tensors, path)
    (outcome,) = apply_loras(network, [Lora(path, 0.5)])
    assert (outcome.applied, outcome.unmatched, outcome.misfits) == (len(LAYERS), [], [])
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected.get(name, before[name]), atol=1e-5, rtol=1e-5)


def test_whole_differences_of_weights_biases_norms_and_tables_count(network, tmp_path):
    """The `diff` keys of the step-distillation files."""
    own = {
        "blocks.0.self_attention.norm_q.weight": "blocks.0.self_attn.norm_q.diff",
        "blocks.1.text_norm.bias": "blocks.1.norm3.diff_b",
        "blocks.0.ffn.net.2.bias": "blocks.0.ffn.2.diff_b",
        "patch_embedding.weight": "patch_embedding.diff",
        "blocks.0.scale_shift_table": "blocks.0.modulation.diff",
        "output_head.scale_shift_table": "head.modulation.diff",
    }
    before = {name: network.get_parameter(name).clone() for name in own}
    save_file(
        {f"diffusion_model.{key}": torch.ones_like(before[name]) for name, key in own.items()},
        tmp_path / "l.safetensors",
    )
    (outcome,) = apply_loras(network, [Lora(tmp_path / "l.safetensors", 0.25)])
    assert outcome.applied == len(own) and not outcome.unmatched
    for name in own:
        torch.testing.assert_close(network.get_parameter(name).data, before[name] + 0.25)


def header_of(**values) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in values.items()})}


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        (header_of(r=4, lora_alpha=8), 2.0),
        (header_of(lora_alpha=8, alpha_pattern={"attn1.to_q": 1}), 0.25),
        (header_of(lora_alpha=8, alpha_pattern={"attn1.to_k": 1, "o_q": 1, "^blocks\\.1\\.attn1.to_q": 1}), 2.0),
        (header_of(lora_alpha=8, use_rslora=True), 4.0),
        ({"lora_config": json.dumps({"r": 4, "lora_alpha": 2})}, 0.5),
        (header_of(r=4), 1.0),
        ({"lora_adapter_metadata": json.dumps({"text_encoder.lora_alpha": 8})}, 1.0),
        ({"format": "pt"}, 1.0),
    ],
)
def test_alpha_in_the_header_counts_where_no_key_says_it(tmp_path, header, factor):
    keys, _ = as_diffusers("blocks.0.attn1.to_q", "", *low_rank(WIDTH, WIDTH, 0))
    save_file(keys, tmp_path / "l.safetensors", header)
    (change,) = read_lora(tmp_path / "l.safetensors").changes
    assert change.change.scale == factor
    comfy, own = as_comfy("", "blocks.0.self_attn.q", *low_rank(WIDTH, WIDTH, 0))
    save_file(comfy, tmp_path / "l.safetensors", header)
    (change,) = read_lora(tmp_path / "l.safetensors").changes
    assert change.change.scale == own


def test_alpha_in_the_configuration_beside_a_peft_file_counts(tmp_path):
    keys, _ = as_peft("blocks.0.attn1.to_q", "", *low_rank(WIDTH, WIDTH, 0))
    save_file(keys, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 16}))
    (change,) = read_lora(tmp_path / "adapter_model.safetensors").changes
    assert change.change.scale == 4.0


@pytest.mark.parametrize(
    "text", ["{", "3", "[]", '{"lora_alpha": "much"}', '{"lora_alpha": NaN}', '{"alpha_pattern": [1]}', "[" * 100_000]
)
def test_a_header_that_says_nothing_sensible_of_alpha_is_refused(tmp_path, text):
    keys, _ = as_diffusers("blocks.0.attn1.to_q", "", *low_rank(WIDTH, WIDTH, 0))
    save_file(keys, tmp_path / "l.safetensors", {"lora_adapter_metadata": text})
    with pytest.raises(BadInput, match=r"l\.safetensors: lora_adapter_metadata"):
        read_lora(tmp_path / "l.safetensors")


def test_lokr_adds_the_kronecker_product(network, tmp_path):
    generator = torch.Generator().manual_seed(3)
    left, a, b = (torch.randn(size, generator=generator) for size in [(4, 8), (16, 2), (2, 8)])
    whole = torch.randn(32, 8, generator=generator)
    keys = {
        "lycoris_blocks_0_attn1_to_q.lokr_w1": left,
        "lycoris_blocks_0_attn1_to_q.lokr_w2_a": a,
        "lycoris_blocks_0_attn1_to_q.lokr_w2_b": b,
        "lycoris_blocks_0_attn1_to_q.alpha": torch.tensor(1.0),
        "lycoris_blocks_0_ffn_net_0_proj.lokr_w1": left.clone(),
        "lycoris_blocks_0_ffn_net_0_proj.lokr_w2": whole,
        "lycoris_blocks_0_ffn_net_0_proj.alpha": torch.tensor(1e10),  # as ai-toolkit writes it: it says nothing
    }
    save_file(keys, tmp_path / "l.safetensors")
    query, into = network.blocks[0].self_attention.to_q.weight, network.blocks[0].ffn.net[0].proj.weight
    before = query.detach().clone(), into.detach().clone()
    (outcome,) = apply_loras(network, [Lora(tmp_path / "l.safetensors", 0.5)])
    assert outcome.applied == 2 and not outcome.unmatched
    torch.testing.assert_close(query.data, before[0] + 0.5 * 0.5 * torch.kron(left, a @ b))
    torch.testing.assert_close(into.data, before[1] + 0.5 * torch.kron(left, whole))


def test_modulation_is_added_to_the_tables(network, tmp_path):
    tables = {"blocks.0.scale_shift_table": "blocks.0.diff_m", "output_head.scale_shift_table": "head.diff_m"}
    before = {name: network.get_parameter(name).clone() for name in tables}
    keys = {f"diffusion_model.{key}": torch.full_like(before[name], 2.0) for name, key in tables.items()}
    save_file(keys, tmp_path / "l.safetensors")
    (outcome,) = apply_loras(network, [Lora(tmp_path / "l.safetensors", 0.5)])
    assert outcome.applied == 2 and not outcome.unmatched
    for name, old in before.items():
        torch.testing.assert_close(network.get_parameter(name).data, old + 1)


def test_the_files_that_went_wrong_are_read_or_refused():
    scales = {path.stem: [each.change.scale for each in read_lora(path).changes] for path in CASES.glob("*alpha*")}
    assert scales == {"comfy_alpha": [2.0], "diffusers_metadata_alpha": [2.0]}
    changed = {each.module for each in read_lora(CASES / "diff_m.safetensors").changes}
    assert changed == {"blocks_0_modulation", "blocks_0_self_attn_q"}
    with pytest.raises(BadInput, match=r"self_attn\.q\.lora_down\.weight holds NaN"):
        read_lora(CASES / "nan.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_a_tensor_that_is_not_finite_is_refused_by_name(tmp_path, bad, dtype):
    down, up = low_rank(WIDTH, WIDTH, 0)
    up[3, 2] = bad
    save_file(as_diffusers("blocks.0.attn1.to_q", "", down.to(dtype), up.to(dtype))[0], tmp_path / "l.safetensors")
    with pytest.raises(BadInput, match=r"transformer\.blocks\.0\.attn1\.to_q\.lora_B\.weight holds NaN"):
        read_lora(tmp_path / "l.safetensors")


def test_a_lora_that_makes_a_weight_infinite_is_refused(location, tmp_path):
    network = load_network(location, torch.float16)
    down, up = low_rank(WIDTH, WIDTH, 0)
    save_file(as_diffusers("blocks.0.attn1.to_q", "", down * 1e3, up * 1e3)[0], tmp_path / "l.safetensors")
    with pytest.raises(BadInput, match="too large for float16"):
        apply_loras(network, [Lora(tmp_path / "l.safetensors")])


def cut(path):
    path.write_bytes((CASES / "comfy_alpha.safetensors").read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "There is no LoRA file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (cut, "cannot be read"),
        (lambda path: save_file({}, path), "holds no LoRA"),
        (lambda path: save_file({"blocks.0.weight": torch.ones(2)}, path), "holds no LoRA .*blocks.0.weight"),
        (lambda path: save_file({"a.alpha": torch.ones(3), **flat("a")}, path), "a.alpha is not one number"),
    ],
)
def test_a_file_is_checked_without_a_network(tmp_path, make, problem):
    make(tmp_path / "l.safetensors")
    with pytest.raises(BadInput, match=problem) as error:
        read_lora(tmp_path / "l.safetensors")
    assert "l.safetensors" in error.value.problem


def flat(name):
    return {f"{name}.lora_A.weight": torch.ones(1, 2), f"{name}.lora_B.weight": torch.ones(2, 1)}


@pytest.mark.parametrize(
    ("down", "up"),
    [((4, 64), (64, 3)), ((4,), (64, 4)), ((0, 64), (64, 0)), ((4, 64), ()), ((4, 63), (64, 4))],
)
def test_factors_that_do_not_fit_each_other_or_the_layer_change_nothing(network, tmp_path, down, up):
    keys, _ = as_diffusers("blocks.0.attn1.to_q", "", torch.ones(down), torch.ones(up))
    good, _ = as_diffusers("blocks.1.attn1.to_q", "", *low_rank(WIDTH, WIDTH, 0))
    save_file(keys | good, tmp_path / "l.safetensors")
    before = network.blocks[0].self_attention.to_q.weight.detach().clone()
    (outcome,) = apply_loras(network, [Lora(tmp_path / "l.safetensors")])
    assert outcome.applied == 1 and sorted(outcome.unmatched + outcome.misfits) == sorted(keys)
    assert torch.equal(network.blocks[0].self_attention.to_q.weight, before)


def test_several_files_add_up_and_are_rounded_once(location, tmp_path):
    network = load_network(location, torch.bfloat16)
    weight = network.blocks[0].ffn.net[2].weight
    before = weight.float()
    changes = []
    for number in range(2):
        down, up = low_rank(WIDTH, FFN, number)
        keys, _ = as_diffusers("blocks.0.ffn.net.2", "", down * 1e-3, up)
        save_file(keys, tmp_path / f"{number}.safetensors")
        changes.append(1e-3 * up @ down)
    apply_loras(network, [Lora(tmp_path / "0.safetensors", 1.0), Lora(tmp_path / "1.safetensors", -2.0)])
    assert torch.equal(weight, (before + (changes[0] - 2 * changes[1])).bfloat16())


def test_the_reference_extractor_changes_only_where_it_is_named(network, tmp_path):
    down, up = low_rank(WIDTH, WIDTH, 0)
    keys = {
        "refextractor.blocks.0.attn1.to_q.lora_A.weight": down,
        "refextractor.blocks.0.attn1.to_q.lora_B.weight": up,
    }
    save_file(keys, tmp_path / "lora.safetensors")
    before = network.reference_extractor.blocks[0].self_attention.to_q.weight.clone()
    apply_loras(network, [Lora(tmp_path / "lora.safetensors")])
    after = network.reference_extractor.blocks[0].self_attention.to_q.weight.data
    torch.testing.assert_close(after, before + up @ down)


def test_keys_without_a_place_are_reported_and_the_rest_is_applied(location, tmp_path, caplog):
    down, up = low_rank(WIDTH, WIDTH, 0)
    keys, _ = as_comfy("", "blocks.0.self_attn.q", down, up)
    stray = {
        "diffusion_model.blocks.0.cross_attn.k_img.lora_down.weight": down + 1,
        "diffusion_model.odd.thing": up + 1,
    }
    path = tmp_path / "lora.safetensors"
    save_file(keys | stray, path)
    with caplog.at_level(logging.WARNING, logger="onetoall_cli"):
        load_pipeline(location, torch.device("cpu"), torch.float32, loras=[Lora(path)])
    assert "2 of its keys" in caplog.text and "k_img" in caplog.text and "1 tensors were changed" in caplog.text


def test_a_file_of_which_nothing_fits_is_an_error_that_says_why(network, tmp_path):
    path = tmp_path / "lora.safetensors"
    save_file({"text_model.layer.lora_down.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(BadInput, match="names a part"):
        apply_loras(network, [Lora(path)])
    save_file(as_diffusers("blocks.0.attn1.to_q", "", *low_rank(5120, 5120, 0))[0], path)
    with pytest.raises(BadInput, match="another size"):
        apply_loras(network, [Lora(path)])
    path.write_bytes(b"no safetensors")
    with pytest.raises(BadInput, match="cannot be read"):
        apply_loras(network, [Lora(path)])


def test_quantised_layers_get_an_adapter_beside_them(location, tmp_path):
    from onetoall_cli.weights.quantise import load_quantised, quantise_network

    origin = {"name": "small", "repository": None, "commit": None}
    quantise_network(location.transformer, None, tmp_path / "nf4", "nf4", origin=origin)
    network, plain = (load_quantised(tmp_path / "nf4", torch.float32) for _ in range(2))
    first, second = low_rank(FFN, WIDTH, 0), low_rank(FFN, WIDTH, 1)
    for number, factors in enumerate((first, second)):
        keys, _ = as_comfy("", "blocks.0.ffn.0", *factors)
        keys |= as_comfy("", "head.head", *low_rank(64, WIDTH, 5))[0]
        save_file(keys, tmp_path / f"{number}.safetensors")
    apply_loras(network, [Lora(tmp_path / "0.safetensors", 1.0), Lora(tmp_path / "1.safetensors", 0.5)])
    tokens = torch.randn(1, 3, WIDTH)
    change = 0.5 * (first[1] @ first[0]) + 0.25 * (second[1] @ second[0])
    with torch.no_grad():
        torch.testing.assert_close(
            network.blocks[0].ffn.net[0].proj(tokens), plain.blocks[0].ffn.net[0].proj(tokens) + tokens @ change.T
        )
    assert not torch.equal(network.output_head.projection.weight, plain.output_head.projection.weight)  # merged

"""Loading the released checkpoints: names, strictness, files, memory, dtypes, and diffusers' own format."""

import json

import pytest
import torch
from allocation import peak_bytes
from golden_cases import CASES, weights
from golden_recipe import DATA, TINY
from safetensors.torch import load_file, save_file

from onetoall_cli.model import (
    CONFIG_1_3B,
    CONFIG_14B,
    CheckpointMismatch,
    CheckpointUnreadable,
    OneToAllTransformer3DModel,
)


def load(source, **options):
    return OneToAllTransformer3DModel.from_published(source, **TINY, **options)


@pytest.fixture(name="weights", scope="module")
def weights_fixture():
    return weights()


@pytest.fixture
def file(tmp_path, weights):
    save_file(weights, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def shards(tmp_path, weights):
    """A folder of three shards without an index."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for part in range(3):
        names = list(weights)[part::3]
        save_file({name: weights[name] for name in names}, folder / f"model-{part + 1:05}-of-00003.safetensors")
    return folder


def write_index(folder):
    weight_map = {name: path.name for path in folder.glob("*.safetensors") for name in load_file(path)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize(("config", "size"), [(CONFIG_1_3B, "1.3b"), (CONFIG_14B, "14b")])
def test_released_checkpoints_map_one_to_one(config, size):
    released = json.loads((DATA / f"state_dict_{size}.json").read_text())
    with torch.device("meta"):
        model = OneToAllTransformer3DModel(**config)
    mapping = model.published_key_mapping()
    ours = {mapping.to_published[name]: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert ours == released
    assert len(mapping.to_published) == len(mapping.to_own) == len(released)
    assert all(mapping.to_published[own] == published for published, own in mapping.to_own.items())


def test_names_inside_say_what_a_thing_is(tiny):
    to_own = tiny.published_key_mapping().to_own
    assert to_own["blocks.1.attn1.add_k_proj.weight"] == "blocks.1.self_attention.to_reference_k.weight"
    assert to_own["refextractor.ref_blocks.0.bias"] == "reference_extractor.projections.0.bias"
    assert to_own["controlnet_zero.1.weight"] == "pose_refiner.projections.1.weight"
    assert to_own["input_hint_block.conv_in.conv.weight"] == "pose_encoder.conv_in.weight"


def test_a_missing_an_extra_and_a_misshapen_tensor_are_named(weights):
    wrong = {**weights, "blocks.7.extra": torch.zeros(1), "proj_out.bias": torch.zeros(63)}
    del wrong["blocks.2.attn1.add_k_proj.weight"]
    with pytest.raises(CheckpointMismatch) as caught:
        load(wrong)
    assert caught.value.missing == ["blocks.2.attn1.add_k_proj.weight"]
    assert caught.value.unexpected == ["blocks.7.extra"]
    assert caught.value.wrong_shape == {"proj_out.bias": ([64], [63])}
    for name in ("blocks.2.attn1.add_k_proj.weight", "blocks.7.extra", "proj_out.bias (needs [64], has [63])"):
        assert name in str(caught.value)


def test_a_wrong_model_is_reported_in_a_message_of_bearable_length(weights):
    with pytest.raises(CheckpointMismatch) as caught:
        load({name.replace("blocks", "layers"): value for name, value in weights.items()})
    assert len(caught.value.missing) > 100
    assert "and" in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("with_index", [False, True])
def test_a_folder_of_shards_loads_with_and_without_an_index(shards, weights, with_index):
    if with_index:
        write_index(shards)
    model = load(shards)
    to_own = model.published_key_mapping().to_own
    state = model.state_dict()
    assert all(torch.equal(state[to_own[name]], value) for name, value in weights.items())


def test_an_index_decides_which_files_count(shards, weights):
    write_index(shards)
    save_file({"unrelated": torch.zeros(1)}, shards / "other.safetensors")
    load(shards)
    (shards / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointMismatch, match="unrelated"):
        load(shards)


def test_a_shard_that_is_not_there_is_named(shards):
    write_index(shards)
    (shards / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointUnreadable, match=r"model-00002-of-00003\.safetensors is missing"):
        load(shards)


def test_a_file_cut_short_is_named(file):
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointUnreadable, match=r"model\.safetensors is not a whole safetensors file"):
        load(file)


@pytest.mark.parametrize("content", [b"", b"not weights, just text", bytes(range(256)) * 10])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    (tmp_path / "notes.safetensors").write_bytes(content)
    with pytest.raises(CheckpointUnreadable, match=r"notes\.safetensors"):
        load(tmp_path / "notes.safetensors")


def test_an_empty_folder_a_missing_path_and_a_broken_index_are_named(tmp_path):
    with pytest.raises(CheckpointUnreadable, match="no safetensors file"):
        load(tmp_path)
    with pytest.raises(CheckpointUnreadable, match=r"nowhere\.safetensors is missing"):
        load(tmp_path / "nowhere.safetensors")
    for broken in ("{", "[]", '{"weight_map": 3}'):
        (tmp_path / "model.safetensors.index.json").write_text(broken)
        with pytest.raises(CheckpointUnreadable, match=r"index\.json"):
            load(tmp_path)


def test_a_tensor_stored_twice_is_an_error(shards, weights):
    save_file({"proj_out.bias": weights["proj_out.bias"]}, shards / "more.safetensors")
    with pytest.raises(CheckpointUnreadable, match=r"proj_out\.bias"):
        load(shards)


def test_loading_from_memory_or_file_makes_no_second_copy(weights, file):
    model = load(weights)
    to_own = model.published_key_mapping().to_own
    state = model.state_dict()
    assert all(state[to_own[name]].data_ptr() == value.data_ptr() for name, value in weights.items())
    mapping = file.stat().st_size  # counts as allocated, but is the file itself
    assert peak_bytes(lambda: load(file)) < 1.02 * mapping


def test_loading_in_another_dtype_holds_the_weights_once_in_it(file):
    mapping = file.stat().st_size
    assert peak_bytes(lambda: load(file, torch_dtype=torch.bfloat16)) < (1 + 0.55) * mapping


def test_dtype_applies_to_all_but_modulation_norms_and_time_embedding(weights):
    model = load(weights, torch_dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16 and not model.training
    kept = {name for name, value in model.state_dict().items() if value.dtype == torch.float32}
    assert {"blocks.0.scale_shift_table", "output_head.scale_shift_table", "blocks.3.text_norm.weight"} <= kept
    assert "time_embedding.time_embedder.linear_1.weight" in kept
    assert "pose_encoder.stages.0.norm1.weight" in kept
    assert not any(part in name for name in kept for part in ("to_", "ffn", "conv", "time_proj", "patch_embedding"))


@torch.no_grad()
def test_diffusers_format_round_trips(tiny, tmp_path):
    tiny.save_pretrained(tmp_path, max_shard_size="5MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = OneToAllTransformer3DModel.from_pretrained(tmp_path)
    assert all(
        tuple(again.config[key]) == value if key == "patch_size" else again.config[key] == value
        for key, value in TINY.items()
    )
    inputs = CASES["token_replace"].inputs()
    expected, found = (model(**inputs, num_context_frames=2).sample for model in (tiny, again))
    assert torch.equal(expected, found)


def test_diffusers_format_keeps_the_same_parts_in_float32(tiny, weights, tmp_path):
    tiny.save_pretrained(tmp_path)
    model = OneToAllTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    expected = load(weights, torch_dtype=torch.bfloat16)
    dtypes, expected_dtypes = ({k: v.dtype for k, v in m.state_dict().items()} for m in (model, expected))
    assert dtypes == expected_dtypes

"""Loading is strict and safe: every layout loads to the same network, and a wrong file is an error that names it."""

import json
import pickle
import platform
from unittest.mock import Mock

import pytest
import torch
from hub_models import REDUCED, network_files, published_tensors, save_diffusers_model, wan_files, write_files
from safetensors.torch import load_file, save_file

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.hub import locate_model
from onetoall_cli.model.precision import quantisable_linears
from onetoall_cli.weights import formats, load_network, load_vae, network_config
from onetoall_cli.weights.quantise import quantise_network

ORIGIN = {"name": "reduced", "repository": "someone/reduced", "commit": "0" * 40}


@pytest.fixture(scope="module")
def diffusers_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_diffusers_model(folder)
    return folder


@pytest.fixture
def shards(tmp_path):
    return write_files(tmp_path / "weights", network_files(2, index=False))


@pytest.fixture
def copy_of(diffusers_model, tmp_path):
    import shutil

    return shutil.copytree(diffusers_model, tmp_path / "copy")


def run(network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    inputs = {
        "hidden_states": (1, 16, 2, 4, 4),
        "encoder_hidden_states": (1, 6, 32),
        "reference_latents": (1, 32, 1, 4, 4),
        "pose_video": (1, 3, 5, 32, 32),
        "reference_pose": (1, 3, 1, 32, 32),
    }
    values = {name: torch.randn(shape, generator=generator).clamp(-1, 1) for name, shape in inputs.items()}
    with torch.inference_mode():
        return network(**values, timestep=torch.tensor([500.0]), return_dict=False)[0]


@pytest.fixture(scope="module")
def expected():
    from onetoall_cli.model import OneToAllTransformer3DModel

    return run(OneToAllTransformer3DModel.from_published(dict(published_tensors()), **REDUCED))


@pytest.mark.parametrize(("count", "index"), [(1, False), (2, False), (3, True)])
def test_published_weights_load_in_one_file_or_many_with_or_without_index(hub, fetch, tmp_path, expected, count, index):
    fetch("vae")
    folder = write_files(tmp_path / "weights", network_files(count, index=index))
    location = locate_model(str(folder))
    assert location.published
    torch.testing.assert_close(run(load_network(location, torch.float32)), expected, rtol=0, atol=1e-4)


def test_a_diffusers_folder_loads_to_the_same_network(machine, diffusers_model, expected):
    location = locate_model(str(diffusers_model))
    torch.testing.assert_close(run(load_network(location, torch.float32)), expected, rtol=0, atol=1e-4)


def test_a_missing_shard_is_named_even_without_an_index(hub, fetch, shards):
    fetch("vae")
    (shards / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelMissing, match=r"model-00002-of-00002.safetensors is missing"):
        locate_model(str(shards))


def test_a_shard_that_the_index_names_and_that_is_missing_is_named(machine, copy_of):
    gone = next((copy_of / "transformer").glob("*-00002-of-*.safetensors"))
    gone.unlink()
    with pytest.raises(ModelMissing, match=gone.name):
        locate_model(str(copy_of))


@pytest.mark.parametrize("kept", [0, 4, 100, 5000])
def test_a_truncated_file_is_named(hub, fetch, shards, kept):
    fetch("vae")
    file = shards / "model-00001-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelMissing, match=r"model-00001-of-00002.safetensors is damaged"):
        network_config(locate_model(str(shards)))


def test_an_html_page_saved_as_safetensors_is_named(hub, fetch, shards):
    fetch("vae")
    (shards / "model-00001-of-00002.safetensors").write_bytes(b"<html>Please log in</html>" * 50)
    with pytest.raises(ModelMissing, match=r"model-00001-of-00002.safetensors is damaged"):
        network_config(locate_model(str(shards)))


def test_a_single_file_is_a_model_also_in_plain_fp8(hub, fetch, tmp_path, expected):
    fetch("vae")
    (folder,) = write_files(tmp_path / "weights", network_files(1, index=False)).glob("*.safetensors")
    torch.testing.assert_close(run(load_network(locate_model(str(folder)), torch.float32)), expected, rtol=0, atol=1e-4)
    narrow = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in load_file(folder).items()}
    save_file(narrow, tmp_path / "fp8.safetensors")
    network = load_network(locate_model(str(tmp_path / "fp8.safetensors")), torch.bfloat16)
    name = "blocks.1.ffn.net.2.weight"
    assert torch.equal(network.state_dict()[name], narrow[name].to(torch.bfloat16))


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        ("diffusion_model.blocks.0.ffn.0.lora_down.weight", "is a LoRA, and cannot be read"),
        ("blocks.0.self_attn.q.scale_weight", "is an fp8 file with scales"),
        ("model.diffusion_model.blocks.0.self_attn.q.weight", "with Wan's own tensor names"),
        ("blocks.0.attn1.to_q.weight", "is Wan's text-to-video network"),
        ("decoder.conv1.weight", "is a VAE"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "is a text encoder"),
    ],
)
def test_a_file_that_is_something_else_is_called_what_it_is(hub, fetch, tmp_path, tensor, problem):
    fetch("vae")
    path = tmp_path / "model.safetensors"
    save_file({tensor: torch.zeros(2, 2)}, path)
    with pytest.raises(ModelMissing, match=f"model.safetensors .*{problem}"):
        network_config(locate_model(str(path)))


@pytest.mark.parametrize(
    ("head", "problem"), [(b"GGUF\x03\0\0\0", "is a GGUF file"), (b"PK\x03\x04", "is pickled weights")]
)
def test_files_of_other_formats_are_called_what_they_are(hub, fetch, tmp_path, head, problem):
    fetch("vae")
    path = tmp_path / "model.gguf"
    path.write_bytes(head + bytes(100))
    with pytest.raises(ModelMissing, match=problem) as error:
        network_config(locate_model(str(path)))
    assert "onetoall fetch" in error.value.advice or "safetensors" in error.value.advice


def test_weights_of_another_model_are_refused(hub, fetch, tmp_path):
    fetch("vae")
    folder = tmp_path / "other"
    folder.mkdir()
    save_file({"unet.conv.weight": torch.zeros(2, 2)}, folder / "other.safetensors")
    with pytest.raises(ModelMissing, match="does not hold the weights of a One-to-All network"):
        network_config(locate_model(str(folder)))


def test_a_foreign_file_among_the_shards_is_named(hub, fetch, shards):
    fetch("vae")
    save_file({"lora.weight": torch.zeros(2, 2)}, shards / "my_lora.safetensors")
    with pytest.raises(ModelMissing, match=r"unexpected: lora.weight"):
        load_network(locate_model(str(shards)), torch.float32)


def test_two_files_with_the_same_tensor_are_named(hub, fetch, shards):
    fetch("vae")
    (shards / "model (1).safetensors").write_bytes((shards / "model-00001-of-00002.safetensors").read_bytes())
    with pytest.raises(ModelMissing, match=r"model-00001-of-00002.safetensors and model \(1\).safetensors both hold"):
        network_config(locate_model(str(shards)))


def test_a_file_that_may_not_be_read_is_not_called_damaged(machine, copy_of, monkeypatch):
    monkeypatch.setattr(formats, "open", Mock(side_effect=PermissionError), raising=False)
    with pytest.raises(BadInput, match=r"safetensors may not be read"):
        load_network(locate_model(str(copy_of)), torch.float32)


def test_a_missing_tensor_is_named_and_not_left_random(machine, copy_of):
    index = json.loads((copy_of / "transformer" / "diffusion_pytorch_model.safetensors.index.json").read_text())
    name = "output_head.projection.weight"
    file = copy_of / "transformer" / index["weight_map"][name]
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelMissing, match=name):
        load_network(locate_model(str(copy_of)), torch.float32)


def test_the_vae_is_loaded_as_strictly(machine, copy_of):
    file = copy_of / "vae" / "diffusion_pytorch_model.safetensors"
    location = locate_model(str(copy_of))
    vae = load_vae(location.vae, torch.bfloat16)
    assert {value.dtype for value in vae.state_dict().values()} == {torch.bfloat16}
    assert not any(value.is_meta for value in [*vae.parameters(), *vae.buffers()])
    tensors = load_file(file)
    del tensors["decoder.conv_in.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelMissing, match=r"decoder\.conv_in\.weight"):
        load_vae(location.vae, torch.bfloat16)


def test_pickled_weights_are_refused_and_not_opened(machine, copy_of):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code ran')",))

    for file in (copy_of / "transformer").glob("*.safetensors*"):
        file.unlink()
    (copy_of / "transformer" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelMissing, match="only pickled weights"):
        locate_model(str(copy_of))


def test_a_folder_with_another_network_is_refused(machine, copy_of):
    (copy_of / "transformer" / "config.json").write_text('{"_class_name": "WanTransformer3DModel"}')
    with pytest.raises(BadInput, match="holds a WanTransformer3DModel"):
        locate_model(str(copy_of))


def test_an_index_that_points_outside_its_folder_is_refused(machine, copy_of):
    index = copy_of / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../../elsewhere.safetensors"}}')
    with pytest.raises(ModelMissing, match="no safetensors file beside it"):
        locate_model(str(copy_of))


def test_weights_of_another_size_than_the_catalogue_says_are_refused(hub, fetch):
    from onetoall_cli.hub.places import user_catalogue

    fetch("1.3b", without=["text-encoder"])
    own = user_catalogue()
    own.write_text(own.read_text().replace("parameters: 1_000_000", "architecture: {num_layers: 30}"))
    with pytest.raises(ModelMissing, match="num_layers is 2, not 30"):
        network_config(locate_model("1.3b"))


# ---- quantised copies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.03), ("nf4", 0.2)])
def test_a_quantised_copy_loads_without_the_original_and_is_close_to_it(hub, fetch, tmp_path, precision, tolerance):
    from onetoall_cli.hub.places import copy_folder
    from onetoall_cli.hub.remove import drop_original
    from onetoall_cli.hub.verify import verify
    from onetoall_cli.weights.quantise import quantise_entry

    fetch("1.3b", without=["text-encoder"])
    from onetoall_cli.hub import load_catalogue

    original = run(load_network(locate_model("1.3b"), torch.float32))
    quantise_entry("1.3b", precision, load_catalogue())
    freed = drop_original("1.3b")
    assert freed == sum(len(body) for name, body in network_files().items() if name.startswith("model"))
    location = locate_model(f"1.3b-{precision}")
    assert location.defaults.max_text_tokens == 16 and location.revision is not None
    copy = run(load_network(location, torch.float32))
    error = (copy - original).norm() / original.norm()
    assert 0 < error < tolerance
    assert verify([f"1.3b-{precision}"])[1] == []
    size = sum(file.stat().st_size for file in copy_folder(f"1.3b-{precision}").glob("*.safetensors"))
    assert size < sum(map(len, network_files().values())) / 2


def test_a_copy_quantises_the_blocks_and_leaves_norms_tables_and_projections(tmp_path, diffusers_model):
    quantise_network(diffusers_model / "transformer", None, tmp_path / "copy", "nf4", origin=ORIGIN)
    tensors = {}
    for file in (tmp_path / "copy").glob("*.safetensors"):
        tensors |= load_file(file)
    assert tensors["blocks.0.self_attention.to_q.weight"].dtype == torch.uint8
    assert tensors["text_keys.0.to_k.weight"].dtype == torch.uint8
    assert tensors["reference_extractor.projections.0.weight"].dtype == torch.bfloat16
    assert tensors["output_head.projection.weight"].dtype == torch.bfloat16
    assert tensors["blocks.0.scale_shift_table"].dtype == torch.float32
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert config["quantization_config"]["load_in_4bit"] is True
    assert "output_head.projection" in config["quantization_config"]["llm_int8_skip_modules"]


def test_quantising_the_same_weights_twice_gives_the_same_file(tmp_path, diffusers_model):
    for name in ("a", "b"):
        quantise_network(diffusers_model / "transformer", None, tmp_path / name, "int8", origin=ORIGIN)
    first, second = (sorted((tmp_path / name).glob("*.safetensors")) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_a_copy_is_split_into_files_with_an_index(tmp_path, diffusers_model, monkeypatch):
    from onetoall_cli.weights.quantise import load_quantised

    monkeypatch.setattr("onetoall_cli.weights.quantise.SHARD_BYTES", 200_000)
    quantise_network(diffusers_model / "transformer", None, tmp_path / "copy", "int8", origin=ORIGIN)
    files = sorted(path.name for path in (tmp_path / "copy").glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"diffusion_pytorch_model-00001-of-{len(files):05d}.safetensors"
    assert load_quantised(tmp_path / "copy", torch.bfloat16).dtype in (torch.bfloat16, torch.float32)


def test_a_conversion_that_fails_leaves_nothing(tmp_path, diffusers_model, monkeypatch):
    def fail(*_):
        raise RuntimeError("on the way")

    monkeypatch.setattr("onetoall_cli.weights.quantise._write_config", fail)
    with pytest.raises(RuntimeError):
        quantise_network(diffusers_model / "transformer", None, tmp_path / "out" / "copy", "int8", origin=ORIGIN)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_conversion_left_is_cleared_by_the_next(hub, fetch):
    from onetoall_cli.hub import load_catalogue
    from onetoall_cli.hub.places import copy_folder
    from onetoall_cli.weights.quantise import quantise_entry

    fetch("1.3b", without=["text-encoder"])
    left = copy_folder(".onetoall-killed00.part")
    left.mkdir(parents=True)
    (left / "lock").write_text(platform.node())
    (left / "1.shard").write_bytes(b"part")
    quantise_entry("1.3b", "int8", load_catalogue())
    assert [path.name for path in left.parent.iterdir()] == ["1.3b-int8"]


def test_an_original_that_does_not_fit_is_refused_before_converting(tmp_path, shards):
    config = {**REDUCED, "num_layers": 3}
    with pytest.raises(ModelMissing, match="does not fit this network"):
        quantise_network(shards, config, tmp_path / "copy", "int8", origin=ORIGIN)


def test_every_linear_layer_of_the_blocks_is_quantised():
    from onetoall_cli.model import CONFIG_1_3B, OneToAllTransformer3DModel

    with torch.device("meta"):
        network = OneToAllTransformer3DModel(**CONFIG_1_3B)
    names = quantisable_linears(network)
    inside = sum(network.get_submodule(name).weight.numel() for name in names)
    total = sum(parameter.numel() for parameter in network.parameters())
    assert inside / total > 0.95


def test_a_vae_beside_a_wan_repository_is_found(hub, fetch):
    fetch("1.3b", without=["text-encoder"])
    location = locate_model("1.3b")
    assert (location.vae / "config.json").read_bytes() == wan_files()["vae/config.json"]
    assert location.scheduler is not None and location.text_encoder is None

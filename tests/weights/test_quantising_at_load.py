"""Weights quantised while they are loaded: the same as from a quantised copy, and only where it does no harm."""

import pytest
import torch
from untrained_model import build_untrained_model

from onetoall_cli.bench.quantisation_error import quantisation_errors
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import locate_model
from onetoall_cli.model.precision import quantisable_linears
from onetoall_cli.sampling import load_pipeline
from onetoall_cli.weights import load_network, stored_precision
from onetoall_cli.weights.quantise import quantise_network

ORIGIN = {"name": "untrained", "repository": None, "commit": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_untrained_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def location(folder):
    return locate_model(str(folder))


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_it_gives_the_weights_of_a_quantised_copy(location, tmp_path, precision):
    import dataclasses

    quantise_network(location.transformer, None, tmp_path / "copy", precision, origin=ORIGIN)
    copy = dataclasses.replace(location, transformer=tmp_path / "copy")
    assert (stored_precision(location), stored_precision(copy)) == ("none", precision)
    stored = load_network(copy, torch.bfloat16)
    made = load_network(location, torch.bfloat16, quantisation=precision).state_dict()
    for name, tensor in stored.state_dict().items():
        assert torch.equal(tensor.cpu(), made[name].cpu()), name
    with pytest.raises(BadInput, match=f"quantised to {precision} already"):
        load_network(copy, torch.bfloat16, quantisation="nf4" if precision == "int8" else "int8")


@pytest.mark.parametrize(("precision", "stored"), [("int8", torch.int8), ("nf4", torch.uint8)])
def test_only_the_linear_layers_of_the_blocks_are_quantised(location, precision, stored):
    """Norms, embeddings and projections keep the dtype; modulation tables and the blocks' norms are float32."""
    network = load_network(location, torch.bfloat16, quantisation=precision)
    dtypes = {name: value.dtype for name, value in network.named_parameters()}
    quantised = {name for name, dtype in dtypes.items() if dtype == stored}
    assert quantised == {
        name
        for name in dtypes
        if name.endswith(".weight") and ".norm" not in name and ({"blocks", "text_keys"} & set(name.split(".")))
        if network.get_submodule(name.rpartition(".")[0]).__class__.__name__ in ("Linear8bitLt", "Linear4bit")
    }
    assert "blocks.0.self_attention.to_reference_k.weight" in quantised
    for name, dtype in dtypes.items():
        if "scale_shift_table" in name or "time_embedder" in name:
            assert dtype == torch.float32, name
        elif "projection" in name or "embedding" in name or name.startswith(("pose_encoder.conv", "prefix_encoder.c")):
            assert dtype == torch.bfloat16, name


def test_a_lora_beside_quantised_layers_is_not_quantised(location):
    """peft lays its matrices beside bitsandbytes' layers and leaves them in floating point."""
    from peft import LoraConfig

    network = load_network(location, torch.bfloat16, quantisation="int8")
    network.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v"]))
    added = [value for name, value in network.named_parameters() if "lora_" in name]
    assert added and all(value.is_floating_point() for value in added)


def test_weights_in_fp8_are_the_linear_layers_of_the_blocks_and_the_network_computes_in_its_dtype(location):
    network = load_pipeline(location, torch.device("cpu"), torch.bfloat16, quantisation="fp8").transformer
    narrow = {name for name, value in network.named_parameters() if value.dtype == torch.float8_e4m3fn}
    assert {name.rpartition(".")[0] for name in narrow} == quantisable_linears(network)
    assert network.dtype == torch.bfloat16


def test_the_errors_of_fp8_and_int8_are_small_and_that_of_nf4_larger(location):
    errors = quantisation_errors(location)
    assert 0 < errors["int8"] < 0.05
    assert 0 < errors["fp8"] < 0.1
    assert errors["int8"] < errors["nf4"] < 0.4

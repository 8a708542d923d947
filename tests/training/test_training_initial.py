"""What a network starts from: reproducible noise, a finished stage, or Wan2.1 weights with additions of no effect."""

import json

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.training.initial import build_network, find_start, released_defaults
from onetoall_cli.training.recipe import NetworkSettings


def wan(micro_network) -> WanTransformer3DModel:
    torch.manual_seed(3)
    additions = ("num_reference_layers", "num_pose_layers")
    sizes = {name: value for name, value in micro_network.items() if name not in additions}
    return WanTransformer3DModel(**sizes, in_channels=16, out_channels=16)


def started(model: dict | None, init_from: object, seed: int) -> OneToAllTransformer3DModel:
    sizes = NetworkSettings(**model) if model else None
    return build_network(sizes, find_start(None if init_from is None else str(init_from)), seed)


def test_fresh_networks_of_one_seed_are_equal(micro_network) -> None:
    first, second = (started(micro_network, None, 5).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = started(micro_network, None, 6).state_dict()
    assert not torch.equal(first["patch_embedding.weight"], other["patch_embedding.weight"])


def test_a_finished_network_is_read_from_its_folder(tmp_path, micro_network) -> None:
    network = started(micro_network, None, 1)
    network.save_pretrained(tmp_path)
    again = started(None, tmp_path, 99).state_dict()
    assert all(torch.equal(again[name], value) for name, value in network.state_dict().items())


def test_wan_weights_fill_the_backbone_and_copy_into_the_additions(tmp_path, micro_network) -> None:
    backbone = wan(micro_network)
    backbone.save_pretrained(tmp_path)
    network = started({**micro_network, "num_reference_layers": 2}, tmp_path, 1)
    weights, own = backbone.state_dict(), network.state_dict()
    published = network.published_key_mapping().to_own
    for name, value in weights.items():
        assert torch.equal(own[published[name]], value), name
    extractor = own["reference_extractor.patch_embedding.weight"]
    assert torch.equal(extractor[:, :16], weights["patch_embedding.weight"]) and (extractor[:, 16:] == 0).all()
    key = "self_attention.to_q.weight"
    assert torch.equal(own[f"reference_extractor.blocks.0.{key}"], own[f"blocks.0.{key}"])
    assert torch.equal(own[f"reference_extractor.blocks.1.{key}"], own[f"blocks.1.{key}"])
    assert torch.equal(own[f"pose_refiner.blocks.1.{key}"], own[f"blocks.1.{key}"])
    attention = "blocks.2.self_attention."
    assert torch.equal(own[attention + "to_reference_k.weight"], own[attention + "to_k.weight"])
    assert (own[attention + "to_reference_v.bias"] == 0).all()


def test_what_is_added_to_wan_has_no_effect_at_first(tmp_path, micro_network) -> None:
    wan(micro_network).save_pretrained(tmp_path)
    network = started(micro_network, tmp_path, 1).eval()
    torch.manual_seed(0)
    latents, text, times = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 3, 8), torch.tensor([500.0])
    poses = torch.rand(1, 3, 5, 32, 32), torch.rand(1, 3, 1, 32, 32)
    rotary = network.rotary_tables(3, 4, 4)
    with torch.no_grad():
        features = [network.extract_reference(torch.randn(1, 32, 1, 4, 4), times, rotary) for _ in range(2)]
        options = {"text": network.encode_text(text), "prefix": torch.zeros(1, 16, 1, 4, 4), "rotary": rotary}
        results = [
            network.denoise(latents, times, reference_features=feature, pose=pose, **options)
            for feature, pose in ((features[0], None), (features[1], None), (features[0], network.encode_pose(*poses)))
        ]
        projected = network.blocks[0].self_attention.to_reference_v(features[0][0])
    assert (projected == 0).all()
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_weights_that_do_not_fit_are_named(tmp_path, micro_network) -> None:
    wan(micro_network).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="shape"):
        started({**micro_network, "ffn_dim": 32}, tmp_path, 0)
    with pytest.raises(BadInput, match="model"):
        started(None, tmp_path, 0)
    file = next(tmp_path.glob("*.safetensors"))
    weights = load_file(file)
    weights.pop("patch_embedding.bias")
    save_file(weights, file)
    with pytest.raises(BadInput, match=r"patch_embedding\.bias is missing"):
        started(micro_network, tmp_path, 0)


def test_other_folders_and_settings_are_refused(tmp_path, micro_network) -> None:
    with pytest.raises(BadInput, match="neither"):
        started(micro_network, tmp_path, 0)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(BadInput, match="neither"):
        started(micro_network, tmp_path, 0)
    with pytest.raises(BadInput, match="no-such"):
        find_start("no-such")


SMALL = {
    "num_attention_heads": 1,
    "text_dim": 8,
    "ffn_dim": 64,
    "num_layers": 2,
    "num_reference_layers": 1,
    "num_pose_layers": 1,
}


@pytest.mark.parametrize("prefix", ["", "model."])
def test_released_weights_are_read_by_their_names(tmp_path, prefix) -> None:
    network = OneToAllTransformer3DModel(**SMALL)
    published = network.published_key_mapping().to_published
    names = sorted(published)
    shards = names[::2], names[1::2]  # as the released folders: shards, no index, no configuration
    for number, shard in enumerate(shards):
        weights = {prefix + published[name]: network.state_dict()[name].contiguous() for name in shard}
        save_file(weights, tmp_path / f"diffusion_pytorch_model-{number}.safetensors")
    start = find_start(str(tmp_path))
    assert start.kind == "published"
    again = build_network(None, start, 0).state_dict()
    assert all(torch.equal(again[name], value) for name, value in network.state_dict().items())
    assert released_defaults(start) == GenerationDefaults()


def test_the_shipped_model_is_a_start_with_everything_it_needs() -> None:
    start = find_start("tiny")
    assert start.kind == "finished" and start.whole().vae.is_dir()
    assert released_defaults(start).max_text_tokens == 1
    assert build_network(None, start, 0).dtype == torch.float32

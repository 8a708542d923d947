"""LoRA training: the frozen model stays as it is, and the file has the same effect for every command."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import locate_model
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.sampling.lora import Lora, apply_loras
from onetoall_cli.training.export import export_run
from onetoall_cli.training.initial import Start, build_network
from onetoall_cli.training.lora import add_lora
from onetoall_cli.training.recipe import LoraSettings, NetworkSettings, TrainingSettings
from onetoall_cli.training.trainer import Trainer, train
from onetoall_cli.weights.loading import load_network


@pytest.fixture
def settings(tmp_path, micro_settings, micro_network) -> TrainingSettings:
    build_network(NetworkSettings(**micro_network), Start("random"), 1).save_pretrained(tmp_path / "base")
    return micro_settings(
        output=tmp_path / "run",
        stage=3,
        steps=4,
        model=None,
        init_from=str(tmp_path / "base"),
        train="lora",
        lora=LoraSettings(rank=4, alpha=8.0),
        lr=1e-2,
        warmup=0,
        checkpoint_every=2,
        video_share=0.0,
        conditions={"drop_both": 0.0, "drop_reference": 0.0, "drop_pose": 0.0},
    )


def inputs(network: OneToAllTransformer3DModel) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = (1, 16, 2, 4, 4), (1, 3, 8), (1, 32, 1, 4, 4), (1, 3, 5, 32, 32), (1, 3, 1, 32, 32)
    latents, *conditions = (torch.randn(shape, generator=generator) for shape in shapes)
    return latents, torch.tensor([500.0]), *conditions


def test_the_file_does_for_the_base_what_the_adapter_does(settings) -> None:
    torch.manual_seed(0)
    trainer = Trainer(settings)
    trainer.run()
    file = trainer.finish()
    with safe_open(file, "pt") as opened:
        names = set(opened.keys())
        assert "lora_alpha" in opened.metadata()["lora_adapter_metadata"]
    assert "transformer.blocks.0.attn1.to_out.0.lora_A.weight" in names
    base = load_network_of(settings)
    plain = base(*inputs(base)).sample
    (outcome,) = apply_loras(base, [Lora(file)])
    assert outcome.applied == len(names) / 2 and not outcome.unmatched and not outcome.misfits
    tuned = trainer.plain_network.eval()
    with torch.no_grad():
        wanted, merged = tuned(*inputs(base)).sample, base(*inputs(base)).sample
    torch.testing.assert_close(merged, wanted, atol=1e-5, rtol=1e-4)
    assert (merged - plain).abs().max() > 1e-3


def load_network_of(settings: TrainingSettings) -> OneToAllTransformer3DModel:
    with torch.no_grad():
        return OneToAllTransformer3DModel.from_pretrained(settings.init_from).eval()


def test_a_continued_lora_repeats_the_uninterrupted_one_and_is_exported_merged(settings, tmp_path) -> None:
    whole, parts = train(settings), settings.changed(output=tmp_path / "parts")

    class Interrupted(Exception):
        pass

    def stop(step: int, total: int | None) -> None:
        if step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(parts, stop)
    first, second = load_file(whole), load_file(train(parts))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    export_run(settings.output, tmp_path / "model")
    exported = load_network(locate_model(str(tmp_path / "model")), torch.float32)
    base = load_network_of(settings)
    apply_loras(base, [Lora(whole)])
    name = "blocks.1.self_attention.to_q.weight"
    assert torch.equal(exported.get_parameter(name), base.get_parameter(name).bfloat16().float())


def test_frozen_weights_are_narrow_and_the_adapter_is_not(settings) -> None:
    network = Trainer(settings.changed(bf16=True)).plain_network
    kinds = {name: (parameter.dtype, parameter.requires_grad) for name, parameter in network.named_parameters()}
    adapter = {kind for name, kind in kinds.items() if ".lora_" in name}
    assert adapter == {(torch.float32, True)}
    assert kinds["blocks.0.self_attention.to_q.base_layer.weight"] == (torch.bfloat16, False)
    assert kinds["blocks.0.scale_shift_table"] == (torch.float32, False)


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_a_quantised_base_trains_too(settings, precision) -> None:
    run = settings.changed(quantize=precision, bf16=True, steps=1)
    file = train(run)
    with safe_open(file, "pt") as opened:
        names = opened.keys()
        grown = [name for name in names if ".lora_B" in name and opened.get_tensor(name).abs().max() > 0]
    assert len(grown) > 8


def test_layers_that_there_are_not_are_named(settings) -> None:
    network = OneToAllTransformer3DModel.from_pretrained(settings.init_from)
    with pytest.raises(BadInput, match="to_qq"):
        add_lora(network, LoraSettings(targets=("to_qq",)))


def test_a_lora_needs_a_model(tmp_path) -> None:
    with pytest.raises(ValueError, match="init_from"):
        TrainingSettings(output=Path("o"), stage=3, steps=1, model=NetworkSettings(), train="lora")

"""Settings made whole: what the presets stand for, and where their LoRA comes from."""

import pytest
import torch
from safetensors.torch import save_file

from onetoall_cli.animator import resolving
from onetoall_cli.animator.progress import Listener
from onetoall_cli.animator.resolving import distillation_of, find_loras, parse_scale, resolve
from onetoall_cli.animator.settings import GenerationSettings, ModelSettings
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.hub.catalogue import DistilledSampling
from onetoall_cli.sampling.guidance import Schedule

LIGHTNING = GenerationSettings(preset="lightning")
WITH_LORA = ModelSettings(lora=("lightning:0.5",))


@pytest.mark.parametrize(("model", "entry"), [("14b-nf4", "lightning-14b"), ("1.3b-v1", "lightning-1.3b")])
def test_the_catalogue_knows_the_distillation_of_each_released_model(model, entry, tmp_path, monkeypatch):
    path, asked = tmp_path / "lora.safetensors", []
    save_file(
        {"blocks.0.ffn.0.lora_A.weight": torch.ones(1, 4), "blocks.0.ffn.0.lora_B.weight": torch.ones(4, 1)}, path
    )
    monkeypatch.setattr(resolving, "repository_file", lambda address, **_: asked.append(address) or path)
    monkeypatch.setattr(resolving, "installed", dict)
    distilled = distillation_of(model, WITH_LORA)
    (lora,) = find_loras(WITH_LORA, Listener(), distilled)
    assert distilled.name == entry and (lora.path, lora.weight) == (path, 0.5)
    assert asked == [f"hf:{distilled.repository}@main/{distilled.files[0]}"]
    assert distillation_of(model, ModelSettings(lora=("own.safetensors",))) is None


def test_a_model_without_a_known_distillation_says_so():
    with pytest.raises(BadInput, match="known for the model tiny"):
        distillation_of("tiny", WITH_LORA)


def test_lightning_guides_by_the_reference_in_the_first_half_unless_told_otherwise():
    defaults = GenerationDefaults(image_guidance_scale=2.0)
    resolved = resolve(LIGHTNING, WITH_LORA, defaults, DistilledSampling(steps=4, shift=8.0))
    assert (resolved.sampling.num_inference_steps, resolved.shift) == (4, 8.0)
    assert [len(resolved.guidance.passes(step)) for step in range(4)] == [2, 2, 1, 1]
    assert resolved.generation.ref_guidance == "2@0-0.5"  # what the record says
    own = resolve(GenerationSettings(preset="lightning", ref_guidance=1.0, steps=8), WITH_LORA, defaults)
    assert own.guidance.network_runs() == 8


@pytest.mark.parametrize("choice", ["guidance", "steps", "both"])
def test_with_few_steps_fast_only_leaves_guidance_out_at_the_last_and_says_so(choice):
    few = resolve(GenerationSettings(fast=choice, steps=6), ModelSettings(), GenerationDefaults())
    assert [len(few.guidance.passes(step)) for step in range(6)] == [3, 3, 3, 3, 1, 1]
    assert few.approximation.cache == "none" and "With 6 steps there is little to gain" in few.remark
    many = resolve(GenerationSettings(fast=choice, steps=12), ModelSettings(), GenerationDefaults())
    assert many.remark is None
    assert many.guidance.network_runs() < 36 or many.approximation.cache == "taylor"
    assert resolve(GenerationSettings(steps=6), ModelSettings(), GenerationDefaults()).remark is None


def test_the_model_says_how_many_frames_two_segments_share_and_the_user_may_say_otherwise():
    trained = GenerationDefaults(overlap=9)
    assert resolve(GenerationSettings(), ModelSettings(), trained).sampling.segments(100)[1].context == 9
    assert resolve(GenerationSettings(overlap=1), ModelSettings(), trained).sampling.segments(100)[1].context == 1


def test_scales_are_numbers_or_parts_of_the_steps():
    assert parse_scale("--ref-guidance", "2.5") == parse_scale("--ref-guidance", 2.5) == 2.5
    parts = parse_scale("--ref-guidance", "2.5@0-0.5,1.5@.5-1")
    assert parts == Schedule(((2.5, 0.0, 0.5), (1.5, 0.5, 1.0)))
    for wrong in ("", "-1", "nan", "2@0.6-0.4", "2@0-0.6,3@0.5-1", "2@0-1.5", "2@0-0.5,3"):
        with pytest.raises(BadInput, match="no scale"):
            parse_scale("--ref-guidance", wrong)

"""Prompt embeddings: diffusers' convention, made once, kept by encoder revision, carried between machines."""

import pytest
import torch
from hub_models import WAN_REPOSITORY, wan_files, write_files

from onetoall_cli.errors import BadInput, ModelMissing, OutOfResources
from onetoall_cli.hub import GenerationDefaults, locate_model
from onetoall_cli.hub.defaults import RELEASED_NEGATIVE_PROMPT
from onetoall_cli.runtime.machine import Memory
from onetoall_cli.weights import PromptStore, prompt_embeddings, prompt_rows
from onetoall_cli.weights.text_encoder import Placement, clean_prompt, encode_prompts, place_encoder

CPU = Placement("cpu", "bfloat16")


@pytest.fixture
def wan(tmp_path):
    return write_files(tmp_path / "wan", wan_files())


@pytest.mark.parametrize("prompt", ["", "black  background,&amp;amp; view\n", "a " * 30])
def test_the_rows_are_those_of_diffusers_wan_pipeline(wan, prompt):
    from diffusers import WanPipeline
    from transformers import AutoTokenizer, UMT5EncoderModel

    encoder = UMT5EncoderModel.from_pretrained(wan / "text_encoder", torch_dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(wan / "tokenizer")
    pipeline = WanPipeline(tokenizer=tokenizer, text_encoder=encoder, vae=None, scheduler=None, transformer=None)
    with torch.inference_mode():
        expected = pipeline._get_t5_prompt_embeds(prompt, max_sequence_length=16, device="cpu")[0]  # (16, C)
    rows = encode_prompts([prompt], wan / "text_encoder", wan / "tokenizer", 16, CPU)[prompt]
    assert 1 <= len(rows) <= 16
    torch.testing.assert_close(rows, expected[: len(rows)], rtol=0, atol=0.05)
    assert not expected[len(rows) :].any()


def test_the_empty_prompt_is_the_end_token_alone(wan):
    assert encode_prompts([""], wan / "text_encoder", wan / "tokenizer", 16, CPU)[""].shape == (1, 32)


def test_an_8_bit_encoder_comes_close(wan):
    prompts = ["black background", ""]
    exact = encode_prompts(prompts, wan / "text_encoder", wan / "tokenizer", 16, CPU)
    small = encode_prompts(prompts, wan / "text_encoder", wan / "tokenizer", 16, Placement("cpu", "int8"))
    for prompt in prompts:
        assert (small[prompt] - exact[prompt]).norm() < 0.1 * exact[prompt].norm()


def test_prompts_are_cleaned_as_in_training():
    assert clean_prompt(" a &amp;amp; b\n\t c ") == "a & b c"
    assert clean_prompt("schÃ¶n") == "schön"


def test_the_encoder_runs_once_per_prompt_and_is_not_loaded_again(hub, fetch, monkeypatch):
    fetch("1.3b")
    location = locate_model("1.3b")
    notes = []
    first = prompt_embeddings(location, ["", RELEASED_NEGATIVE_PROMPT], note=notes.append)
    assert len(notes) == 1 and "bfloat16 on cpu" in notes[0]
    assert [value.shape for value in first] == [(1, 16, 32), (1, 16, 32)]
    assert first[0][0, 0].any() and not first[0][0, 1:].any()  # the end token, then zeros
    monkeypatch.setattr(
        "onetoall_cli.weights.text_encoder._load_encoder", lambda *_: pytest.fail("the encoder was loaded")
    )
    again = prompt_embeddings(locate_model("1.3b"), ["", RELEASED_NEGATIVE_PROMPT])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(pytest.fail.Exception):
        prompt_embeddings(locate_model("1.3b"), ["something new"])


def test_embeddings_of_another_encoder_revision_are_not_used(hub, fetch):
    fetch("1.3b")
    location = locate_model("1.3b")
    prompt_rows(location, [""])
    hub.add(WAN_REPOSITORY, {**wan_files(), "text_encoder/extra.json": b"{}"})
    fetch("text-encoder", revision="main")
    moved = locate_model("1.3b")
    assert moved.encoder != location.encoder
    assert PromptStore(moved.embeddings[0]).get("") is None


def test_stored_embeddings_serve_a_machine_without_the_text_encoder(hub, fetch):
    from onetoall_cli.hub import load_catalogue
    from onetoall_cli.hub.remove import remove

    fetch("1.3b")
    rows = prompt_rows(locate_model("1.3b"), [""])[""]
    known = load_catalogue()
    with pytest.raises(BadInput, match=r"needed by 1.3b"):
        remove(["text-encoder"], known)
    remove(["1.3b", "text-encoder"], known)
    fetch("1.3b", without=["text-encoder"])
    location = locate_model("1.3b")
    assert location.text_encoder is None
    assert torch.equal(prompt_rows(location, [""])[""], rows)
    with pytest.raises(ModelMissing, match="text encoder is not installed") as missing:
        prompt_rows(location, ["other"])
    assert "prompt-embeds import" in missing.value.advice


@pytest.mark.parametrize(
    ("gpu_free", "system_free", "expected"),
    [
        (16, 64, Placement("cuda", "bfloat16")),
        (8, 64, Placement("cpu", "bfloat16")),
        (8, 6, Placement("cuda", "int8")),
        (4, 8, Placement("cpu", "int8")),
        (None, 64, Placement("cpu", "bfloat16")),
        (None, 4, None),
    ],
)
def test_the_encoder_runs_where_it_fits_best(monkeypatch, tmp_path, gpu_free, system_free, expected):
    from onetoall_cli.weights.tensors import TensorInfo

    umt5_xxl = {"weights": TensorInfo(tmp_path, "weights", "F32", (5_680_910_336,))}
    monkeypatch.setattr("onetoall_cli.weights.text_encoder.weight_files", lambda folder: [])
    monkeypatch.setattr("onetoall_cli.weights.text_encoder.read_tensors", lambda files: umt5_xxl)
    gpu = None if gpu_free is None else Memory("NVIDIA", 24 * 10**9, gpu_free * 10**9)
    system = Memory("CPU", 64 * 10**9, system_free * 10**9)
    if expected is None:
        with pytest.raises(OutOfResources, match="needs 8 GB of free memory"):
            place_encoder(tmp_path, system, gpu)
    else:
        assert place_encoder(tmp_path, system, gpu) == expected


def test_a_text_encoder_with_a_missing_tensor_is_refused(wan):
    import json

    from safetensors.torch import load_file, save_file

    index = json.loads((wan / "text_encoder" / "model.safetensors.index.json").read_text())
    name = "encoder.block.0.layer.0.SelfAttention.q.weight"
    file = wan / "text_encoder" / index["weight_map"][name]
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelMissing, match="text_encoder"):
        encode_prompts([""], wan / "text_encoder", wan / "tokenizer", 16, CPU)


def test_a_broken_tokenizer_is_named(wan):
    for file in (wan / "tokenizer").iterdir():
        file.write_text("{")
    with pytest.raises(ModelMissing, match="tokenizer"):
        encode_prompts([""], wan / "text_encoder", wan / "tokenizer", 16, CPU)


# ---- the store ---------------------------------------------------------------------------------------------------


def test_a_store_keeps_rows_texts_and_the_encoder(tmp_path):
    store = PromptStore(tmp_path / "prompt_embeds.safetensors", "a/b@c")
    rows = torch.randn(3, 8).bfloat16()
    store.put("für Elise", rows)
    store.put("", rows[:1])
    again = PromptStore(store.path)
    assert torch.equal(again.get("für Elise"), rows) and torch.equal(again.get(""), rows[:1])
    assert again.get("other") is None
    assert again.prompts() == ["", "für Elise"] and again.encoder == "a/b@c"


def test_a_store_that_is_not_there_is_empty(tmp_path):
    store = PromptStore(tmp_path / "no" / "store.safetensors")
    assert store.get("") is None and store.prompts() == [] and store.encoder is None


def test_rows_of_another_width_or_form_are_refused(tmp_path):
    store = PromptStore(tmp_path / "store.safetensors")
    store.put("a", torch.zeros(2, 8))
    with pytest.raises(BadInput, match="8, 16"):
        store.put("b", torch.zeros(2, 16))
    for rows in (torch.zeros(8), torch.zeros(0, 8), torch.zeros(2, 8, dtype=torch.int64)):
        with pytest.raises(BadInput, match="shape"):
            store.put("b", rows)
    assert store.prompts() == ["a"]


def test_a_file_that_is_no_store_is_named(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "store.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(BadInput, match=r"store\.safetensors is not a readable"):
        PromptStore(path).get("")
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(BadInput, match="lacks format, version"):
        PromptStore(path).get("")


def test_two_writers_lose_nothing(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "store.safetensors"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: PromptStore(path).put(str(number), torch.ones(1, 4)), range(12)))
    assert len(PromptStore(path).prompts()) == 12


# ---- generation defaults -----------------------------------------------------------------------------------------


def test_generation_defaults_come_back_as_they_were_saved(tmp_path):
    defaults = GenerationDefaults(short_side=64, shift=3.0, negative_prompt="schlecht")
    defaults.save(tmp_path / "generation_config.json")
    assert GenerationDefaults.load(tmp_path / "generation_config.json") == defaults


def test_the_released_settings_are_the_defaults():
    defaults = GenerationDefaults()
    assert (defaults.short_side, defaults.num_inference_steps, defaults.shift) == (384, 30, 7.0)
    assert (defaults.image_guidance_scale, defaults.pose_guidance_scale) == (2.5, 1.5)
    assert defaults.negative_prompt == (
        "black background, Aerial view, aerial view, overexposed, low quality, deformation, a poor composition, "
        "bad hands, bad teeth, bad eyes, bad limbs, distortion"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"shift": "7"}', "shift should be a number, not '7'"),
        ('{"short_side": 384.5}', "short_side should be a whole number, not 384.5"),
        ('{"short_side": true}', "short_side should be a whole number, not true"),
        ('{"short_side": 0}', "greater than 0"),
        ('{"max_segment_frames": 80}', "4k \\+ 1"),
        ('{"steps": 30}', "steps is no known key"),
        ("[]", "should be a mapping, not a list of 0"),
        ("{", "is not JSON: line 1"),
    ],
)
def test_a_wrong_generation_config_is_named(tmp_path, content, said):
    path = tmp_path / "generation_config.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=said) as wrong:
        GenerationDefaults.load(path)
    assert "generation_config.json" in wrong.value.problem

"""Fetching against a hub on the loopback: complete, verified, never twice, and nothing that is not asked for."""

import json
from pathlib import Path

import pytest
from fake_hub import etag_of
from hub_models import (
    DWPOSE_REPOSITORY,
    NETWORK_REPOSITORY,
    POSE_REPOSITORY,
    WAN_REPOSITORY,
    dwpose_files,
    folder_files,
    network_files,
    pose_files,
    save_diffusers_model,
    wan_files,
)

from onetoall_cli.animator.ensure import ensure_model
from onetoall_cli.errors import BadInput, ModelMissing, OutOfResources
from onetoall_cli.hub import component_path, load_catalogue, locate_model
from onetoall_cli.hub.entry_files import entry_file
from onetoall_cli.hub.fetch import plan_fetch, run_plan
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.places import derived_folder
from onetoall_cli.hub.remove import remove
from onetoall_cli.hub.verify import verify

NETWORK_WEIGHTS = [name for name in network_files() if name.endswith((".safetensors", ".json"))]


def test_an_empty_machine_ends_with_every_needed_file_verified(hub, fetch):
    fetch("1.3b")
    names, faults = verify()
    assert sorted(names) == ["1.3b", "text-encoder", "vae"]
    assert faults == []
    folder = installed()["1.3b"].folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(NETWORK_WEIGHTS)
    assert (folder / NETWORK_WEIGHTS[0]).read_bytes() == network_files()[NETWORK_WEIGHTS[0]]


def test_wans_transformer_pickles_and_readmes_are_never_asked_for(hub, fetch):
    fetch("1.3b")
    asked = " ".join(request.path for request in hub.downloads())
    for unwanted in ("transformer/", "pipeline.bin", "README.md"):
        assert unwanted not in asked


def test_the_plan_says_what_and_how_much_before_anything_is_downloaded(hub):
    plan = plan_fetch(["1.3b"])
    expected = sum(len(network_files()[name]) for name in NETWORK_WEIGHTS)
    assert next(part for part in plan.parts if part.target.name == "1.3b").bytes_to_fetch == expected
    assert {part.target.name for part in plan.parts} == {"1.3b", "vae", "text-encoder"}
    assert hub.downloads() == []


def test_a_second_fetch_downloads_nothing_and_needs_no_hub(hub, fetch):
    fetch("1.3b")
    hub.requests.clear()
    plan = fetch("1.3b")
    assert plan.bytes_to_fetch == 0
    assert hub.requests == []


def test_parts_shared_by_two_models_are_stored_once(hub, fetch, machine):
    fetch("vae")
    hub.requests.clear()
    fetch("1.3b")
    assert not any("/vae/" in request.path for request in hub.downloads())
    blobs = machine / "hf" / "hub" / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers" / "blobs"
    assert len(list(blobs.iterdir())) == len(installed()["vae"].files) + len(installed()["text-encoder"].files)


def test_the_blobs_are_where_huggingface_hub_itself_finds_them(hub, fetch):
    from huggingface_hub import hf_hub_download

    fetch("vae")
    hub.requests.clear()
    commit = installed()["vae"].commit
    for name in ("vae/config.json", "vae/diffusion_pytorch_model.safetensors"):
        path = hf_hub_download(WAN_REPOSITORY, name, revision=commit)
        assert Path(path).read_bytes() == wan_files()[name] and Path(path).is_relative_to(installed()["vae"].folder)
    assert hub.downloads() == []


def test_files_another_program_put_in_the_cache_are_checked_and_not_fetched_again(hub, fetch):
    from huggingface_hub import hf_hub_download

    commit = hub.repositories[WAN_REPOSITORY].commit
    name = "vae/diffusion_pytorch_model.safetensors"
    hf_hub_download(WAN_REPOSITORY, name, revision=commit)
    before = hub.bytes_sent[f"/cdn/{etag_of(wan_files()[name])}"]
    fetch("vae")
    assert hub.bytes_sent[f"/cdn/{etag_of(wan_files()[name])}"] == before
    assert verify(["vae"])[1] == []


def test_a_damaged_file_that_another_program_left_in_the_cache_is_fetched_again(hub, fetch):
    from huggingface_hub import hf_hub_download

    name = "vae/diffusion_pytorch_model.safetensors"
    path = Path(hf_hub_download(WAN_REPOSITORY, name, revision=hub.repositories[WAN_REPOSITORY].commit))
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.resolve().write_bytes(damaged)
    fetch("vae")
    assert path.read_bytes() == wan_files()[name]


def test_the_first_fetch_pins_the_commit_and_revision_moves_it(hub, fetch):
    fetch("1.3b")
    first = installed()["1.3b"]
    hub.add(
        NETWORK_REPOSITORY,
        {**network_files(), "model.safetensors.index.json": network_files()["model.safetensors.index.json"] + b" "},
    )
    fetch("1.3b")
    assert installed()["1.3b"] == first
    fetch("1.3b", revision="main")
    moved = installed()["1.3b"]
    assert moved.commit != first.commit
    assert verify(["1.3b"])[1] == []
    assert not first.folder.exists()  # the former commit's files are freed, shared content stays
    assert locate_model("1.3b").revision == moved.commit


def test_without_the_text_encoder_it_is_left_out(hub, fetch):
    fetch("1.3b", without=["text-encoder"])
    assert set(installed()) == {"1.3b", "vae"}
    location = locate_model("1.3b")
    assert location.text_encoder is None and location.encoder == WAN_REPOSITORY


def test_an_update_downloads_only_what_changed(hub, fetch):
    fetch("1.3b", without=["vae", "text-encoder"])
    index = "model.safetensors.index.json"
    hub.add(NETWORK_REPOSITORY, {**network_files(), index: network_files()[index] + b" "})
    plan = plan_fetch(["1.3b"], revision="main", without=["vae", "text-encoder"])
    assert plan.bytes_to_fetch == len(network_files()[index]) + 1
    before = sum(hub.bytes_sent.values())
    run_plan(plan)
    weights = [body for name, body in network_files().items() if name.endswith(".safetensors")]
    assert sum(hub.bytes_sent.values()) - before < min(map(len, weights))
    assert verify()[1] == []


def test_where_the_cache_has_no_links_files_are_still_stored_once(hub, fetch, machine, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    fetch("vae")
    weights = [path for path in (machine / "hf").rglob("*") if path.is_file() and path.stat().st_size > 10_000]
    assert [path.name for path in weights] == ["diffusion_pytorch_model.safetensors"]
    hub.requests.clear()
    fetch("vae")
    assert hub.requests == [] and verify()[1] == []


def test_with_xet_at_full_speed_the_hubs_own_transfer_is_used_and_its_result_hashed(hub, fetch, monkeypatch):
    """No Xet server runs here: this shows the way taken, with huggingface_hub's plain transfer at its end."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_XET_HIGH_PERFORMANCE", True)
    fetch("vae")
    assert any(request.method == "HEAD" for request in hub.requests)
    assert verify()[1] == []
    name = "vae/diffusion_pytorch_model.safetensors"
    hub.served_wrong[etag_of(wan_files()[name])] = bytes(len(wan_files()[name]))
    (installed()["vae"].folder / name).resolve().unlink()
    with pytest.raises(ModelMissing, match="other content"):
        fetch("vae")


def test_a_token_is_sent_to_the_hub_and_not_to_the_cdn(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch("vae")
    cdn = [request for request in hub.requests if request.path.startswith("/cdn/")]
    others = [request for request in hub.requests if not request.path.startswith("/cdn/")]
    assert cdn and not any(request.authorised for request in cdn)
    assert others and all(request.authorised for request in others)


def test_a_repository_named_by_hf_in_diffusers_layout_brings_its_own_parts(hub, fetch, tmp_path):
    save_diffusers_model(tmp_path / "model")
    hub.add("someone/my-model", folder_files(tmp_path / "model"))
    fetch("hf:someone/my-model")
    assert set(installed()) == {"hf:someone/my-model"}
    location = locate_model("hf:someone/my-model")
    assert not location.published
    assert location.vae.is_dir() and location.text_encoder is not None
    assert location.encoder == f"someone/my-model@{location.revision}"


def test_an_entry_may_lie_in_a_data_set(hub, fetch):
    """Kept where huggingface_hub looks for data sets."""
    hub.add("datasets/MochunniaN1/fvd", {"i3d_pretrained_400.pt": bytes(3000), "README.md": b"no"})
    fetch("i3d")
    file = entry_file("i3d")
    assert file is not None and file.read_bytes() == bytes(3000)
    assert "datasets--MochunniaN1--fvd" in file.parts and verify()[1] == []
    made = derived_folder("i3d") / "i3d.safetensors"
    made.parent.mkdir(parents=True)
    made.write_bytes(bytes(500))
    assert remove(["i3d"], load_catalogue()) == 3500 and not made.parent.exists() and not file.exists()


def test_a_repository_of_bare_weights_named_by_hf_is_read_off_its_shapes(hub, fetch):
    hub.add("someone/weights", network_files(1, index=False))
    fetch("hf:someone/weights")
    location = locate_model("hf:someone/weights")
    from onetoall_cli.weights import network_config

    config = network_config(location)
    assert config is not None and config["num_layers"] == 2
    assert set(installed()) == {"hf:someone/weights", "vae", "text-encoder"}


def test_a_repository_of_another_model_is_refused_before_its_weights_are_fetched(hub):
    with pytest.raises(BadInput, match="WanTransformer3DModel, not a One-to-All"):
        plan_fetch([f"hf:{WAN_REPOSITORY}"])
    assert not any(request.path.startswith("/cdn/") for request in hub.requests)


def test_hf_with_a_revision_is_not_satisfied_by_another_one(hub, fetch):
    hub.add("someone/weights", network_files(1, index=False))
    fetch("hf:someone/weights")
    commit = installed()["hf:someone/weights"].commit
    assert locate_model(f"hf:someone/weights@{commit}").revision == commit
    with pytest.raises(ModelMissing, match="installed at main"):
        locate_model("hf:someone/weights@v2")


def test_the_detectors_files_are_found_and_have_the_published_inputs_and_outputs(hub, fetch):
    import onnxruntime

    hub.add(POSE_REPOSITORY, pose_files())
    hub.add(DWPOSE_REPOSITORY, dwpose_files())
    assert component_path("yolov10m") is None
    fetch("detectors")
    shapes = {}
    for name in ("yolov10m", "vitpose_h_wholebody.onnx", "yolox_l", "dw-ll_ucoco_384"):
        path = component_path(name)
        assert path is not None
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        shapes[name] = [session.get_inputs()[0].shape, session.get_outputs()[0].shape]
    assert shapes == {
        "yolov10m": [[1, 3, 640, 640], [1, 300, 6]],
        "vitpose_h_wholebody.onnx": [["N", 3, 256, 192], [1, 133, 64, 48]],
        "yolox_l": [[1, 3, 640, 640], [1, 8400, 85]],
        "dw-ll_ucoco_384": [["N", 3, 384, 288], [1, 133, 576]],
    }
    assert not any("sam2" in request.path for request in hub.downloads())


def test_a_disk_without_room_is_noticed_before_anything_is_downloaded(hub, fetch, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(OutOfResources, match="not enough disk space"):
        fetch("1.3b")
    assert not any(request.path.startswith("/cdn/") for request in hub.requests)


def test_progress_ends_at_the_total(hub):
    seen = []
    run_plan(plan_fetch(["1.3b"]), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum(file.size for entry in installed().values() for file in entry.files)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_auto_fetch_brings_the_model_and_otherwise_the_command_is_named(hub):
    with pytest.raises(ModelMissing) as missing:
        ensure_model("1.3b", auto_fetch=False)
    assert "onetoall fetch 1.3b" in missing.value.advice and missing.value.exit_code == 3
    location = ensure_model("1.3b", auto_fetch=True)
    assert location.published


def test_nothing_named_and_nothing_installed_says_which_command_to_run(hub):
    with pytest.raises(ModelMissing, match="No model is installed") as missing:
        ensure_model(None, auto_fetch=False)
    assert "onetoall fetch 1.3b" in missing.value.advice
    notes = []
    assert ensure_model(None, auto_fetch=True, note=notes.append).name == "1.3b"
    assert any("Fetching 1.3b" in note for note in notes)


def test_the_package_catalogue_agrees_with_the_released_checkpoints(machine):
    from math import prod

    from onetoall_cli.model import CONFIG_1_3B, CONFIG_14B

    catalogue = load_catalogue()
    data = Path(__file__).parents[1] / "data"
    for name, config in (("1.3b", CONFIG_1_3B), ("1.3b-v1", CONFIG_1_3B), ("14b", CONFIG_14B)):
        entry = catalogue.entries[name]
        assert entry.architecture == {key: config[key] for key in entry.architecture or {}}
        shapes = json.loads((data / f"state_dict_{name[:4].rstrip('-')}.json").read_text())
        assert entry.parameters == sum(prod(shape) for shape in shapes.values())
    assert catalogue.entries["14b"].defaults.image_guidance_scale == 2.0
    assert catalogue.entries["14b"].defaults.short_side == 576

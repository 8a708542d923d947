"""What is on a machine: list, verify, repair, remove, the choice of a model, the user's own catalogue."""

import json
from pathlib import Path

import pytest
from hub_models import (
    NETWORK_REPOSITORY,
    WAN_REPOSITORY,
    network_files,
    save_diffusers_model,
    wan_files,
)

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.hub import load_catalogue, locate_model
from onetoall_cli.hub.fetch import plan_repair, run_plan
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.overview import overview
from onetoall_cli.hub.places import index_file, user_catalogue
from onetoall_cli.hub.remove import remove
from onetoall_cli.hub.verify import delete_damaged, verify

SHARD = "model-00001-of-00002.safetensors"


def states() -> dict[str, str]:
    return {row.name: row.state for row in overview(load_catalogue())}


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.resolve().write_bytes(content)


def test_the_list_shows_states_sizes_and_who_needs_what(hub, fetch):
    assert states()["1.3b"] == "not installed"
    fetch("1.3b", without=["text-encoder"])
    rows = {row.name: row for row in overview(load_catalogue())}
    assert rows["1.3b"].state == rows["vae"].state == "installed"
    assert rows["1.3b"].size == sum(len(body) for name, body in network_files().items() if name.startswith("model"))
    assert rows["vae"].needed_by == ("1.3b",)
    assert rows["vae"].commit == hub.repositories[WAN_REPOSITORY].commit
    (rows["1.3b"].path / SHARD).unlink()
    assert states()["1.3b"] == "incomplete"


@pytest.mark.parametrize("fault", ["other content", "missing", "bytes instead of"])
def test_verify_names_the_broken_file_and_repair_brings_it_back(hub, fetch, fault):
    fetch("1.3b", without=["text-encoder"])
    path = installed()["1.3b"].folder / SHARD
    if fault == "other content":
        damage(path)
    elif fault == "missing":
        path.unlink()
    else:
        path.resolve().write_bytes(path.read_bytes()[:-1])
    _, faults = verify()
    assert [(found.name, found.path, fault in found.problem) for found in faults] == [("1.3b", path, True)]
    hub.requests.clear()
    run_plan(plan_repair(delete_damaged(faults)))
    assert verify()[1] == []
    asked = {request.path for request in hub.downloads() if "/resolve/" in request.path}
    assert all(SHARD in path for path in asked)


def test_removing_a_model_frees_its_files_and_keeps_what_others_need(hub, fetch, machine):
    fetch("1.3b")
    size = installed()["1.3b"].size
    with pytest.raises(BadInput, match=r"'vae' is needed by 1.3b"):
        remove(["vae"], load_catalogue())
    assert remove(["1.3b"], load_catalogue()) == size
    assert set(installed()) == {"vae", "text-encoder"} and verify()[1] == []
    blobs = machine / "hf" / "hub" / f"models--{NETWORK_REPOSITORY.replace('/', '--')}" / "blobs"
    assert list(blobs.iterdir()) == []
    remove(["vae"], load_catalogue())
    assert set(installed()) == {"text-encoder"} and verify()[1] == []  # of the same repository and commit


def test_content_that_another_revision_shares_stays(hub, fetch):
    from huggingface_hub import hf_hub_download

    fetch("1.3b", without=["text-encoder"])
    hub.add(NETWORK_REPOSITORY, {**network_files(), "README.md": b"changed"})
    other = hf_hub_download(NETWORK_REPOSITORY, SHARD, revision=hub.repositories[NETWORK_REPOSITORY].commit)
    remove(["1.3b"], load_catalogue())
    with open(other, "rb") as stream:
        assert stream.read() == network_files()[SHARD]


def test_an_unfinished_download_is_removed_with_its_partial_files(hub, fetch, machine, monkeypatch):
    monkeypatch.setattr("onetoall_cli.hub.remote.ATTEMPTS", 1)
    hub.cut_once("/cdn/", 0.5)
    with pytest.raises(ModelMissing):
        fetch("1.3b", without=["vae", "text-encoder"])
    assert states()["1.3b"] == "incomplete"
    remove(["1.3b"], load_catalogue())
    assert not list((machine / "hf").rglob("*.incomplete"))


def test_removing_what_is_not_there_is_an_error(hub):
    with pytest.raises(BadInput, match=r"'1.3b' is not installed"):
        remove(["1.3b"], load_catalogue())


def test_verify_of_a_name_that_is_not_installed_is_an_error(hub):
    with pytest.raises(BadInput, match=r"'1.3b' is not installed"):
        verify(["1.3b"])


def test_a_damaged_quantised_copy_is_found_and_how_to_make_it_again(hub, fetch):
    from onetoall_cli.weights.quantise import quantise_entry

    fetch("1.3b", without=["text-encoder"])
    folder = quantise_entry("1.3b", "int8", load_catalogue())
    assert states()["1.3b-int8"] == "installed"
    damage(next(folder.glob("*.safetensors")))
    _, faults = verify()
    assert [fault.name for fault in faults] == ["1.3b-int8"]
    with pytest.raises(BadInput, match="damaged") as damaged:
        delete_damaged(faults)
    assert "fetch 1.3b --quantize int8 --overwrite" in damaged.value.advice
    with pytest.raises(BadInput, match=r"needed by 1.3b-int8"):
        remove(["1.3b", "vae"], load_catalogue())
    remove(["1.3b-int8"], load_catalogue())
    assert not folder.exists() and "1.3b-int8" not in states()


def test_a_damaged_index_says_what_to_do(hub, fetch):
    fetch("vae")
    index_file().write_text("{")
    with pytest.raises(BadInput, match="is not JSON") as damaged:
        installed()
    assert "not downloaded twice" in damaged.value.advice
    index_file().unlink()
    before = sum(hub.bytes_sent.values())
    fetch("vae")
    large = [body for name, body in wan_files().items() if name.startswith("vae/") and len(body) > 2000]
    assert sum(hub.bytes_sent.values()) - before < min(map(len, large))


def test_an_unknown_name_lists_what_there_is(hub):
    with pytest.raises(BadInput, match=r"no model or folder '1.4b'") as unknown:
        locate_model("1.4b")
    assert "1.3b" in unknown.value.advice


def test_a_folder_that_is_no_model_says_so(machine, tmp_path):
    with pytest.raises(ModelMissing, match="is not a model"):
        locate_model(str(tmp_path))


def test_a_diffusers_folder_brings_its_own_settings_and_embeddings(machine, tmp_path):
    from onetoall_cli.hub import GenerationDefaults
    from onetoall_cli.weights import PromptStore

    save_diffusers_model(tmp_path / "mine")
    GenerationDefaults(short_side=96).save(tmp_path / "mine" / "generation_config.json")
    import torch

    PromptStore(tmp_path / "mine" / "prompt_embeds.safetensors").put("", torch.ones(1, 32))
    location = locate_model(str(tmp_path / "mine"))
    assert location.defaults.short_side == 96
    assert location.embeddings[0] == tmp_path / "mine" / "prompt_embeds.safetensors"
    assert location.encoder is not None and location.encoder.startswith("local-")


# ---- catalogue ---------------------------------------------------------------------------------------------------


PREFIX = "entries: {x: {kind: model, title: t, repository: a/b, files: [c]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("entries: [", "not valid YAML"),
        ("models: {}", "models is no known key .known are entries, groups"),
        ("entries: {x: 5}", "entries.x should be a mapping, not 5"),
        ("entries: {x: {kind: model}}", "entries.x lacks title, repository, files"),
        (f"{PREFIX}, titel: t}}}}", r"entries.x.titel is no known key .did you mean 'title'"),
        (f"{PREFIX}, kind: tool}}}}", "the key 'kind' more than once"),
        (
            "entries: {x: {kind: tool, title: t, repository: a/b, files: [c]}}",
            "x.kind should be 'model', .*, not 'tool'",
        ),
        ("entries: {x: {kind: model, title: t, repository: b, files: [c]}}", "repository should match .*, not 'b'"),
        ("entries: {x: {kind: model, title: t, repository: a/b, files: c}}", "files should be a list, not 'c'"),
        ("entries: {x: {kind: model, title: t, repository: a/b, files: [c], needs: [z]}}", "'x' names 'z'"),
        ("entries: {x: {kind: model, title: t, repository: a/b, files: [c], defaults: {steps: 5}}}", "defaults.steps"),
        ("groups: {g: [nothing]}", "'g' names 'nothing'"),
    ],
)
def test_a_mistake_in_the_users_catalogue_is_named(machine, text, said):
    user_catalogue().parent.mkdir(parents=True)
    user_catalogue().write_text(text)
    with pytest.raises(BadInput, match=said) as wrong:
        load_catalogue()
    assert str(user_catalogue()) in wrong.value.problem


def test_the_users_catalogue_adds_to_the_packages_and_replaces_by_name(machine):
    shipped = load_catalogue()
    user_catalogue().parent.mkdir(parents=True)
    user_catalogue().write_text(
        "entries:\n  mine: {kind: model, title: mine, repository: me/mine, files: ['*.safetensors'], needs: [vae]}\n"
        "  1.3b: {kind: model, title: other, repository: me/other, files: ['*.safetensors'], needs: [vae]}\n"
    )
    both = load_catalogue()
    assert set(both.entries) == {*shipped.entries, "mine"}
    assert both.entries["1.3b"].repository == "me/other"
    assert both.groups == shipped.groups


def test_patterns_do_not_cross_folders(hub):
    from onetoall_cli.hub.remote import list_repository

    listing = list_repository(WAN_REPOSITORY, "main")
    assert [file.path for file in listing.matching(["*.json"])] == ["model_index.json"]
    assert all(file.path.startswith("vae/") for file in listing.matching(["vae/*"]))
    assert len(listing.files) == len(wan_files())  # over several pages


def test_the_index_is_plain_json(hub, fetch):
    fetch("vae")
    content = json.loads(index_file().read_text())
    assert content["installed"]["vae"]["commit"] == hub.repositories[WAN_REPOSITORY].commit


def test_the_head_of_the_packages_catalogue_explains_every_key_of_its_form():
    from onetoall_cli.hub import catalogue

    text = Path(catalogue.__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
    head = text[: text.index("\nentries:")]
    explained = [line.split()[1] for line in head.splitlines() if line.startswith("#   ")]
    assert sorted(explained) == sorted(catalogue.Description.model_fields)

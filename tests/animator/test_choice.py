"""Which model is taken where the user names none."""

import pytest
from hub_models import CATALOGUE, NETWORK_REPOSITORY, save_diffusers_model

from onetoall_cli.animator.choice import choose_model
from onetoall_cli.errors import ModelMissing
from onetoall_cli.hub import load_catalogue, locate_model
from onetoall_cli.hub.places import copy_folder, user_catalogue
from onetoall_cli.runtime.machine import Memory

CHOICE = (
    CATALOGUE.replace("parameters: 1_000_000", "parameters: 2_200_000_000")
    + f"""
  14b:
    kind: model
    title: large
    repository: {NETWORK_REPOSITORY}
    files: ["*.safetensors", "*.safetensors.index.json"]
    needs: [vae, text-encoder]
    parameters: 18_800_000_000
"""
)


def gigabytes(size: float) -> Memory:
    return Memory("test", int(size * 10**9), int(size * 10**9))


@pytest.fixture
def two_models(hub, fetch):
    user_catalogue().write_text(CHOICE)
    fetch("14b", "1.3b", without=["text-encoder"])
    return load_catalogue()


@pytest.mark.parametrize(("size", "expected"), [(80, "14b"), (24, "1.3b"), (8, "1.3b")])
def test_the_best_installed_model_that_fits_is_chosen(two_models, size, expected):
    choice = choose_model(two_models, gigabytes(size))
    assert choice.name == expected and f"fits {size} GB" in choice.reason


def test_a_quantised_copy_is_chosen_where_the_original_does_not_fit(two_models):
    for precision in ("int8", "nf4"):
        folder = copy_folder(f"14b-{precision}")
        folder.mkdir(parents=True)
        (folder / "onetoall.json").write_text("{}")
    assert choose_model(two_models, gigabytes(80)).name == "14b"
    assert choose_model(two_models, gigabytes(24)).name == "14b-int8"
    assert choose_model(two_models, gigabytes(16)).name == "14b-nf4"
    assert choose_model(two_models, gigabytes(8)).name == "1.3b"


def test_where_nothing_fits_the_smallest_is_taken_and_said(two_models):
    choice = choose_model(two_models, gigabytes(4))
    assert choice.name == "1.3b" and "none fits 4 GB" in choice.reason


def test_the_only_installed_model_is_taken_whatever_its_size(hub, fetch):
    fetch("1.3b", without=["text-encoder"])
    choice = choose_model(load_catalogue(), gigabytes(0.1))
    assert (choice.name, choice.reason) == ("1.3b", "the only installed model")


def test_a_model_without_its_vae_is_not_chosen(hub, fetch):
    fetch("1.3b", without=["vae", "text-encoder"])
    with pytest.raises(ModelMissing, match="No model is installed"):
        choose_model(load_catalogue(), gigabytes(80))


def test_a_model_inside_the_package_is_found_by_name_and_recommended(machine, tmp_path, monkeypatch):
    save_diffusers_model(tmp_path / "models" / "tiny")
    monkeypatch.setattr("onetoall_cli.hub.location.SHIPPED", tmp_path / "models")
    assert locate_model("tiny").name == "tiny"
    with pytest.raises(ModelMissing) as missing:
        choose_model(load_catalogue(), gigabytes(8))
    assert "onetoall fetch 1.3b" in missing.value.advice and "--model tiny" in missing.value.advice
    with pytest.raises(ModelMissing) as missing:
        locate_model("1.3b")
    assert "--model tiny" in missing.value.advice

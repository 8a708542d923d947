"""The recipes for the released models: they parse, are found by name, and fit the released tensors."""

import json
import random
from pathlib import Path

import pytest
import torch
import yaml

from onetoall_cli.errors import OnetoallError
from onetoall_cli.hub.location import SHIPPED
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.training.lora import add_lora
from onetoall_cli.training.recipe import NetworkSettings, TrainingSettings
from onetoall_cli.training.runs import RECIPES, open_config, recipes
from onetoall_cli.training.settings import dump_settings, load_settings, read_settings
from onetoall_cli.training.stages import trained_names

DATA = Path(__file__).parents[1] / "data"
SIZES = {
    "1.3b": NetworkSettings(),
    "14b": NetworkSettings(
        num_attention_heads=40, ffn_dim=13824, num_layers=40, num_reference_layers=7, num_pose_layers=1
    ),
}


def on_meta(name: str) -> OneToAllTransformer3DModel:
    """A released network's structure, held to the list of its tensors."""
    with torch.device("meta"):
        network = OneToAllTransformer3DModel(**SIZES[name].model_dump())
    published = network.published_key_mapping().to_published
    shapes = {published[own]: list(tensor.shape) for own, tensor in network.state_dict().items()}
    assert shapes == json.loads((DATA / f"state_dict_{name}.json").read_text())
    return network


def test_recipes_are_found_by_name_and_take_data_and_output() -> None:
    assert {"videos-1.3b", "videos-1.3b-lora", "videos-14b-lora", "tiny"} <= set(recipes())
    (run,) = open_config("videos-1.3b-lora", data=Path("clips"), output=Path("out"), strict=True).runs
    assert isinstance(run, TrainingSettings)
    assert (run.data.folder, run.output, run.data.strict) == (Path("clips"), Path("out"), True)
    with pytest.raises(OnetoallError, match=r"videos-1\.3b-lora"):
        open_config("videos-1.3b-lroa")
    with pytest.raises(OnetoallError, match="one run"):
        open_config("tiny", output=Path("out"))


def test_the_full_recipe_trains_the_released_stage_3(tmp_path) -> None:
    (run,) = open_config("videos-1.3b").runs
    assert isinstance(run, TrainingSettings) and run.init_from == "1.3b"
    network = on_meta("1.3b")
    names = set(trained_names(network, run.conditions_of_stage))
    count = sum(parameter.numel() for name, parameter in network.named_parameters() if name in names)
    assert count / 1e9 == pytest.approx(1.075, abs=0.001)
    (tmp_path / "settings.yaml").write_text(dump_settings(run))
    assert load_settings(TrainingSettings, tmp_path / "settings.yaml") == run


@pytest.mark.parametrize("name", ["1.3b", "14b"])
def test_the_lora_recipes_change_layers_that_the_released_networks_have(name) -> None:
    (run,) = open_config(f"videos-{name}-lora").runs
    assert isinstance(run, TrainingSettings) and run.init_from == name
    network = on_meta(name)
    with torch.device("meta"):
        names = add_lora(network, run.lora)
    assert len(names) == 2 * SIZES[name].num_layers * len(
        ("to_q", "to_k", "to_v", "to_out", "to_q of the text", "to_out of the text", "ffn in", "ffn out")
    )
    assert all(name.startswith("blocks.") for name in names)


# -- mistakes ---------------------------------------------------------------------------------------------------------

VALUES = (None, True, -1, 0, 3, 10**30, 1e300, "", "x", "1e5", "\0", "a" * 5000, [], {}, [[1]], {"a": {}}, [None] * 50)


def mutated(recipe: object, rng: random.Random) -> object:
    """A copy with one value, key or item changed, removed or added somewhere."""
    copy = json.loads(json.dumps(recipe))
    places = [copy]
    for place in places:
        places += [
            each for each in (place.values() if isinstance(place, dict) else place) if isinstance(each, dict | list)
        ]
    place = rng.choice([each for each in places if each])
    keys = list(place) if isinstance(place, dict) else range(len(place))
    key, kind = rng.choice(list(keys)), rng.randrange(4)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[rng.choice(["", "stage", "runs", "arms", "phases", "like", key + "x", "\x1b[1m"])] = rng.choice(VALUES)
    elif kind == 2 and isinstance(place[key], int | float):
        place[key] = rng.choice([-place[key], place[key] * 10**9, place[key] + 0.5, str(place[key])])
    else:
        place[key] = rng.choice(VALUES)
    return copy


def test_changed_recipes_are_read_or_refused_in_two_sentences(tmp_path) -> None:
    rng, refused = random.Random(0), 0
    originals = [yaml.safe_load(path.read_text()) for path in sorted(RECIPES.glob("*.yaml"))]
    for _ in range(400):
        text = yaml.safe_dump(mutated(rng.choice(originals), rng))
        if rng.random() < 0.2:
            cut = rng.randrange(len(text))
            text = text[:cut] + rng.choice(["", ":", "\t", "{", "\x00", "é", "&a "]) + text[cut + rng.randrange(3) :]
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            config = open_config(path)
        except OnetoallError as error:
            refused += 1
            assert error.exit_code == 2 and len(str(error)) < 2000 and error.problem.endswith((".", "...")), text
            continue
        for run in config.runs:
            if isinstance(run, TrainingSettings) and run.model is not None and run.model.num_layers < 50:
                with torch.device("meta"):
                    OneToAllTransformer3DModel(**run.model.model_dump())
    assert refused > 200


def test_the_settings_of_the_shipped_model_are_still_read() -> None:
    settings = load_settings(TrainingSettings, SHIPPED / "tiny" / "training.yaml")
    assert settings.conditions_of_stage.mask_where_given == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["output", "init_from"])
def test_a_home_that_is_not_there_is_one_sentence(monkeypatch, name) -> None:
    def nowhere(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    settings = {"output": "run", "stage": 1, "steps": 1, "init_from": "1.3b", name: "~/place"}
    with pytest.raises(OnetoallError, match="no home folder here"):
        read_settings(TrainingSettings, settings, "config.yaml")

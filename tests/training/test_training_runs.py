"""Training configs: the shipped recipes are valid, and each kind of config starts its own training."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import onetoall_cli.training
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import locate_model
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.runs import arms_of, run_config
from onetoall_cli.training.settings import dump_settings, load_settings, read_settings
from onetoall_cli.training.vae import build_vae
from onetoall_cli.training.vae_data import VaeSettings

RECIPES = Path(onetoall_cli.training.__file__).parent / "recipes"


def test_the_small_models_recipes_fit_together_and_into_forty_megabytes() -> None:
    vae = load_settings(VaeSettings, RECIPES / "tiny-vae.yaml")
    stages = [load_settings(TrainingSettings, RECIPES / f"tiny-stage{n}.yaml") for n in (1, 2, 3)]
    assert [stage.stage for stage in stages] == [1, 2, 3]
    assert [stage.init_from for stage in stages[1:]] == [stage.output for stage in stages[:2]]
    assert all(stage.vae == vae.output / "vae" for stage in stages)
    network = OneToAllTransformer3DModel(**stages[0].model)
    sizes = [sum(parameter.numel() for parameter in module.parameters()) for module in (build_vae(vae), network)]
    assert 2 * sum(sizes) < 40e6  # bf16
    assert 2 * sizes[0] <= 15e6


def test_a_config_with_phases_trains_a_vae(tmp_path) -> None:
    config = tmp_path / "vae.yaml"
    config.write_text(
        f"output: {tmp_path / 'run'}\nphases: [{{steps: 1, batch: 1, crop: 32}}]\nthreads: 1\nstatistics: 2\n"
        "model: {base_dim: 8, num_res_blocks: 1, dim_mult: [1, 1, 1, 1]}\n"
    )
    seen = []
    folder = run_config(config, lambda step, total: seen.append((step, total)))
    assert (folder / "config.json").is_file() and seen == [(1, 1)]


def test_a_config_with_a_stage_trains_the_network(tmp_path, micro_vae, micro_network) -> None:
    config = tmp_path / "stage.yaml"
    config.write_text(
        f"output: {tmp_path / 'run'}\nstage: 1\nvae: {micro_vae}\nsteps: 1\nmodel: {micro_network}\nframes: 13\n"
        "resolutions: [{short_side: 32}]\nsample_every: 0\nworkers: 0\nthreads: 1\nvideo_share: 0\n"
    )
    assert (run_config(config, export=tmp_path / "model") / "config.json").is_file()
    assert locate_model(str(tmp_path / "model")).defaults.short_side == 32


def test_the_ablation_takes_one_thing_more_from_arm_to_arm() -> None:
    path = RECIPES / "tiny-ablation.yaml"
    arms = arms_of(yaml.safe_load(path.read_text()), path)
    runs = [read_settings(TrainingSettings, arm, name) for name, arm in arms.items()]
    stages = [run.conditions_of_stage for run in runs]
    assert [stage.reference_pose for stage in stages] == [False, False, True, True]
    assert [stage.change_pose + stage.hide_face for stage in stages] == pytest.approx([0, 0.9, 0.9, 0.9])
    assert [stage.token_replace for stage in stages] == [0, 0, 0, 0.5]
    assert {dump_settings(replace(run, output=Path("-"), conditions={})) for run in runs} == {
        dump_settings(replace(runs[0], output=Path("-"), conditions={}))
    }
    assert len({run.output for run in runs}) == 4
    stage_2 = load_settings(TrainingSettings, RECIPES / "tiny-stage2.yaml")
    assert runs[0].init_from == stage_2.output and runs[0].vae == stage_2.vae


def test_a_config_with_arms_trains_each_of_them(tmp_path, micro_vae, micro_network) -> None:
    config = tmp_path / "ablation.yaml"
    config.write_text(
        f"output: {tmp_path / 'runs'}\nstage: 2\nvae: {micro_vae}\nsteps: 2\nmodel: {micro_network}\nframes: 13\n"
        "resolutions: [{short_side: 32}]\nsample_every: 0\nworkers: 0\nthreads: 1\nvideo_share: 0\n"
        "conditions: {mask: 1.0}\narms: {first: {steps: 1}, second: {conditions: {reference_pose: false}}}\n"
    )
    seen = []
    assert run_config(config, lambda step, total: seen.append((step, total))) == tmp_path / "runs"
    assert seen == [(1, 3), (2, 3), (3, 3)]
    settings = [
        load_settings(TrainingSettings, tmp_path / "runs" / name / "settings.yaml") for name in ("first", "second")
    ]
    assert [each.conditions for each in settings] == [{"mask": 1.0}, {"mask": 1.0, "reference_pose": False}]
    assert all((each.output / "network" / "config.json").is_file() for each in settings)


@pytest.mark.parametrize("arms", ["[]", "{}", "{a: 1}", "{a: {no_such_setting: 1}}"])
def test_mistakes_in_arms_are_named(tmp_path, arms) -> None:
    config = tmp_path / "ablation.yaml"
    config.write_text(f"output: o\nstage: 2\nvae: v\nsteps: 1\nmodel: {{}}\narms: {arms}\n")
    with pytest.raises(BadInput, match=r"arms is not|arm a has no setting"):
        run_config(config)
    config.write_text("stage: 2\nvae: v\nsteps: 1\nmodel: {}\narms: {a: {}}\n")
    with pytest.raises(BadInput, match="output"):
        run_config(config)


def test_only_a_stage_can_be_exported(tmp_path) -> None:
    config = tmp_path / "vae.yaml"
    config.write_text("output: o\nphases: []\n")
    with pytest.raises(BadInput, match="no single stage"):
        run_config(config, export=tmp_path / "model")


def test_other_files_are_refused(tmp_path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("name: something\n")
    with pytest.raises(BadInput, match="neither"):
        run_config(config)
    with pytest.raises(BadInput, match="read"):
        run_config(tmp_path / "missing.yaml")

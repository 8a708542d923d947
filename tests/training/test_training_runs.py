"""Training configs: the shipped recipes are valid, and each kind of config starts its own training."""

from pathlib import Path

import pytest
import yaml

import onetoall_cli.training
from onetoall_cli.errors import BadInput
from onetoall_cli.hub import locate_model
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.runs import is_export_of, open_config, run_config, runs_of
from onetoall_cli.training.settings import dump_settings, load_settings, read_settings, read_yaml
from onetoall_cli.training.vae import build_vae
from onetoall_cli.training.vae_data import VaeSettings

RECIPES = Path(onetoall_cli.training.__file__).parent / "recipes"


def tiny() -> dict[str, TrainingSettings | VaeSettings]:
    """The runs of tiny.yaml by name."""
    path = RECIPES / "tiny.yaml"
    runs = runs_of(read_yaml(path), path)
    kinds = {where: VaeSettings if "phases" in run else TrainingSettings for where, run in runs.items()}
    return {where.split()[-1]: read_settings(kinds[where], run, where) for where, run in runs.items()}


def test_the_small_models_runs_fit_together_and_into_forty_megabytes() -> None:
    runs = tiny()
    assert list(runs) == ["vae", "vae-decoder", "stage-1", "stage-2", "stage-3"]
    vae, decoder, *stages = runs.values()
    assert decoder.init_from == vae.output / "vae"
    assert [stage.stage for stage in stages] == [1, 2, 3]
    assert [stage.init_from for stage in stages] == [None, *(str(stage.output) for stage in stages[:2])]
    assert all(stage.vae == decoder.output / "vae" for stage in stages)
    network = OneToAllTransformer3DModel(**stages[0].model.model_dump())
    sizes = [sum(parameter.numel() for parameter in module.parameters()) for module in (build_vae(vae), network)]
    assert 2 * sum(sizes) < 40e6  # bf16
    assert 2 * sizes[0] <= 15e6


def micro_tiny(tmp_path, micro_network) -> Path:
    """tiny.yaml with one step for each phase or stage and micro sizes."""
    data = yaml.safe_load((RECIPES / "tiny.yaml").read_text().replace("runs/tiny", str(tmp_path / "tiny")))
    for run in data["runs"].values():
        run |= {"threads": 1, "sample_every": 0}
        if "phases" in run:
            run |= {"statistics": 2, "phases": [{**phase, "steps": 1, "batch": 1} for phase in run["phases"]]}
        else:
            run |= {"steps": 1, "batch": 1, "picture_batch": 1, "workers": 0, "model": {**micro_network}}
            run |= {"resolutions": [{"short_side": 32}], "pose_canvas_short_side": 64}
    data["runs"]["vae"]["model"] |= {"base_dim": 8}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(data, sort_keys=False))
    return config


def test_the_small_models_recipe_trains_all_its_runs_and_continues(tmp_path, micro_network) -> None:
    config, seen = micro_tiny(tmp_path, micro_network), []

    def stop_in_the_third_run(step: int, total: int | None) -> None:
        seen.append((step, total))
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_config(config, stop_in_the_third_run)
    assert not (tmp_path / "tiny" / "stage-1" / "network").exists()
    network = run_config(config, stop_in_the_third_run, export=tmp_path / "model")
    assert seen == [(1, 7), (2, 7), (3, 7), (4, 7), (5, 7), (5, 7), (6, 7), (7, 7)]
    assert network == tmp_path / "tiny" / "stage-3" / "network" and (network / "config.json").is_file()
    assert locate_model(str(tmp_path / "model")).defaults.short_side == 32


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
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace(str(tmp_path / "run"), str(tmp_path / "another")))
    assert is_export_of(tmp_path / "model", open_config(config))  # so the same command may be given again
    assert not is_export_of(tmp_path / "model", open_config(other))


def test_the_ablation_takes_one_thing_more_from_arm_to_arm() -> None:
    path = RECIPES / "tiny-ablation.yaml"
    arms = runs_of(read_yaml(path), path)
    runs = [read_settings(TrainingSettings, arm, name) for name, arm in arms.items()]
    stages = [run.conditions_of_stage for run in runs]
    assert [stage.reference_pose for stage in stages] == [False, False, True, True]
    assert [stage.change_pose + stage.hide_face for stage in stages] == pytest.approx([0, 0.9, 0.9, 0.9])
    assert [stage.token_replace for stage in stages] == [0, 0, 0, 0.5]
    assert {dump_settings(run.changed(output=Path("-"), conditions={})) for run in runs} == {
        dump_settings(runs[0].changed(output=Path("-"), conditions={}))
    }
    assert len({run.output for run in runs}) == 4
    assert runs[0].init_from == str(tiny()["stage-2"].output) and runs[0].vae == tiny()["vae"].output / "vae"


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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("output: o\nruns: []\n", "runs is not a mapping"),
        ("output: o\nruns: {a: {stage: 1, steps: 1, vae: v, no_such_setting: 1}}\n", "no_such_setting is no known key"),
        ("output: o\nthreads: 1\nruns: {a: {phases: []}}\n", "settings beside 'runs': threads"),
        ("runs: {a: {phases: []}}\n", "lacks the setting 'output'"),
    ],
)
def test_mistakes_in_runs_are_named_before_any_run_begins(tmp_path, text, problem) -> None:
    config = tmp_path / "runs.yaml"
    config.write_text(text)
    with pytest.raises(BadInput, match=problem):
        run_config(config)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.yaml"]


@pytest.mark.parametrize("arms", ["[]", "{}", "{a: 1}", "{a: {no_such_setting: 1}}"])
def test_mistakes_in_arms_are_named(tmp_path, arms) -> None:
    config = tmp_path / "ablation.yaml"
    config.write_text(f"output: o\nstage: 2\nvae: v\nsteps: 1\nmodel: {{}}\narms: {arms}\n")
    with pytest.raises(BadInput, match=r"arms is not|arm a: no_such_setting is no known key"):
        run_config(config)
    config.write_text("stage: 2\nvae: v\nsteps: 1\nmodel: {}\narms: {a: {}}\n")
    with pytest.raises(BadInput, match="output"):
        run_config(config)


def test_only_a_stage_can_be_exported(tmp_path) -> None:
    config = tmp_path / "vae.yaml"
    config.write_text("output: o\nphases: [{steps: 1, batch: 1}]\n")
    with pytest.raises(BadInput, match="does not end with a stage"):
        run_config(config, export=tmp_path / "model")


def test_other_files_are_refused(tmp_path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("name: something\n")
    with pytest.raises(BadInput, match="describes no VAE"):
        run_config(config)
    with pytest.raises(BadInput, match="read"):
        run_config(tmp_path / "missing.yaml")

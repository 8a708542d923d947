"""From a run to a model directory: the averaged weights, the settings, the empty prompt."""

import pytest
import torch

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import locate_model
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.precision import is_kept_wide
from onetoall_cli.training.checkpoints import load_checkpoint
from onetoall_cli.training.export import export_run, load_model_or_run
from onetoall_cli.training.recipe import DataSettings, TrainingSettings
from onetoall_cli.training.settings import dump_settings
from onetoall_cli.training.trainer import train
from onetoall_cli.weights import prompt_embeddings
from onetoall_cli.weights.loading import load_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory, micro_settings) -> TrainingSettings:
    settings = micro_settings(
        output=tmp_path_factory.mktemp("runs") / "arm",
        stage=2,
        steps=2,
        lr=1e-2,
        ema=0.9,
        warmup=1,
        checkpoint_every=1,
        video_share=0.0,
        data=DataSettings(),
        conditions={"change_pose": 0.0, "hide_face": 0.0, "reference_pose": False},
    )
    train(settings)
    return settings


def rounded(name: str, value: torch.Tensor) -> torch.Tensor:
    """A weight as models are published: in bfloat16, but for what must stay wide."""
    return value if is_kept_wide(name) else value.bfloat16().float()


def test_an_exported_run_is_a_model_for_every_command(run, tmp_path) -> None:
    assert export_run(run.output, tmp_path / "model") == run
    location = locate_model(str(tmp_path / "model"))
    network = load_network(location, torch.float32)
    finished = OneToAllTransformer3DModel.from_pretrained(run.output / "network").state_dict()
    assert all(torch.equal(value, rounded(name, finished[name])) for name, value in network.state_dict().items())
    assert (location.defaults.short_side, location.defaults.pose_canvas_short_side) == (32, 64)
    prompts = prompt_embeddings(location, ["", location.defaults.negative_prompt])
    assert [tuple(rows.shape) for rows in prompts] == [(1, 226, 8)] * 2 and not any(rows.any() for rows in prompts)


def test_a_checkpoint_gives_its_averaged_weights(run, tmp_path) -> None:
    first = run.output / "checkpoints" / "step-0000001"
    export_run(run.output, tmp_path / "model", checkpoint=first)
    network = load_network(locate_model(str(tmp_path / "model")), torch.float32).state_dict()
    averaged = load_checkpoint(first).average
    assert averaged and all(torch.equal(network[name], rounded(name, value)) for name, value in averaged.items())
    finished = OneToAllTransformer3DModel.from_pretrained(run.output / "network").state_dict()
    assert any(not torch.equal(value, finished[name]) for name, value in network.items())


def test_a_run_without_the_references_pose_is_measured_without_it(run) -> None:
    subject = load_model_or_run(str(run.output))
    assert (subject.name, subject.defaults.face, subject.defaults.reference_pose) == ("arm", "full", False)
    named = load_model_or_run(str(run.output / "checkpoints" / "step-0000002"))
    assert named.name == "arm @ 2"


def test_a_run_that_moved_is_found_where_it_is(run, tmp_path) -> None:
    run.output.rename(tmp_path / "moved")
    try:
        assert export_run(tmp_path / "moved", tmp_path / "model").output == tmp_path / "moved"
    finally:
        (tmp_path / "moved").rename(run.output)


def test_a_run_before_its_first_checkpoint_is_refused(run, tmp_path) -> None:
    (tmp_path / "settings.yaml").write_text(dump_settings(run.changed(output=tmp_path)))
    with pytest.raises(BadInput, match="no checkpoint"):
        export_run(tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_config_can_say_how_its_model_samples(run, tmp_path) -> None:
    wanted = run.changed(generation={"num_inference_steps": 4, "shift": 3.0})
    (run.output / "settings.yaml").write_text(dump_settings(wanted))
    try:
        export_run(run.output, tmp_path / "model")
    finally:
        (run.output / "settings.yaml").write_text(dump_settings(run))
    defaults = locate_model(str(tmp_path / "model")).defaults
    assert (defaults.num_inference_steps, defaults.shift, defaults.max_segment_frames) == (4, 3.0, 13)
    with pytest.raises(ValueError, match="no_such"):
        run.changed(generation={"no_such": 1})

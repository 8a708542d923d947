"""What a run needs: parts that add up, and changes that make it fit."""

from types import SimpleNamespace

import pytest

from onetoall_cli.training import plan as planning
from onetoall_cli.training.plan import TrainingPlan, alternatives, plan_training, what_fits
from onetoall_cli.training.recipe import NetworkSettings, TrainingSettings
from onetoall_cli.training.trainer import Trainer


@pytest.fixture(scope="module")
def settings(tmp_path_factory, micro_settings, micro_network) -> TrainingSettings:
    model = NetworkSettings(**{**micro_network, "num_layers": 4, "num_reference_layers": 2, "num_pose_layers": 1})
    output = tmp_path_factory.mktemp("plan") / "run"
    return micro_settings(output=output, stage=3, steps=1, model=model, batch=2, ema=0.9)


@pytest.fixture(scope="module")
def plan(settings) -> TrainingPlan:
    return plan_training(settings)


def test_the_parts_are_those_of_the_run(settings, plan) -> None:
    network = Trainer(settings).plain_network
    trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
    frozen = sum(each.nbytes for each in network.parameters() if not each.requires_grad)
    assert (plan.trained, plan.memory["frozen weights"]) == (trained, frozen)
    assert plan.memory["optimiser"] == 2 * plan.memory["trained weights"] == 8 * trained
    assert plan.memory["average"] == 4 * trained and plan.checkpoint == 16 * trained
    assert plan.peak == sum(plan.memory.values())


def test_activations_shrink_with_checkpointing(settings, plan) -> None:
    saved = plan_training(settings.changed(gradient_checkpointing=True))
    assert saved.memory["activations"] < 0.9 * plan.memory["activations"]
    assert saved.operations > 1.3 * plan.operations


def test_a_run_that_trains_the_end_alone_keeps_little(settings, plan) -> None:
    end = plan_training(settings.changed(conditions={"trained": ["output_head"]}))
    assert 0 < end.memory["activations"] < plan.memory["activations"]


def test_the_mildest_change_that_fits_is_named(settings, monkeypatch) -> None:
    first, second = (text for text, _ in alternatives(settings))
    assert (first, second) == ("gradient_checkpointing: true", f"{first}, batch: 1, accumulate: 2")
    monkeypatch.setattr(planning, "plan_training", lambda each: SimpleNamespace(peak=10 * each.batch))
    assert [what_fits(settings, free) for free in (20, 10, 1)] == [first, second, None]

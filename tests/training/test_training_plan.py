"""What a run needs: parts that add up, and changes that make it fit."""

import pytest

from onetoall_cli.training.plan import alternatives, plan_training, what_fits
from onetoall_cli.training.recipe import NetworkSettings, TrainingSettings
from onetoall_cli.training.trainer import Trainer


@pytest.fixture
def settings(tmp_path, micro_settings, micro_network) -> TrainingSettings:
    model = NetworkSettings(**{**micro_network, "num_layers": 6, "num_reference_layers": 3})
    return micro_settings(output=tmp_path / "run", stage=3, steps=1, model=model, batch=2, ema=0.9)


def test_the_parts_are_those_of_the_run(settings) -> None:
    plan = plan_training(settings)
    network = Trainer(settings).plain_network
    trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
    frozen = sum(each.nbytes for each in network.parameters() if not each.requires_grad)
    assert (plan.trained, plan.memory["frozen weights"]) == (trained, frozen)
    assert plan.memory["optimiser"] == 2 * plan.memory["trained weights"] == 8 * trained
    assert plan.memory["average"] == 4 * trained and plan.checkpoint == 16 * trained
    assert plan.peak == sum(plan.memory.values())


def test_activations_grow_with_the_batch_and_shrink_with_checkpointing(settings) -> None:
    one, two = (plan_training(settings.changed(batch=batch)).memory["activations"] for batch in (1, 2))
    assert 1.8 < two / one < 2.2
    saved = plan_training(settings.changed(gradient_checkpointing=True)).memory["activations"]
    assert saved < 0.8 * two


def test_the_mildest_change_that_fits_is_named(settings) -> None:
    first, _ = next(alternatives(settings))
    assert first == "gradient_checkpointing: true"
    assert what_fits(settings, plan_training(settings).peak) == first
    assert what_fits(settings, 1) is None

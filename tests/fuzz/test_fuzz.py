"""Damaged inputs of every door end in a result or in one bounded, harmless sentence; the long part is a command."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .doors import DOORS
from .running import attempt, damage, seed_of, warm_up

SEED = 1


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


@pytest.mark.parametrize("name", DOORS)
def test_damaged_inputs_end_in_a_result_or_a_sentence(name: str, seeds: Path, tmp_path: Path) -> None:
    seed = seed_of(name, seeds)
    warm_up(name, seed, tmp_path / "target")
    for index in range(DOORS[name].quick):
        file = damage(name, seed, tmp_path / "target", random.Random(f"{SEED} {name} {index}"))
        bug = attempt(DOORS[name], tmp_path / "target").bug
        assert bug is None, f"input {index}, {file.name}: {bug}"


@pytest.mark.parametrize("name", ["catalogue", "prompt store", "arrays"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rng=st.randoms(use_true_random=False))
def test_what_hypothesis_thinks_of_too(name: str, seeds: Path, tmp_path: Path, rng: random.Random) -> None:
    """The same damage, chosen by hypothesis, which makes a failing one small."""
    damage(name, seed_of(name, seeds), tmp_path / "target", rng)
    assert attempt(DOORS[name], tmp_path / "target").bug is None

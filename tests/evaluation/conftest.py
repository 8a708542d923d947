"""What the evaluation's tests share: one misaligned test puppet with everything that is known about it."""

import pytest


@pytest.fixture(scope="session")
def case():
    from onetoall_cli.evaluation.cases import make_case

    return make_case("misaligned", "test", 3, width=128, height=192, frames=5, canvas_short_side=256)

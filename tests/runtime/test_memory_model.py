"""The memory model against measured memory: every case of `runtime.measure`, each in a process of its own (Linux)."""

import sys

import pytest

from onetoall_cli.bench.memory import CASES, estimated, measured
from onetoall_cli.runtime.plan import MARGIN


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.phase}-{case.width}x{case.height}x{case.frames}")
def test_the_estimate_is_within_the_margin_of_what_is_measured(case):
    assert estimated(case) == pytest.approx(measured(case), rel=MARGIN)

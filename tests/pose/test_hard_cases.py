"""What the manual says of hard cases, in short: the built-in detector finds puppets, and they keep their numbers."""

import hard_cases
import numpy as np
import pytest

from onetoall_cli.pose import open_detector

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["standing, from the front", "seated", "lying", "upside down", "against the light"])
def test_a_puppet_alone_is_found_in_its_place(name):
    with open_detector("builtin") as detector:
        score, _ = hard_cases.measure(hard_cases.CASES[name](), detector)
    assert (score.missed, score.false) == (0, 0)
    assert score.right > 0.8 * score.points


@pytest.mark.parametrize("name", ["two cross", "three cross", "child beside adult"])
def test_everyone_leaves_a_crossing_with_the_number_they_had(name):
    case = hard_cases.CASES[name]()
    with open_detector("builtin") as detector:
        _, found = hard_cases.measure(case, detector)
    begin, end = (dict(hard_cases.matched(case.truth[at], found[at])) for at in (0, -1))
    assert begin == end and len(begin) == case.truth.shape[1]
    assert len(found[0]) == np.count_nonzero(case.truth.any(axis=(0, 2, 3)))

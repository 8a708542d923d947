"""Which passes run for which guidance, and with what weight."""

import pytest

from onetoall_cli.sampling.guidance import FULL, POSE_ONLY, UNCONDITIONAL, guidance_weights


@pytest.mark.parametrize(
    ("scales", "passes"),
    [
        ((2.5, 1.5), {UNCONDITIONAL: -0.5, POSE_ONLY: -1.0, FULL: 2.5}),
        ((1.5, 1.5), {UNCONDITIONAL: -0.5, FULL: 1.5}),
        ((1.0, 1.5), {UNCONDITIONAL: -0.5, POSE_ONLY: 0.5, FULL: 1.0}),
        ((2.0, 1.0), {UNCONDITIONAL: -1.0, FULL: 2.0}),
        ((1.5, 0.0), {UNCONDITIONAL: -0.5, FULL: 1.5}),
        ((1.0, 1.0), {FULL: 1.0}),
        ((0.0, 0.5), {FULL: 1.0}),
    ],
)
def test_the_passes_and_their_weights(scales, passes):
    assert guidance_weights(*scales) == passes


@pytest.mark.parametrize("g_ref", [0.0, 0.7, 1.0, 1.3, 2.5])
@pytest.mark.parametrize("g_pose", [0.0, 1.0, 1.5, 4.0])
def test_weights_sum_to_one(g_ref, g_pose):
    """A velocity that does not depend on the conditions comes out unchanged."""
    assert sum(guidance_weights(g_ref, g_pose).values()) == pytest.approx(1)


def test_the_weighted_sum_is_the_formula():
    v = {UNCONDITIONAL: 3.0, POSE_ONLY: 5.0, FULL: 11.0}
    weighted = sum(weight * v[each] for each, weight in guidance_weights(2.5, 1.5).items())
    assert weighted == pytest.approx(3.0 + 1.5 * (5.0 - 3.0) + 2.5 * (11.0 - 5.0))

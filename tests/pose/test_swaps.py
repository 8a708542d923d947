"""Left and right that change places for a moment are put back; real movement is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from onetoall_cli.pose import PoseSequence, smooth
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.swaps import undo_swaps

FRAMES = 24
PAIRS = {
    "arms": [(5, 6), (7, 8), (9, 10), *zip(range(91, 112), range(112, 133), strict=True)],
    "legs": [(11, 12), (13, 14), (15, 16), (17, 20), (18, 21), (19, 22)],
}


@pytest.fixture
def dance():
    """A person 400 px high who sways, waves and steps."""
    rng = np.random.default_rng(0)
    still = rng.uniform(270, 330, (133, 2))
    sides = {
        5: (260, 200),
        6: (340, 200),
        7: (240, 260),
        8: (360, 260),
        9: (230, 320),
        10: (370, 320),
        11: (275, 340),
        12: (325, 340),
        13: (272, 440),
        14: (328, 440),
        15: (270, 540),
        16: (330, 540),
    }
    for row, place in sides.items():
        still[row] = place
    still[0] = (300, 140)
    phase = np.linspace(0, 4, FRAMES)[:, None]
    keypoints = np.ones((FRAMES, 1, 133, 3), np.float32)
    keypoints[:, 0, :, 0] = still[:, 0] + 25 * np.sin(phase + still[:, 1] / 300)
    keypoints[:, 0, :, 1] = still[:, 1] + 15 * np.cos(1.7 * phase)
    return PoseSequence(keypoints, 600, 600, 24.0)


def swapped(sequence, frames, limbs):
    keypoints = sequence.keypoints.copy()
    for limb in limbs:
        for one, other in PAIRS[limb]:
            keypoints[np.ix_(frames, [0], [one, other])] = keypoints[np.ix_(frames, [0], [other, one])]
    return replace(sequence, keypoints=keypoints)


@pytest.mark.parametrize("frames", [[5], [9, 10], [3, 12, 20]], ids=["one frame", "two frames", "three times"])
@pytest.mark.parametrize("limbs", [["arms"], ["legs"], ["arms", "legs"]], ids=["arms", "legs", "all"])
def test_a_moment_s_swap_is_undone(frames, limbs, dance):
    mended, found = undo_swaps(swapped(dance, frames, limbs))
    np.testing.assert_array_equal(mended.keypoints, dance.keypoints)
    assert np.flatnonzero(found[:, 0]).tolist() == frames


def test_what_is_right_is_left_alone(dance):
    mended, found = undo_swaps(dance)
    np.testing.assert_array_equal(mended.keypoints, dance.keypoints)
    assert not found.any()


def test_arms_that_cross_quickly_are_no_swap(dance):
    keypoints = dance.keypoints.copy()
    for row, way in ((9, 1), (10, -1)):  # wrists pass each other within four frames, and stay
        keypoints[:, 0, row, 0] += way * 140 * np.clip((np.arange(FRAMES) - 8) / 4, 0, 1)
    assert not undo_swaps(replace(dance, keypoints=keypoints))[1].any()


def test_somebody_who_turns_round_stays_turned(dance):
    assert not undo_swaps(swapped(dance, list(range(10, FRAMES)), ["arms", "legs"]))[1].any()


def test_sides_that_change_with_every_frame_are_left_alone(dance):
    flickering = swapped(dance, list(range(0, FRAMES, 2)), ["arms"])
    np.testing.assert_array_equal(undo_swaps(flickering)[0].keypoints, flickering.keypoints)


def test_without_both_sides_nothing_is_said(dance):
    one_sided = swapped(dance, [7], ["arms"]).keypoints.copy()
    one_sided[:, 0, kp.RIGHT_ELBOW, 2] = 0
    assert not undo_swaps(replace(dance, keypoints=one_sided))[1].any()


def test_the_smoothed_motion_does_not_know_of_it(dance):
    np.testing.assert_array_equal(smooth(swapped(dance, [9], ["arms", "legs"])).keypoints, smooth(dance).keypoints)

"""What is said of poses: what is missing or doubtful, when, and what to do."""

from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.pose import PoseSequence, quality_of, smooth
from onetoall_cli.pose import keypoints as kp

REAL = Path(__file__).parents[1] / "data" / "poses_real.npz"
LEGS = [kp.LEFT_HIP, kp.LEFT_KNEE, kp.LEFT_ANKLE, kp.RIGHT_HIP, kp.RIGHT_KNEE, kp.RIGHT_ANKLE]


@pytest.fixture
def dance():
    """A real dance at 10 fps without its doubts, (frames, 133, 3)."""
    keypoints = PoseSequence.load(f"{REAL}:dance_full", fps=10).keypoints[:, 0].copy()
    keypoints[..., 2] = 0.9
    return keypoints


def quality(keypoints):
    return quality_of(PoseSequence(keypoints[:, None], 1080, 1920, fps=10))


def test_a_good_motion_has_nothing_to_be_told(dance):
    assert quality(dance).sentence() == "Quality: nothing missing, no jumps."


def test_what_is_missing_is_named_with_its_times(dance):
    dance[5:8] = 0
    dance[10:14, kp.LEFT_HAND.start :, 2] = 0.2
    dance[16:18, :, 2] = 0.4
    found = quality(dance)
    assert found.absent == ((pytest.approx(0.5), pytest.approx(0.7)),)
    assert found.without_hands == ((pytest.approx(1.0), pytest.approx(1.3)),)
    assert found.unsure == ((pytest.approx(1.6), pytest.approx(1.7)),)
    assert found.parts == pytest.approx(np.array([3, 4, 2]) / len(dance))
    assert "nobody in" in found.sentence() and "(0.5-0.7 s)" in found.sentence() and "--start" in found.sentence()
    assert "\n" not in found.sentence()


def test_a_body_that_is_suddenly_elsewhere_has_jumped(dance):
    dance[10:, :, 0] += 900
    found = quality(dance)
    assert found.jumps == pytest.approx((1.0,)) and found.swaps == ()
    assert "1 x jump or cut (1.0 s)" in found.sentence() and "--preview" in found.sentence()


def test_legs_that_changed_sides_for_good_are_suspected(dance):
    standing = np.repeat(dance[:1], 20, axis=0)
    standing[:, LEGS[:3], 0] += 120
    standing[8:, LEGS] = standing[8:, LEGS[3:] + LEGS[:3]]
    found = quality(standing)
    assert found.swaps == pytest.approx((0.8,)) and found.jumps == ()


@pytest.mark.parametrize("name", ["dance_full", "dance_small", "dance_crouch"])
def test_real_dances_neither_jump_nor_swap(name):
    found = quality_of(smooth(PoseSequence.load(f"{REAL}:{name}", fps=24)))
    assert found.jumps == () and found.swaps == ()


def test_a_single_picture_is_looked_at_too(dance):
    dance[0, kp.LEFT_HAND.start :, 2] = 0
    assert quality(dance[:1]).sentence().startswith("Quality: no hands. ")

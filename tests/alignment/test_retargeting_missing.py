"""Retargeting where keypoints are missing, in the reference or in some frames, or are nonsense."""

from dataclasses import replace

import numpy as np
import pytest
from align_cases import carried, clip, puppet, random_keypoints, row_sets, seeds, still, two_bodies, without
from hypothesis import given, settings

from onetoall_cli.alignment.retargeting import NOSE_TIP
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import keypoints as kp


@settings(max_examples=40)
@given(seeds, row_sets, row_sets)
def test_any_subset_of_missing_keypoints_is_fine(seed, missing_here, missing_there):
    reference, motion = two_bodies(seed, frames=3)
    keypoints = motion.keypoints.copy()
    keypoints[1, 0, list(missing_there)] = 0  # one frame has less than the others
    motion = replace(motion, keypoints=keypoints)
    reference = replace(reference, keypoints=without(reference.keypoints, missing_here))
    try:
        result, *_ = carried(motion, reference)
    except BadInput:  # nothing left to align at
        return
    assert np.isfinite(result.keypoints).all()
    assert np.array_equal(result.keypoints[..., 2], motion.keypoints[..., 2])
    assert not result.keypoints[result.keypoints[..., 2] == 0].any()


@settings(max_examples=40)
@given(seeds)
def test_any_nonsense_from_a_detector_gives_finite_points(seed):
    rng = np.random.default_rng(seed)
    reference, motion = still(random_keypoints(rng, 1)[0]), clip(random_keypoints(rng, 3))
    try:
        result, *_ = carried(motion, reference)
    except BadInput:
        return
    assert np.isfinite(result.keypoints).all()


def straight_arm(upper, fore):
    """One body whose left arm hangs straight down, with lengths in px."""
    body = puppet(np.random.default_rng(11), swing=0.0)[0]
    shoulder, wrist = body[kp.LEFT_SHOULDER, :2], body[kp.LEFT_WRIST, :2].copy()
    body[kp.LEFT_ELBOW, :2] = shoulder + np.array([0, upper])
    body[kp.LEFT_WRIST, :2] = shoulder + np.array([0, upper + fore])
    body[kp.LEFT_HAND, :2] += body[kp.LEFT_WRIST, :2] - wrist
    return without(body, [kp.RIGHT_ELBOW])  # no mirror image to agree with


def test_beyond_a_lost_elbow_the_arm_keeps_its_whole_length():
    driver, reference = straight_arm(100, 100), straight_arm(130, 70)
    frames = np.stack([driver, without(driver, [kp.LEFT_ELBOW])])
    result, *_ = carried(clip(frames), still(reference), wanted=0)
    assert result.keypoints[1, 0, kp.LEFT_WRIST] == pytest.approx(result.keypoints[0, 0, kp.LEFT_WRIST], abs=0.01)
    assert result.keypoints[1, 0, kp.LEFT_HAND] == pytest.approx(result.keypoints[0, 0, kp.LEFT_HAND], abs=0.01)


@pytest.mark.parametrize(
    ("lost", "part"), [(kp.NOSE, kp.FACE), (kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_WRIST, kp.RIGHT_HAND)]
)
def test_a_face_or_hand_is_enough_to_know_where_nose_or_wrist_is(lost, part):
    reference, motion = two_bodies(22, frames=4)
    keypoints = motion.keypoints.copy()
    keypoints[:, 0, kp.LEFT_HAND.start] = keypoints[:, 0, kp.LEFT_WRIST]
    keypoints[:, 0, kp.RIGHT_HAND.start] = keypoints[:, 0, kp.RIGHT_WRIST]
    keypoints[:, 0, NOSE_TIP] = keypoints[:, 0, kp.NOSE]
    expected, anchor, _ = carried(replace(motion, keypoints=keypoints), reference)
    other = (anchor + 1) % 4
    keypoints[other, 0, lost] = 0
    result, *_ = carried(replace(motion, keypoints=keypoints), reference, wanted=anchor)
    assert result.keypoints[other, 0, part] == pytest.approx(expected.keypoints[other, 0, part], abs=0.01)
    assert not result.keypoints[other, 0, lost].any()


@pytest.mark.parametrize("lost", [[kp.LEFT_ELBOW], [kp.LEFT_WRIST], [kp.NOSE], [kp.LEFT_SHOULDER], [kp.LEFT_HIP]])
def test_a_joint_lost_in_one_frame_leaves_the_rest_of_the_body_near_its_place(lost):
    reference, motion = two_bodies(21, frames=5)
    expected, anchor, _ = carried(motion, reference)
    keypoints = motion.keypoints.copy()
    other = (anchor + 1) % 5
    keypoints[other, 0, lost] = 0
    result, *_ = carried(replace(motion, keypoints=keypoints), reference, wanted=anchor)
    kept = result.keypoints[other, 0, :, 2] > 0
    moved = np.linalg.norm((result.keypoints - expected.keypoints)[other, 0, kept, :2], axis=-1)
    height = np.ptp(reference.keypoints[0, 0, :, 1])
    assert moved.max() < 0.12 * height

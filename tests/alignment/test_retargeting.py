from dataclasses import replace

import numpy as np
import pytest
from align_cases import (
    DRIVERS,
    PAIRS,
    carried,
    clip,
    mirrored,
    person,
    puppet,
    real,
    seeds,
    still,
    two_bodies,
    without,
)
from hypothesis import given, settings

from onetoall_cli.alignment.retargeting import (
    ANKLES,
    BRIDGE_TO_CHIN,
    EYE_CORNERS,
    FEET_ROWS,
    LIMBS,
    NOSE_TIP,
    proportions,
)
from onetoall_cli.alignment.skeleton import FOREARMS, NECK, SEEN_SCORE, distance, seen, with_neck
from onetoall_cli.pose import keypoints as kp

BONES = list(dict.fromkeys(bone for pair in LIMBS for bone in pair))
FEW = settings(max_examples=15)


def directions(keypoints):
    """Unit vectors of all bones, (frames, bones, 2)."""
    body = with_neck(keypoints)
    a, b = np.array(BONES).T
    vectors = body[:, b, :2] - body[:, a, :2]
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# reference equal to driver


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("frame", [0, 9, 23])
def test_a_reference_that_is_the_driver_changes_nothing_on_real_motion(driver, frame):
    motion = real(driver)
    result, *_ = carried(motion, motion.frame(frame), wanted=frame)
    seen_points = motion.keypoints[..., 2] > 0
    assert result.keypoints[seen_points] == pytest.approx(motion.keypoints[seen_points], abs=0.01)


@FEW
@given(seeds)
def test_a_reference_that_is_the_driver_changes_nothing(seed):
    motion = clip(puppet(np.random.default_rng(seed), 5))
    result, *_ = carried(motion, motion.frame(2), wanted=2)
    assert result.keypoints == pytest.approx(motion.keypoints, abs=0.01)


# lengths


@FEW
@given(seeds)
def test_limb_lengths_at_the_anchor_are_the_references(seed):
    reference, motion = two_bodies(seed)
    result, anchor, _ = carried(motion, reference)
    for bone in BONES:
        length = distance(with_neck(person(result, anchor)), *bone)
        assert length == pytest.approx(distance(with_neck(person(reference)), *bone), rel=1e-3), bone


@pytest.mark.parametrize(("reference", "driver"), PAIRS)
def test_limb_lengths_at_the_anchor_are_the_references_on_real_poses(reference, driver):
    pose, motion = real(reference), real(driver)
    result, anchor, body = carried(motion, pose)
    target, before, after = (with_neck(each) for each in (person(pose), person(motion, anchor), person(result, anchor)))
    kept = 0
    for bone in BONES:
        if not (seen(target, *bone) and seen(before, *bone)):
            continue
        if distance(after, *bone) == pytest.approx(distance(target, *bone), rel=1e-3):
            kept += 1
        else:  # only what points at the camera at the anchor, or disagrees with its mirror image
            assert bone in FOREARMS or bone[1] in (kp.LEFT_EAR, kp.RIGHT_EAR)
            assert distance(after, *bone) < 2 * body * distance(before, *bone)
    assert kept >= 9


def test_an_arm_pointing_at_the_camera_at_the_anchor_does_not_grow_out_of_all_proportion():
    rng = np.random.default_rng(3)
    frames = puppet(rng, 20, swing=0.2)
    for elbow, wrist, hand in ((7, 9, kp.LEFT_HAND), (8, 10, kp.RIGHT_HAND)):
        moved = 0.6 * (frames[0, elbow, :2] - frames[0, wrist, :2])
        frames[0, wrist, :2] += moved
        frames[0, hand, :2] += moved
    reference = still(puppet(np.random.default_rng(3), 20, swing=0.2)[0])  # the same body, arms hanging
    result, *_ = carried(clip(frames), reference, wanted=0)
    lengths = distance(with_neck(result.keypoints[:, 0]), 7, 9)
    assert lengths[1:] == pytest.approx(distance(with_neck(frames), 7, 9)[1:], rel=0.05)


def test_left_and_right_that_cannot_both_be_true_share_the_likelier_factor():
    body = puppet(np.random.default_rng(4), swing=0.05)[0]
    reference = body.copy()
    reference[kp.LEFT_WRIST, :2] = 0.6 * reference[kp.LEFT_ELBOW, :2] + 0.4 * reference[kp.LEFT_WRIST, :2]
    factors = proportions(with_neck(reference), with_neck(body[None]), 0, 1.0)
    assert factors.limbs[kp.LEFT_WRIST] == factors.limbs[kp.RIGHT_WRIST] == pytest.approx(1.0)


def test_limbs_the_reference_does_not_show_follow_their_mirror_image_then_the_limb_before():
    body = puppet(np.random.default_rng(5), swing=0.05)[0]
    reference = without(body, [kp.LEFT_ELBOW, kp.LEFT_KNEE, kp.RIGHT_KNEE, *ANKLES])
    reference[kp.RIGHT_ELBOW, :2] += 0.2 * (reference[kp.RIGHT_ELBOW, :2] - reference[kp.RIGHT_SHOULDER, :2])
    reference[kp.LEFT_HIP : kp.RIGHT_HIP + 1, 1] += 30
    limbs = proportions(with_neck(reference), with_neck(body[None]), 0, 1.0).limbs
    assert limbs[kp.LEFT_ELBOW] == limbs[kp.RIGHT_ELBOW] == pytest.approx(1.2)
    assert limbs[kp.LEFT_KNEE] == limbs[kp.LEFT_ANKLE] == limbs[kp.LEFT_HIP] > 1.01


def test_a_length_that_no_figure_has_is_taken_for_a_mistake():
    body = puppet(np.random.default_rng(9), swing=0.05)[0]
    reference = body.copy()
    for elbow, wrist in ((7, 9), (8, 10)):
        reference[wrist, :2] += 5 * (reference[wrist, :2] - reference[elbow, :2])
    limbs = proportions(with_neck(reference), with_neck(body[None]), 0, 1.0).limbs
    assert limbs[kp.LEFT_WRIST] == limbs[kp.LEFT_ELBOW] == pytest.approx(1.0)


def test_a_face_seen_from_the_side_at_the_anchor_is_not_blown_up():
    body = puppet(np.random.default_rng(10), swing=0.05)[0]
    profile = body.copy()
    profile[kp.FACE, 0] = body[kp.NOSE, 0] + 0.1 * (body[kp.FACE, 0] - body[kp.NOSE, 0])
    factors = proportions(with_neck(body), with_neck(profile[None]), 0, 1.0)
    assert factors.face == pytest.approx((1.0, 1.0), rel=1e-3)


# directions


@pytest.mark.parametrize(("reference", "driver"), PAIRS)
def test_limb_directions_of_every_frame_are_kept_on_real_motion(reference, driver):
    motion = real(driver)
    result, *_ = carried(motion, real(reference))
    assert directions(result.keypoints[:, 0]) == pytest.approx(directions(motion.keypoints[:, 0]), abs=2e-3)


@FEW
@given(seeds)
def test_limb_directions_of_every_frame_are_kept(seed):
    reference, motion = two_bodies(seed)
    result, *_ = carried(motion, reference)
    assert directions(result.keypoints[:, 0]) == pytest.approx(directions(motion.keypoints[:, 0]), abs=2e-3)


# independence of picture shapes and sizes


@FEW
@given(seeds)
def test_the_result_follows_the_references_resolution_and_ignores_the_drivers(seed):
    reference, motion = two_bodies(seed)
    result, *_ = carried(motion, reference)
    smaller = replace(motion, keypoints=motion.keypoints * np.array([0.3, 0.3, 1]), width=300, height=450)
    larger = replace(reference, keypoints=reference.keypoints * np.array([2, 2, 1]), width=1600, height=2600)
    assert carried(smaller, reference)[0].keypoints == pytest.approx(result.keypoints, abs=0.05)
    doubled = result.keypoints * np.array([2, 2, 1])
    assert carried(motion, larger)[0].keypoints == pytest.approx(doubled, abs=0.1)


def test_the_result_ignores_the_aspect_of_either_picture():
    reference, motion = real("ref_half"), real("dance_crouch")
    result, *_ = carried(motion, reference)
    landscape = replace(motion, keypoints=motion.keypoints + np.array([700, 0, 0]) * (motion.keypoints[..., 2:] > 0))
    landscape = replace(landscape, width=2600, height=1440)
    assert carried(landscape, reference)[0].keypoints == pytest.approx(result.keypoints, abs=0.05)
    padded = replace(reference, width=4000)
    assert carried(motion, padded)[0].keypoints == pytest.approx(result.keypoints, abs=0.05)
    assert (carried(motion, padded)[0].width, carried(motion, padded)[0].height) == (4000, 2024)


# ground and neck


def lowest_foot(keypoints):
    feet = np.atleast_3d(keypoints)[..., list(FEET_ROWS), :]
    return np.where(feet[..., 2] >= SEEN_SCORE, feet[..., 1], -np.inf).max(axis=-1)


@FEW
@given(seeds)
def test_feet_stay_on_the_references_ground(seed):
    reference, motion = two_bodies(seed)
    result, anchor, body = carried(motion, reference)
    driver = lowest_foot(motion.keypoints[:, 0])
    expected = lowest_foot(reference.keypoints[0]) + body * (driver - driver[anchor])
    assert lowest_foot(result.keypoints[:, 0]) == pytest.approx(expected, abs=0.1)


def test_feet_stay_on_the_ground_of_a_real_reference():
    reference, motion = real("dance_full").frame(0), real("dance_small")
    result, anchor, body = carried(motion, reference)
    driver = lowest_foot(motion.keypoints[:, 0])
    expected = lowest_foot(reference.keypoints[0]) + body * (driver - driver[anchor])
    assert lowest_foot(result.keypoints[:, 0]) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("reference", "driver"), PAIRS)
def test_without_feet_in_the_reference_the_neck_keeps_its_place(reference, driver):
    pose, motion = real(reference), real(driver)  # none of these references shows an ankle
    result, anchor, body = carried(motion, pose)
    before, after = (with_neck(each.keypoints[:, 0])[:, NECK, :2] for each in (motion, result))
    expected = with_neck(person(pose))[NECK, :2] + body * (before - before[anchor])
    assert after == pytest.approx(expected, abs=0.05)


def test_losing_sight_of_the_feet_for_a_while_makes_no_jump():
    reference, motion = two_bodies(12, frames=9)
    expected, anchor, _ = carried(motion, reference)
    hidden = motion.keypoints.copy()
    hidden[4:6, :, list(FEET_ROWS)] = 0
    result, *_ = carried(replace(motion, keypoints=hidden), reference, wanted=anchor)
    shift = result.keypoints[:, 0, kp.NOSE, 1] - expected.keypoints[:, 0, kp.NOSE, 1]
    correction = np.diff(expected.keypoints[:, 0, kp.NOSE, 1] - motion.keypoints[:, 0, kp.NOSE, 1])
    assert np.abs(shift).max() < 3 * np.abs(correction).max()
    assert shift[[0, 1, 2, 3, 6, 7, 8]] == pytest.approx(0, abs=0.05)


# hands, feet, face


@FEW
@given(seeds)
def test_hands_keep_their_shape_and_stay_on_the_wrists(seed):
    reference, motion = two_bodies(seed)
    result, _, body = carried(motion, reference)
    for wrist, hand in ((kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_WRIST, kp.RIGHT_HAND)):
        before, after = (
            each.keypoints[:, 0, hand, :2] - each.keypoints[:, 0, [wrist], :2] for each in (motion, result)
        )
        assert after == pytest.approx(body * before, abs=0.1)


@FEW
@given(seeds)
def test_the_face_gets_the_references_width_and_height_and_keeps_nose_and_expression(seed):
    reference, motion = two_bodies(seed)
    result, anchor, _ = carried(motion, reference)
    for line in (EYE_CORNERS, BRIDGE_TO_CHIN):
        wanted = distance(person(reference), *line)
        assert distance(person(result, anchor), *line) == pytest.approx(wanted, rel=0.02)
    tip = result.keypoints[:, 0, NOSE_TIP, :2] - result.keypoints[:, 0, kp.NOSE, :2]
    assert np.abs(tip).max() < 0.01 * distance(person(reference), kp.NOSE, kp.LEFT_ANKLE)
    before, after = (
        each.keypoints[:, 0, kp.FACE, :2] - each.keypoints[:, 0, [kp.NOSE], :2] for each in (motion, result)
    )
    for frame in range(len(motion)):  # the same linear map of the plane for all landmarks: expression kept
        linear, residual, *_ = np.linalg.lstsq(before[frame], after[frame], rcond=None)
        assert residual.max() < 1e-2
        assert np.linalg.det(linear) > 0


def test_a_tilted_head_is_widened_along_its_own_width():
    body = puppet(np.random.default_rng(6), swing=0.01)[0]
    face = body[kp.FACE, :2] - body[kp.NOSE, :2]
    tilted = body.copy()
    tilted[kp.FACE, :2] = body[kp.NOSE, :2] + face @ np.array([[0, 1], [-1, 0]])  # lying on its side
    wide = body.copy()
    wide[kp.FACE, :2] = body[kp.NOSE, :2] + face * [1.3, 1.0]
    result, *_ = carried(clip(np.stack([body, tilted])), still(wide), wanted=0)
    grown = distance(with_neck(result.keypoints[:, 0]), *EYE_CORNERS)
    assert grown[1] == pytest.approx(1.3 * distance(body, *EYE_CORNERS), rel=0.02)
    height = distance(with_neck(result.keypoints[:, 0]), *BRIDGE_TO_CHIN)
    assert height[1] == pytest.approx(distance(body, *BRIDGE_TO_CHIN), rel=0.02)


# symmetry and missing points


@FEW
@given(seeds)
def test_a_mirrored_input_gives_the_mirrored_result(seed):
    reference, motion = two_bodies(seed)
    result, *_ = carried(motion, reference)
    other_reference = replace(reference, keypoints=mirrored(reference.keypoints, reference.width))
    other_motion = replace(motion, keypoints=mirrored(motion.keypoints, motion.width))
    assert mirrored(carried(other_motion, other_reference)[0].keypoints, reference.width) == pytest.approx(
        result.keypoints, abs=0.05
    )


def test_a_mirrored_real_motion_gives_the_mirrored_result():
    reference, motion = real("ref_half"), real("dance_crouch")
    result, *_ = carried(motion, reference)
    other_reference = replace(reference, keypoints=mirrored(reference.keypoints, reference.width))
    other_motion = replace(motion, keypoints=mirrored(motion.keypoints, motion.width))
    assert mirrored(carried(other_motion, other_reference)[0].keypoints, reference.width) == pytest.approx(
        result.keypoints, abs=0.05
    )


def test_a_motion_of_one_frame_takes_the_references_limbs():
    reference, motion = two_bodies(30, frames=1)
    result, anchor, _ = carried(motion, reference)
    assert (anchor, len(result)) == (0, 1)
    assert distance(with_neck(person(result)), NECK, kp.NOSE) == pytest.approx(
        distance(with_neck(person(reference)), NECK, kp.NOSE), rel=1e-3
    )


def test_a_long_motion_is_rebuilt_in_blocks_as_in_one_piece(monkeypatch):
    reference, motion = two_bodies(31, frames=5)
    result, *_ = carried(motion, reference)
    monkeypatch.setattr("onetoall_cli.alignment.retargeting.BLOCK", 2)
    assert np.array_equal(carried(motion, reference)[0].keypoints, result.keypoints)

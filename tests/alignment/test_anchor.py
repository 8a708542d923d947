import numpy as np
import pytest
from align_cases import PAIRS, clip, golden, person, puppet, real, still, without
from golden_crop import centre_cropped

from onetoall_cli.alignment import choose_anchor
from onetoall_cli.alignment.skeleton import NECK
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import keypoints as kp


@pytest.mark.parametrize(("reference", "driver"), PAIRS)
def test_anchor_is_the_golden_one_for_the_drivers_own_frame_and_for_its_crop(reference, driver):
    expected = int(golden()[f"anchor.{reference}.{driver}"][0])
    if (reference, driver) == ("ref_standing", "dance_full"):
        expected = 0  # the golden one, 5, is in three-quarter view with folded arms, the reference is not
    pose, motion = real(reference), real(driver)
    assert choose_anchor(person(pose), motion).frame == expected
    assert choose_anchor(person(pose), centre_cropped(motion, pose)).frame == expected


def test_an_upright_frame_of_the_motion_itself_is_its_own_anchor():
    motion = real("dance_small")  # all frames upright
    assert [choose_anchor(person(motion, frame), motion).frame for frame in range(24)] == list(range(24))


def test_a_crouching_turned_first_frame_is_passed_over():
    standing = puppet(np.random.default_rng(1), frames=4, swing=0.05)
    first = standing[0].copy()
    first[[kp.LEFT_KNEE, kp.LEFT_ANKLE], 1] -= 250  # one leg drawn up
    first[[kp.LEFT_SHOULDER, kp.LEFT_ELBOW], 0] -= 140  # and the shoulders seen from the side
    motion = clip(np.concatenate([first[None], standing[1:]]))
    assert choose_anchor(standing[0], motion).frame != 0


def tilted(body, degrees):
    turn = np.radians(degrees)
    result = body.copy()
    result[:, :2] = (body[:, :2] - 500) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 500
    return result


def test_an_upright_frame_goes_before_one_turned_like_the_reference():
    standing = puppet(np.random.default_rng(8), swing=0.02)[0]
    lying = tilted(standing, 40)
    assert choose_anchor(lying, clip(np.stack([lying, standing]))).frame == 1
    assert choose_anchor(lying, clip(np.stack([lying, tilted(standing, 50)]))).frame == 0


@pytest.mark.parametrize("missing", [(), range(11, 23)], ids=["whole", "without hips"])
def test_a_body_turned_aside_comes_last_however_alike_its_limbs_are(missing):
    facing = puppet(np.random.default_rng(10), swing=0.02)[0]
    aside = facing.copy()
    aside[:, 0] = 500 + 0.6 * (facing[:, 0] - 500)  # seen at an angle of 53 degrees
    motion = clip(np.stack([aside, tilted(facing, 15)]))  # the other one is held less like the reference
    anchor = choose_anchor(without(facing, missing), motion)
    assert anchor.frame == 1
    assert "facing alike" in anchor.why


def test_a_head_turned_aside_comes_last():
    facing = puppet(np.random.default_rng(10), swing=0.02)[0]
    aside = facing.copy()
    aside[[kp.LEFT_EAR, kp.RIGHT_EAR], 0] += 0.5 * (facing[kp.LEFT_EAR, 0] - facing[kp.RIGHT_EAR, 0])
    assert choose_anchor(facing, clip(np.stack([aside, tilted(facing, 15)]))).frame == 1


def test_a_small_body_far_away_is_not_mistaken_for_one_turned_aside():
    facing = puppet(np.random.default_rng(10), swing=0.02)[0]
    far = facing * [0.4, 0.4, 1]
    motion = clip(np.stack([far, tilted(facing, 15)]))
    assert choose_anchor(without(facing, range(11, 23)), motion).frame == 0


def test_a_frame_that_lacks_the_neck_goes_after_one_that_has_it_and_little_else():
    body = puppet(np.random.default_rng(9))[0]
    neckless = without(body, [kp.LEFT_SHOULDER])
    legless = without(body, range(11, 23))
    assert choose_anchor(body, clip(np.stack([neckless, legless]))).frame == 1


def test_neither_size_nor_place_of_the_bodies_matters():
    reference, motion = real("ref_half"), real("dance_crouch")
    expected = choose_anchor(person(reference), motion).frame
    moved = motion.keypoints[:, 0] * [0.37, 0.37, 1] + [900, -300, 0]
    enlarged = person(reference) * [2.5, 2.5, 1]
    assert choose_anchor(enlarged, clip(moved, 3000, 400)).frame == expected


def test_a_frame_without_a_person_is_never_the_anchor():
    frames = puppet(np.random.default_rng(2), frames=5)
    frames[:3] = 0
    assert choose_anchor(puppet(np.random.default_rng(3))[0], clip(frames)).frame >= 3


def test_without_shoulders_the_noses_are_pinned():
    frames = without(puppet(np.random.default_rng(4), frames=3), [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER])
    reference = puppet(np.random.default_rng(5))[0]
    assert choose_anchor(reference, clip(frames)).pin == kp.NOSE
    assert choose_anchor(reference, clip(puppet(np.random.default_rng(4)))).pin == NECK


def test_the_anchor_asked_for_is_taken():
    anchor = choose_anchor(person(real("ref_half")), real("dance_full"), 9)
    assert anchor.frame == 9
    assert "--anchor" in anchor.why


@pytest.mark.parametrize("frame", [24, -1])
def test_an_anchor_outside_the_motion_is_refused_with_its_range(frame):
    with pytest.raises(BadInput, match="0 to 23"):
        choose_anchor(person(real("ref_half")), real("dance_full"), frame)


def test_an_anchor_without_a_person_is_refused():
    frames = puppet(np.random.default_rng(6), frames=2)
    frames[0] = 0
    with pytest.raises(BadInput, match="frame 0"):
        choose_anchor(frames[1], clip(frames), 0)


def test_a_reference_without_a_person_is_told_about_ref_pose():
    with pytest.raises(BadInput) as error:
        choose_anchor(np.zeros((133, 3)), real("dance_full"))
    assert "--ref-pose FILE" in error.value.advice


def test_a_motion_without_a_person_in_any_frame_is_refused():
    with pytest.raises(BadInput, match="any frame"):
        choose_anchor(person(real("ref_half")), clip(np.zeros((3, 133, 3))))


def test_bodies_that_share_no_point_are_refused():
    body = puppet(np.random.default_rng(7))[0]
    only_hand = without(body, [row for row in range(kp.COUNT) if not 91 <= row < 112])
    with pytest.raises(BadInput, match="no usable anchor"):
        choose_anchor(body, clip(only_hand[None]))
    assert choose_anchor(body, still(body)).frame == 0

import cv2
import numpy as np
import pytest
from align_cases import PAIRS, checkerboard, golden, person, puppet, real, without
from golden_crop import centre_cropped
from hypothesis import given, settings
from hypothesis import strategies as st

from onetoall_cli.alignment import body_scale, choose_anchor, height_scale
from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.skeleton import NECK, with_neck
from onetoall_cli.alignment.translation import known, lay_over, place
from onetoall_cli.pose import keypoints as kp

HIPS, SHOULDERS, EARS = (11, 12), (5, 6), (3, 4)


@pytest.mark.parametrize(("reference", "driver"), PAIRS)
def test_scale_is_the_golden_one(reference, driver):
    pose = real(reference)
    motion = centre_cropped(real(driver), pose)
    names = [name for name in golden().files if name.startswith(f"scale.{reference}.{driver}.")]
    assert names
    for name in names:
        anchor = int(name.rsplit(".", 1)[1])
        assert body_scale(person(pose), person(motion, anchor)).ratio == pytest.approx(golden()[name][0], rel=1e-5)


def body_and_its_double():
    body = puppet(np.random.default_rng(0))[0]
    return body, body * [2, 2, 1]


@pytest.mark.parametrize(
    ("missing", "measure"),
    [
        ((), "torso"),
        (HIPS, "shoulder distance"),
        (SHOULDERS, "ear distance"),
        ((*SHOULDERS, *EARS, *HIPS), "nothing"),
    ],
)
def test_the_best_length_that_both_show_is_measured(missing, measure):
    body, double = body_and_its_double()
    scale = body_scale(without(body, missing), double)
    assert measure in scale.measure
    assert scale.ratio == pytest.approx(1.0 if measure == "nothing" else 2.0)


def test_unsure_hips_do_not_set_the_scale_but_unsure_shoulders_do_when_nothing_else_is_there():
    body, double = body_and_its_double()
    double[list(HIPS), 2] = 0.89
    assert body_scale(body, double).measure == "shoulder distance"
    double[:, 2] = 0.5
    assert "torso" in body_scale(body, double).measure


def test_a_degenerate_length_leaves_the_size_alone():
    body, double = body_and_its_double()
    body[list(SHOULDERS), 0] = body[SHOULDERS[0], 0]  # seen exactly from the side
    body = without(body, HIPS)
    body[SHOULDERS[0], 1] = body[SHOULDERS[1], 1]
    assert body_scale(body, double).ratio == 1.0


def turned_aside(body, share):
    """The same seen from aside: everything narrower, nothing lower."""
    middle = with_neck(body)[NECK, 0]
    return np.concatenate([middle + share * (body[:, :1] - middle), body[:, 1:]], axis=1)


@pytest.mark.parametrize(
    ("missing", "measure"),
    [((), "height of torso and head"), (HIPS, "height of head"), (EARS, "height of torso")],
)
def test_turning_aside_does_not_change_a_bodys_height(missing, measure):
    body, double = body_and_its_double()
    reference = without(turned_aside(body, 0.5), missing)
    scale = height_scale(reference, double)
    assert scale.measure == measure
    assert scale.ratio == pytest.approx(2.0, rel=0.03)
    assert body_scale(reference, double).ratio > 2.5


def test_without_a_height_the_widths_count():
    body, double = body_and_its_double()
    reference = without(body, (*HIPS, *EARS))
    assert height_scale(reference, double) == body_scale(reference, double)


def test_unsure_hips_set_no_scale_but_ears_under_hair_do():
    body, double = body_and_its_double()
    double[list(HIPS), 2] = 0.89
    double[list(EARS), 2] = 0.5
    assert height_scale(body, double).measure == "height of head"


@pytest.mark.parametrize("dance", ["dance_full", "dance_crouch"])
@pytest.mark.parametrize("hidden", [(), range(11, 23)], ids=["whole", "bust"])
def test_a_dancer_is_as_large_as_in_other_frames_of_the_dance(dance, hidden):
    motion = real(dance)
    errors = []
    for frame in range(len(motion)):
        reference = without(person(motion, frame), hidden)
        for half in (motion[:12], motion[12:]):
            driver = person(half, choose_anchor(reference, half).frame)
            errors.append([abs(np.log(scale(reference, driver).ratio)) for scale in (height_scale, body_scale)])
    by_height, by_width = np.mean(errors, axis=0)
    assert by_height < 0.05
    assert by_height < 0.5 * by_width


def test_the_reference_neck_lands_on_the_anchor_neck():
    reference, driver = person(real("ref_half")), person(real("dance_full"), 3)
    where = lay_over(reference, driver, NECK, 0.4)
    assert where.points(with_neck(reference)[NECK, :2]) == pytest.approx(with_neck(driver)[NECK, :2])
    assert where.scale == 0.4


placements = st.builds(Similarity, st.floats(0.05, 4), st.floats(-120, 120), st.floats(-120, 120))


@settings(max_examples=30)
@given(placements)
def test_mask_is_true_exactly_where_a_pixel_centre_falls_outside_the_picture(where):
    inside = known((70, 50), where, 96, 64)
    for y in range(0, 64, 7):
        for x in range(0, 96, 5):
            u, v = where.inverse().points(np.array([x + 0.5, y + 0.5]))
            assert inside[y, x] == (0 <= u < 70 and 0 <= v < 50)


@settings(max_examples=20)
@given(placements)
def test_unknown_is_black_and_known_keeps_the_pictures_colours_to_its_very_edge(where):
    picture = np.full((50, 70, 3), 200, np.uint8)
    placed = place(picture, person(real("ref_half")) * [70 / 1024, 50 / 2024, 1], where, 96, 64, canvas_short_side=128)
    assert not placed.picture[placed.mask].any()
    assert not placed.pose[placed.mask].any()
    assert (placed.picture[~placed.mask] == 200).all()


def test_the_picture_left_in_place_is_the_picture():
    picture = checkerboard(64, 48)
    placed = place(picture, np.zeros((133, 3)), Similarity(), 48, 64)
    assert np.array_equal(placed.picture, picture)
    assert not placed.mask.any()


@pytest.mark.parametrize("scale", [0.8, 2.5])
def test_picture_mask_and_pose_move_alike(scale):
    body = puppet(np.random.default_rng(8), size=150, at=(60, 50))[0]
    picture = np.zeros((200, 120, 3), np.uint8)
    cv2.circle(picture, (60, 50), 6, (255, 255, 255), -1)  # on the neck
    where = Similarity(scale, 37.0, 21.0)
    placed = place(picture, body, where, 352, 528, canvas_short_side=704)
    neck = where.points(np.array([60.5, 50.5]))
    brightness = placed.picture[..., 0].astype(float)
    y, x = np.mgrid[:528, :352] + 0.5
    centre = [(axis * brightness).sum() / brightness.sum() for axis in (x, y)]
    assert centre == pytest.approx(neck, abs=0.1)
    ys, xs = np.nonzero(~placed.mask)
    assert (xs.min(), ys.min()) == (37, 21)
    assert (xs.max() + 1, ys.max() + 1) == (37 + 120 * scale, 21 + 200 * scale)
    shoulder = where.points(body[kp.LEFT_SHOULDER, :2]).astype(int)
    assert placed.pose[shoulder[1] - 2 : shoulder[1] + 3, shoulder[0] - 2 : shoulder[0] + 3].any()


def test_the_reference_pose_is_drawn_without_its_face():
    face_only = person(real("ref_half"))
    face_only[: kp.FACE.start] = 0
    face_only[kp.FACE.stop :] = 0
    placed = place(checkerboard(2024, 1024), face_only, Similarity(0.2), 208, 416, canvas_short_side=416)
    assert not placed.pose.any()


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    placed = place(stripes, np.zeros((133, 3)), Similarity(0.1), 40, 40)
    assert abs(placed.picture.astype(int) - 127).max() <= 2

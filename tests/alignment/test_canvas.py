import numpy as np
import pytest
from align_cases import clip, person, puppet, real
from hypothesis import given
from hypothesis import strategies as st

from onetoall_cli.alignment import unusual_size, working_size
from onetoall_cli.alignment.canvas import contain, cover, movement_box, union, view
from onetoall_cli.errors import BadInput

sides = st.integers(16, 5000)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((1080, 2179), 384, (384, 768)),
        ((1920, 1080), 384, (672, 384)),
        ((300, 400), 384, (288, 400)),  # never enlarged
        ((576, 1024), 576, (576, 1024)),
        ((20, 3000), 384, (16, 3000 // 16 * 16)),
    ],
)
def test_working_size_limits_the_short_side_and_floors_to_16(size, short_side, expected):
    assert working_size(*size, short_side) == expected


@given(sides, sides, st.integers(16, 1024))
def test_working_size_is_a_multiple_of_16_no_larger_than_the_picture(width, height, short_side):
    result = working_size(width, height, short_side)
    assert all(side % 16 == 0 and side >= 16 for side in result)
    assert result[0] <= width and result[1] <= height
    assert min(result) <= short_side


def test_a_short_side_below_one_token_is_refused():
    with pytest.raises(BadInput, match="too small"):
        working_size(100, 100, 8)


@given(sides, sides, sides, sides)
def test_cover_fills_the_canvas_and_contain_stays_on_it(w, h, width, height):
    corners = np.array([[0, 0], [w, h]])
    low, high = cover((0, 0, w, h), width, height).points(corners)
    assert (low <= 1e-6).all() and (high >= np.array([width, height]) - 1e-6).all()
    assert low + high == pytest.approx(np.array([width, height]))  # centred
    low, high = contain((0, 0, w, h), width, height).points(corners)
    assert (low >= -1e-6).all() and (high <= np.array([width, height]) + 1e-6).all()
    assert low + high == pytest.approx(np.array([width, height]))


@pytest.mark.parametrize("driver", ["dance_full", "dance_small", "dance_crouch"])
@pytest.mark.parametrize("canvas", [(384, 672), (672, 384), (512, 512)])
def test_fit_motion_is_the_smallest_frame_of_the_canvas_aspect_that_holds_the_movement(driver, canvas):
    motion = real(driver)
    box = movement_box(motion.keypoints[:, 0])
    (left, top), (right, bottom) = view("motion", box, box, *canvas).points(np.array(box).reshape(2, 2))
    assert min(left, top) >= -1e-6 and right <= canvas[0] + 1e-6 and bottom <= canvas[1] + 1e-6
    assert right - left == pytest.approx(canvas[0]) or bottom - top == pytest.approx(canvas[1])


def test_the_movement_includes_the_crown_and_leaves_out_guesses():
    body = puppet(np.random.default_rng(0))
    body[..., 2] = 0.9
    left, top, right, bottom = movement_box(body)
    low, high = body[0, :, :2].min(axis=0), body[0, :, :2].max(axis=0)
    margin = low[0] - left
    assert margin > 0
    assert (right - high[0], bottom - high[1]) == pytest.approx((margin, margin))
    assert low[1] - top > margin + 10  # hair
    guess = body.copy()
    guess[0, 9] = (5000, 5000, 0.1)
    assert movement_box(guess)[2] < 2000


def test_nobody_seen_has_no_movement_and_shows_the_frame():
    assert movement_box(np.zeros((2, 133, 3))) is None
    assert view("pad", (0, 0, 100, 50), None, 32, 32) == contain((0, 0, 100, 50), 32, 32)
    assert view("crop", (0, 0, 100, 50), None, 32, 32) == cover((0, 0, 100, 50), 32, 32)
    assert union((0, 0, 1, 1), None) == (0, 0, 1, 1)


def test_a_single_point_still_has_a_box():
    body = np.zeros((1, 133, 3))
    body[0, 0] = (10, 20, 1)
    x0, y0, x1, y1 = movement_box(body)
    assert x0 < 10 < x1 and y0 < 20 < y1


def test_the_movement_of_a_clip_is_that_of_all_its_frames():
    motion = real("dance_full")
    whole = movement_box(motion.keypoints[:, 0])
    single = movement_box(clip(person(motion, 9)[None]).keypoints[:, 0])
    assert whole[0] <= single[0] + 40 and whole[2] >= single[2] - 40
    assert (whole[2] - whole[0]) * (whole[3] - whole[1]) > (single[2] - single[0]) * (single[3] - single[1])


LANDSCAPE, PORTRAIT = (0.0, 0.0, 1600.0, 900.0), (384, 672)


@pytest.mark.parametrize("left", [560, 700, 740])
def test_crop_shows_the_middle_of_the_frame_while_the_body_is_there(left):
    movement = (left, 100, left + 300, 850)
    assert view("crop", LANDSCAPE, movement, *PORTRAIT) == cover(LANDSCAPE, *PORTRAIT)


@pytest.mark.parametrize("movement", [(100, 100, 400, 850), (1290, 100, 1590, 850), (-50, 100, 200, 850)])
def test_crop_slides_to_a_body_at_the_side_without_leaving_the_frame(movement):
    placed = view("crop", LANDSCAPE, movement, *PORTRAIT)
    (left, _), (right, _) = placed.inverse().points(np.array([[0, 0], PORTRAIT]))
    assert left <= max(movement[0], 0) + 1e-6 and right >= min(movement[2], 1600) - 1e-6
    assert left >= -1e-6 and right <= 1600 + 1e-6
    assert placed.scale == cover(LANDSCAPE, *PORTRAIT).scale


def test_crop_takes_the_middle_of_a_movement_too_wide_for_the_canvas():
    placed = view("crop", LANDSCAPE, (100, 100, 900, 850), *PORTRAIT)
    assert placed.points(np.array([500.0, 0]))[0] == pytest.approx(PORTRAIT[0] / 2)


@given(sides, sides, st.floats(-500, 6000), st.floats(1, 4000))
def test_crop_never_shows_anything_outside_the_frame(width, height, left, length):
    placed = view("crop", (0, 0, width, height), (left, left, left + length, left + length), 384, 672)
    low, high = placed.points(np.array([[0, 0], [width, height]]))
    assert (low <= 1e-6).all() and (high >= np.array([384, 672]) - 1e-6).all()


@pytest.mark.parametrize("short_side", [192, 384, 576])
@pytest.mark.parametrize("shape", [(1, 1), (16, 9), (9, 16), (9, 20), (2.39, 1)])
def test_usual_shapes_at_a_models_own_size_are_not_remarked_upon(shape, short_side):
    size = working_size(round(2000 * shape[0]), round(2000 * shape[1]), short_side)
    assert unusual_size(*size, short_side) is None


@pytest.mark.parametrize(
    ("width", "height", "fault"),
    [
        (8000, 48, "167 times as long"),
        (48, 8000, "167 times as long"),
        (384, 1056, "2.8 times as long"),
        (64, 64, "0.016 times the area"),
        (1536, 2048, "12 times the area"),
    ],
)
def test_sizes_far_from_the_training_are(width, height, fault):
    warning = unusual_size(width, height, 384)
    assert f"{width} x {height}" in warning and fault in warning and "384 x 672" in warning

"""Outpainting masks: the box round the face has the recipe's geometry, whatever the face."""

import numpy as np
import pytest

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.training.masks import CENTRE_PART, all_but, centre_box, face_box, face_centred_box, small_hole

WIDTH, HEIGHT = 128, 192


def person(left: float = 50, top: float = 40, right: float = 80, bottom: float = 80, score: float = 1.0) -> np.ndarray:
    """Keypoints whose 68 landmarks fill a box."""
    points = np.zeros((kp.COUNT, 3))
    rng = np.random.default_rng(0)
    face = rng.uniform((left, top), (right, bottom), (68, 2))
    face[:2] = (left, top), (right, bottom)
    points[kp.FACE, :2], points[kp.FACE, 2] = face, score
    return points


def boxes(points: np.ndarray, count: int = 2000, **options) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([face_centred_box(points, WIDTH, HEIGHT, rng, **options) for _ in range(count)])


def test_the_whole_face_stays_known() -> None:
    found = boxes(person())
    assert (found[:, 0] <= 50).all() and (found[:, 2] >= 80).all()
    assert (found[:, 1] <= 40).all() and (found[:, 3] >= 80 + 12).all()


def test_the_top_leaves_room_for_hair() -> None:
    assert (boxes(person())[:, 1] == 40 - int(np.ceil(0.71 * 40))).all()


def test_the_bottom_is_uniform_down_to_nine_tenths_of_the_frame() -> None:
    bottom = boxes(person())[:, 3]
    assert bottom.min() <= 94 and bottom.max() == pytest.approx(0.9 * HEIGHT, abs=2)
    quarters = np.histogram(bottom, bins=4, range=(92.4, 0.9 * HEIGHT))[0]
    assert (np.abs(quarters - 500) < 90).all()


def test_the_box_keeps_the_frames_aspect_and_its_left_edge_is_uniform() -> None:
    found = boxes(person())
    wide, high = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    free = high * WIDTH / HEIGHT > 32  # otherwise the face is wider than the aspect allows
    np.testing.assert_allclose(wide[free], high[free] * WIDTH / HEIGHT, atol=2.5)
    some = found[(high > 90) & (high < 110)]
    first, last = 80 - 110 * WIDTH / HEIGHT, 50
    assert some[:, 0].min() < first + 12 and some[:, 0].max() > last - 4


def test_other_room_around_the_face_can_be_asked_for() -> None:
    found = boxes(person(), room=(0.1, 0.9), room_below=0.1)
    assert found[:, 1].min() <= 6 and 34 <= found[:, 1].max() <= 36
    assert found[:, 3].min() <= 86


def test_a_face_that_cannot_be_used_gives_no_box() -> None:
    for points in (np.zeros((kp.COUNT, 3)), person(score=0.1), person(50, 40, 52, 42)):
        assert face_centred_box(points, WIDTH, HEIGHT, np.random.default_rng(0)) is None
    left, top, right, bottom = centre_box(WIDTH, HEIGHT)
    expected = [WIDTH * (1 - CENTRE_PART) / 2, HEIGHT * (1 - CENTRE_PART) / 2]
    assert [left, top] == pytest.approx(expected, abs=1)
    assert [WIDTH - right, HEIGHT - bottom] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("face", [(-20, -20, 30, 30), (100, 150, 170, 230), (0, 0, 128, 192)])
def test_faces_at_the_edge_give_boxes_inside_the_picture(face) -> None:
    found = boxes(person(*face), 200)
    assert (found[:, :2] >= 0).all() and (found[:, 2] <= WIDTH).all() and (found[:, 3] <= HEIGHT).all()
    assert (found[:, 2] > found[:, 0]).all() and (found[:, 3] > found[:, 1]).all()


def test_a_mask_hides_all_but_its_box() -> None:
    mask = all_but((3, 5, 20, 9), WIDTH, HEIGHT)
    assert not mask[5:9, 3:20].any() and (~mask).sum() == 4 * 17


def test_a_hole_has_a_twentieth_to_a_fifth_of_each_side() -> None:
    rng = np.random.default_rng(0)
    holes = np.array([small_hole(WIDTH, HEIGHT, rng) for _ in range(500)])
    sides = (holes[:, 2:] - holes[:, :2]) / (WIDTH, HEIGHT)
    assert sides.min() > 0.045 and sides.max() < 0.22


def test_face_box_is_that_of_the_seen_landmarks() -> None:
    points = person()
    points[kp.FACE.start + 5] = (500, 500, 0.0)
    box = face_box(points)
    assert box is not None and (box.left, box.top, box.right, box.bottom) == (50, 40, 80, 80)

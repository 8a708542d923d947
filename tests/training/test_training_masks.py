"""Outpainting masks: the box round the face has the recipe's geometry, whatever the face."""

import numpy as np
import pytest

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.training.masks import CENTRE_PART, face_box, face_centred_box, reference_mask

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
    assert (found[:, 1] <= 40).all() and (found[:, 3] >= 80 + 4).all()


def test_the_top_is_a_tenth_of_the_face_above_it() -> None:
    assert (boxes(person())[:, 1] == 36).all()


def test_the_bottom_is_uniform_down_to_nine_tenths_of_the_frame() -> None:
    bottom = boxes(person())[:, 3]
    assert bottom.min() <= 86 and bottom.max() == pytest.approx(0.9 * HEIGHT, abs=2)
    quarters = np.histogram(bottom, bins=4, range=(84, 0.9 * HEIGHT))[0]
    assert (np.abs(quarters - 500) < 90).all()


def test_the_box_keeps_the_frames_aspect_and_its_left_edge_is_uniform() -> None:
    found = boxes(person())
    wide, high = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    free = high * WIDTH / HEIGHT > 32  # otherwise the face is wider than the aspect allows
    np.testing.assert_allclose(wide[free], high[free] * WIDTH / HEIGHT, atol=2.5)
    some = found[(high > 90) & (high < 110)]
    first, last = 80 - 110 * WIDTH / HEIGHT, 50
    assert some[:, 0].min() < first + 12 and some[:, 0].max() > last - 4


def test_more_room_above_the_face_can_be_asked_for() -> None:
    top = boxes(person(), room=(0.1, 0.9))[:, 1]
    assert top.min() <= 6 and 34 <= top.max() <= 36


def test_without_a_usable_face_the_centre_stays() -> None:
    expected = [WIDTH * (1 - CENTRE_PART) / 2, HEIGHT * (1 - CENTRE_PART) / 2]
    for points in (np.zeros((kp.COUNT, 3)), person(score=0.1), person(50, 40, 52, 42)):
        left, top, right, bottom = boxes(points, 1)[0]
        assert [left, top] == pytest.approx(expected, abs=1)
        assert [WIDTH - right, HEIGHT - bottom] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("face", [(-20, -20, 30, 30), (100, 150, 170, 230), (0, 0, 128, 192), (60, 185, 70, 191)])
def test_faces_at_the_edge_give_boxes_inside_the_picture(face) -> None:
    found = boxes(person(*face), 200)
    assert (found[:, :2] >= 0).all() and (found[:, 2] <= WIDTH).all() and (found[:, 3] <= HEIGHT).all()
    assert (found[:, 2] > found[:, 0]).all() and (found[:, 3] > found[:, 1]).all()


def test_face_centred_mask_hides_everything_but_one_box() -> None:
    rng = np.random.default_rng(0)
    mask = reference_mask(person(), WIDTH, HEIGHT, rng, face_centred=True)
    known = np.argwhere(~mask)
    (top, left), (bottom, right) = known.min(axis=0), known.max(axis=0) + 1
    assert not mask[top:bottom, left:right].any()
    assert (bottom - top) * (right - left) == (~mask).sum()


def test_without_it_a_fifth_of_the_references_has_one_small_hole() -> None:
    rng = np.random.default_rng(0)
    parts = np.array([reference_mask(person(), WIDTH, HEIGHT, rng, face_centred=False).mean() for _ in range(1500)])
    holes = parts[parts > 0]
    assert len(holes) / len(parts) == pytest.approx(0.2, abs=0.03)
    assert holes.max() < 0.21**2 and holes.min() > 0.045**2


def test_face_box_is_that_of_the_seen_landmarks() -> None:
    points = person()
    points[kp.FACE.start + 5] = (500, 500, 0.0)
    box = face_box(points)
    assert box is not None and (box.left, box.top, box.right, box.bottom) == (50, 40, 80, 80)

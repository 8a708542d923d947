"""Pose pictures: the research code's, pixel for pixel; and nothing a detector finds breaks them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onetoall_cli.pose import draw_pose, overlay_pose, to_openpose

DATA = Path(__file__).parents[1] / "data"
REAL = np.load(DATA / "poses_real.npz")
GOLDEN = np.load(DATA / "pose_golden.npz")
STYLES = {
    "default": {},
    "no_face": {"face": "off"},
    "light_face": {"face": "light"},
    "light_head": {"face": "light", "head": "light"},
}


def real(name, index=0):
    keypoints = REAL[name]
    return (keypoints[index] if keypoints.ndim == 3 else keypoints), tuple(REAL[f"{name}_size"].tolist())


@pytest.mark.parametrize("path", sorted((DATA / "draw").glob("*.png")), ids=lambda path: path.stem)
def test_drawing_equals_the_research_code(path):
    name, index, size, style = path.stem.split("-")
    keypoints, canvas = real(name, int(index))
    height, width = map(int, size.split("x"))
    drawn = draw_pose(keypoints, canvas, (height, width), **STYLES[style])
    assert np.array_equal(drawn, np.asarray(Image.open(path).convert("RGB")))


def test_all_golden_pictures_are_here():
    assert {path.stem.split("-")[-1] for path in (DATA / "draw").glob("*.png")} == set(STYLES)


@pytest.mark.parametrize("name", ["dance_full", "ref_standing"])
def test_openpose_points_equal_the_research_code(name):
    pose = to_openpose(REAL[name] if REAL[name].ndim == 3 else REAL[name][None])
    size = REAL[f"{name}_size"]
    for part, points in (("body", pose.body), ("face", pose.face), ("hands", pose.hands)):
        assert np.allclose(points[..., :2] / size, GOLDEN[f"openpose.{name}.{part}"], atol=1e-12, rtol=0)
    assert np.array_equal(pose.body[..., 2], GOLDEN[f"openpose.{name}.score"])


def test_toes_and_neck_need_both_their_points():
    keypoints = np.ones((133, 3)) * [[10, 20, 1]]
    keypoints[17], keypoints[18], keypoints[20] = (10, 0, 0.8), (30, 10, 0.6), (5, 5, 0)
    keypoints[6, 2] = 0
    pose = to_openpose(keypoints)
    assert pose.toes[0].tolist() == pytest.approx([20, 5, 0.7])
    assert pose.toes[1].tolist() == [0, 0, 0] and pose.body[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("side", [288, 720, 2160])
def test_the_pose_is_drawn_on_a_canvas_of_the_given_size_and_then_shrunk(side):
    keypoints, canvas = real("dance_full", 3)
    unshrunk = draw_pose(keypoints, canvas, (side * 16 // 9, side), canvas_short_side=side)
    assert len(np.unique(unshrunk[..., 1])) > 10
    drawn = draw_pose(keypoints, canvas, (256, 144), canvas_short_side=side)
    assert np.array_equal(drawn, cv2.resize(unshrunk, (144, 256), interpolation=cv2.INTER_LINEAR))


def test_what_leaves_the_canvas_is_cut_at_its_edge_not_dropped_or_moved():
    keypoints = np.round(real("dance_full", 3)[0] / [8, 8, 1]) * [4, 4, 1]  # so that every midpoint is a whole pixel
    keypoints[:, 2] = 1
    style = {"canvas": (1000, 1400), "size": (1400, 1000), "canvas_short_side": 1000}
    whole = draw_pose(keypoints, **style)
    assert whole[:300].any() and whole[300:, :200].any()
    moved = draw_pose(keypoints - [200, 300, 0], **style)
    differ = (moved[:1100, :800] != whole[300:, 200:]).any(-1)
    assert differ.sum() <= 5  # cv2 may round an outline by a pixel where it enters the picture
    assert moved[:1100, :800].any(-1).sum() > 1000


def test_points_far_away_or_nowhere_are_left_out():
    keypoints, canvas = real("dance_full", 3)
    unseen, odd = keypoints.copy(), keypoints.copy()
    unseen[[9, 100, 60], 2] = 0
    odd[9, 0], odd[100, 1], odd[60, 0] = np.nan, np.inf, 1e30
    assert np.array_equal(draw_pose(odd, canvas, (256, 144)), draw_pose(unseen, canvas, (256, 144)))
    for reach in (1e4, 1e5, -1e6, 3e9):
        far = keypoints.copy()
        far[:, 0] += reach
        assert not draw_pose(far, canvas, (256, 144)).any()


def test_an_unseen_limb_is_not_drawn_to_the_corner():
    keypoints = np.zeros((133, 3))
    keypoints[[5, 6, 7]] = [[60, 40, 1], [40, 40, 1], [70, 60, 1]]
    drawn = draw_pose(keypoints, (100, 100), (100, 100))
    assert drawn.any() and not drawn[:30].any() and not drawn[:, :30].any()
    assert not draw_pose(np.zeros((133, 3)), (100, 100), (100, 100)).any()


@settings(max_examples=20)
@given(st.lists(st.booleans(), min_size=133, max_size=133), st.sampled_from(sorted(STYLES)))
def test_any_subset_of_keypoints_can_be_drawn(seen, style):
    keypoints, canvas = real("dance_small", 5)
    keypoints = keypoints * np.array([[1, 1, s] for s in seen])
    drawn = draw_pose(keypoints, canvas, (128, 96), canvas_short_side=192, **STYLES[style])
    whole = draw_pose(real("dance_small", 5)[0], canvas, (128, 96), canvas_short_side=192, **STYLES[style])
    assert drawn.shape == (128, 96, 3)
    assert (drawn > 0).any(-1).sum() <= (whole > 0).any(-1).sum()


def test_no_face_differs_only_where_the_face_is():
    keypoints, canvas = real("ref_half")
    full, off = (draw_pose(keypoints, canvas, (640, 352), face=face) for face in ("full", "off"))
    rows, columns = np.nonzero((full != off).any(-1))
    face = keypoints[23:91, :2] / canvas * [352, 640]
    assert len(rows) and columns.min() >= face[:, 0].min() - 3 and columns.max() <= face[:, 0].max() + 3
    assert rows.min() >= face[:, 1].min() - 3 and rows.max() <= face[:, 1].max() + 3


# The overlay for people


def test_the_overlay_marks_people_in_their_places_and_leaves_the_rest():
    image = np.full((480, 640, 3), 90, np.uint8)
    keypoints = np.zeros((2, 133, 3))
    keypoints[0, :17] = np.column_stack([np.linspace(100, 200, 17), np.linspace(200, 400, 17), np.ones(17)])
    keypoints[1] = keypoints[0] + [300, 0, 0]
    before = image.copy()
    result = overlay_pose(image, keypoints)
    assert np.array_equal(image, before) and result.shape == image.shape
    changed = (result != image).any(-1)
    assert changed[200:400, 95:205].any() and changed[200:400, 395:505].any()
    assert not changed[:, 520:].any() and not changed[410:].any() and not changed[:150].any()


def test_the_overlay_scales_keypoints_from_their_canvas():
    image = np.zeros((240, 320, 3), np.uint8)
    keypoints, canvas = real("dance_full", 3)
    scaled = keypoints * [320 / canvas[0], 240 / canvas[1], 1]
    assert np.array_equal(overlay_pose(image, keypoints, canvas=canvas), overlay_pose(image, scaled))


def test_the_overlay_fades_those_not_chosen_and_shows_unsure_points_otherwise():
    image = np.full((480, 640, 3), 90, np.uint8)
    keypoints, canvas = real("dance_full", 3)
    shown = overlay_pose(image, keypoints, canvas=canvas)
    faded = overlay_pose(image, keypoints, canvas=canvas, chosen=1)
    assert np.abs(faded.astype(int) - 90).sum() < np.abs(shown.astype(int) - 90).sum()
    unsure = overlay_pose(image, keypoints * [1, 1, 0.25], canvas=canvas)
    assert (unsure != image).any() and not np.array_equal(unsure, shown)


@pytest.mark.parametrize("shift", [(-700, 0), (5000, 5000), (0, -1600), (3e9, 0)])
def test_the_overlay_of_a_person_partly_or_wholly_outside_is_no_error(shift):
    keypoints, canvas = real("dance_full", 3)
    image = np.zeros((192, 108, 3), np.uint8)
    assert overlay_pose(image, keypoints + np.array([*shift, 0]), canvas=canvas, caption="frame 1").shape == image.shape


def test_the_overlay_of_nobody_is_the_picture():
    image = np.full((60, 80, 3), 7, np.uint8)
    assert np.array_equal(overlay_pose(image, np.zeros((3, 133, 3))), image)
    assert not np.array_equal(overlay_pose(image, np.zeros((3, 133, 3)), caption="no person"), image)

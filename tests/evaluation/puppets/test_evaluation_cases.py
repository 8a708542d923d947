"""Test puppets: the truth agrees with what `align` did, and every measure tells good answers from bad ones."""

import cv2
import numpy as np
import pytest

from onetoall_cli.evaluation.metrics import overlap
from onetoall_cli.evaluation.puppets.baselines import TrainingPictures, copied_reference, filled_reference
from onetoall_cli.evaluation.puppets.cases import REGIONS, TASKS, make_case, region_maps
from onetoall_cli.evaluation.puppets.foreground import backdrop_behind, differing_figure, true_figure
from onetoall_cli.evaluation.puppets.scores import face_boxes, score
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_pair, sample_scene


def test_the_adjusted_reference_shows_the_backdrop_of_the_truth(case) -> None:
    """So the truth is that of the alignment that was used."""
    inside = cv2.erode(case.backdrop_shown.astype(np.uint8), np.ones((3, 3))) > 0
    assert inside.sum() > 150
    shown = case.conditioning.reference[inside].astype(int)
    assert np.abs(shown - case.backdrop[inside]).mean() < 6
    free = case.truth.masks[0] == 0
    np.testing.assert_array_equal(case.truth.frames[0][free], case.backdrop[free])


@pytest.mark.parametrize("task", TASKS)
def test_the_driver_is_where_the_truth_is(task) -> None:
    case = make_case(task, "test", 2, width=96, height=144, frames=5, canvas_short_side=256)
    driver, own = case.conditioning.motion.keypoints[:, 0], case.truth.poses.keypoints[:, 0]
    assert len(driver) == len(case.truth) == (1 if task == "transfer" else 5)
    body = slice(kp.LEFT_SHOULDER, kp.FACE.start)
    seen = driver[:, body, 2] > 0
    assert seen.sum() >= 6 * len(driver)
    np.testing.assert_allclose(driver[:, body, :2][seen], own[:, body, :2][seen], atol=1e-3)
    assert (case.with_driver_face is None) == (task == "aligned")
    assert case.conditioning.mask.any() == (task != "aligned")


def test_regions_have_the_colour_of_the_look() -> None:
    found = 0
    for seed in range(6):
        scene = sample_scene("test", seed, width=128, height=192, frames=1, framing="full")
        frame, look = scene.film().frames[0], scene.identity.look
        for name, pixels in region_maps(scene).items():
            if name in ("top", "shoes") or pixels[0].sum() < 40:  # tops have patterns
                continue
            colour = np.median(frame[pixels[0]], axis=0)
            assert np.abs(colour - getattr(look, REGIONS[name][0])).max() < 40, (seed, name)  # hair is darker behind
            found += 1
    assert found >= 8


def test_a_bust_tells_the_hair_but_not_the_shoes(case) -> None:
    assert {"hair", "top"} <= case.shown
    assert "shoes" not in case.shown and case.regions["shoes"].any()


def test_the_truth_scores_best_and_its_figure_is_found(case) -> None:
    scores = score(case.truth.frames, case)
    assert scores["psnr"] > 58 and scores["joint_px"] == 0 and scores["shown_colour"] == 0
    assert scores["iou"] > 0.85
    assert scores["own_face"] > 20
    copy = score(copied_reference(case.conditioning, len(case.truth)), case)
    assert copy["psnr"] < 25 and copy["iou"] < 0.6 and copy["joint_px"] > 5


def test_the_drivers_face_is_told_from_the_own(case) -> None:
    assert score(case.with_driver_face, case)["own_face"] < -20


def test_a_backdrop_that_nobody_can_know_does_not_count_as_puppet(case) -> None:
    """But one that the reference shows does."""
    figure = true_figure(case)
    near = np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0 for mask in figure])
    result = case.truth.frames.copy()
    other = ~case.backdrop_shown & ~near
    result[other] = 255 - result[other] // 2
    assert overlap(differing_figure(result, case), figure) > 0.8
    shown = np.broadcast_to(case.backdrop_shown, near.shape) & ~near
    result[shown] = 255 - result[shown]
    assert overlap(differing_figure(result, case), figure) < 0.75


def test_a_missing_leg_and_a_still_figure_lower_the_overlap(case, legless) -> None:
    figure = true_figure(case)
    whole = overlap(differing_figure(case.truth.frames, case), figure)
    assert overlap(differing_figure(legless, case), figure) < whole - 0.08


def test_the_own_backdrop_is_what_is_seen_when_the_figure_is_elsewhere() -> None:
    frames = np.full((3, 20, 20, 3), 50, np.uint8)
    figure = np.zeros((3, 20, 20), bool)
    for index in range(3):
        frames[index, 8:12, 5 * index : 5 * index + 3] = 200
        figure[index, 8:12, 5 * index : 5 * index + 3] = True
    nothing = np.zeros((20, 20), bool)
    np.testing.assert_array_equal(backdrop_behind(frames, figure, np.zeros_like(frames[0]), nothing), 50)


def test_a_figure_drawn_too_large_is_not_taken_for_the_backdrop_behind_it() -> None:
    frames = np.full((1, 40, 40, 3), 50, np.uint8)
    frames[:, 8:32, 8:32] = 200
    figure = np.zeros((1, 40, 40), bool)
    figure[:, 14:26, 14:26] = True
    backdrop = np.full((40, 40, 3), 50, np.uint8)
    behind = backdrop_behind(frames, figure, backdrop, ~figure[0])
    np.testing.assert_allclose(behind.astype(int), 50, atol=2)


def test_faces_that_are_turned_away_or_cut_off_have_no_box(case) -> None:
    keypoints = case.truth.poses.keypoints[:1, 0].copy()
    keypoints[:, kp.FACE, 2] = 1
    (box,) = face_boxes(keypoints)
    assert box is not None and box[2] - box[0] >= 6
    keypoints[0, kp.FACE, 2] = 0.5
    assert face_boxes(keypoints) == [None]
    keypoints[0, kp.FACE, 2] = 1
    keypoints[0, 30, 2] = 0
    assert face_boxes(keypoints) == [None]


def test_copies_leave_the_unknown_black_or_fill_it_with_the_colour_beside_it(case) -> None:
    copy = filled_reference(case.conditioning, 2)
    assert not copied_reference(case.conditioning, 2)[:, case.conditioning.mask].any()
    mask = case.conditioning.mask
    np.testing.assert_array_equal(copy[0][~mask], case.conditioning.reference[~mask])
    assert len(np.unique(copy[:, mask].reshape(-1, 3), axis=0)) == 1
    assert np.abs(copy[0][mask][0].astype(int) - case.backdrop.reshape(-1, 3).mean(axis=0)).mean() < 80


def test_the_nearest_training_picture_is_that_of_the_same_pose() -> None:
    pool = TrainingPictures(64, 96, count=6)
    from types import SimpleNamespace

    motion = SimpleNamespace(keypoints=np.zeros((1, 1, kp.COUNT, 3), np.float32))
    motion.keypoints[0, 0, kp.BODY] = pool.bodies[4] + 0.2
    np.testing.assert_array_equal(pool.nearest(SimpleNamespace(motion=motion))[0], pool.frames[4])


def test_test_puppets_are_no_training_puppets() -> None:
    assert sample_pair("transfer", "test", 0, width=64, height=96).target.identity.split == "test"

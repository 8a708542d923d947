import json
from dataclasses import replace

import numpy as np
import pytest
from align_cases import checkerboard, clip, person, puppet, random_keypoints, real, row_sets, seeds, still, without
from hypothesis import given, settings
from hypothesis import strategies as st

from onetoall_cli.alignment import FITS, Conditioning, align, height_scale
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import draw_pose

SMALL = {"width": 96, "height": 160, "canvas_short_side": 192}


def conditioning(mode="pose", **options):
    reference, motion = real("ref_half"), real("dance_small")
    picture = checkerboard(reference.height, reference.width, 64)
    return align(picture, reference, motion[:5], mode=mode, **SMALL | options)


def assert_identical(a, b):
    for name in ("reference", "mask", "reference_pose"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype and np.array_equal(left, right), name
    assert a.motion.keypoints.dtype == b.motion.keypoints.dtype
    assert np.array_equal(a.motion.keypoints, b.motion.keypoints)
    assert (a.motion.width, a.motion.height, a.motion.fps) == (b.motion.width, b.motion.height, b.motion.fps)
    assert np.array_equal(a.motion.clock(), b.motion.clock())
    assert (a.face, a.head, a.canvas_short_side, a.meta) == (b.face, b.head, b.canvas_short_side, b.meta)
    assert np.array_equal(a.pose_frames(0, 5), b.pose_frames(0, 5))


@pytest.mark.parametrize("mode", ["pose", "ref", "none"])
def test_a_saved_folder_loads_as_the_identical_value(tmp_path, mode):
    before = conditioning(mode, face="light")
    before.save(tmp_path / "aligned")
    assert_identical(Conditioning.load(tmp_path / "aligned"), before)


def test_an_uneven_clock_survives_saving(tmp_path):
    before = conditioning()
    times = np.array([0.0, 0.04, 0.1, 0.1234567890123, 0.3])
    before = replace(before, motion=replace(before.motion, times=times, fps=29.97))
    before.save(tmp_path / "aligned")
    assert_identical(Conditioning.load(tmp_path / "aligned"), before)


def test_saving_reports_progress_and_writes_every_file(tmp_path):
    steps = []
    conditioning().save(tmp_path / "aligned", progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 5) for i in range(1, 6)]
    assert {each.name for each in (tmp_path / "aligned").glob("[!.]*")} == {
        "reference.png",
        "mask.png",
        "reference_pose.png",
        "pose.json",
        "pose.mp4",
        "meta.json",
    }


def test_the_mask_picture_is_white_where_nothing_is_known(tmp_path):
    from onetoall_cli.media import read_picture

    before = conditioning()
    before.save(tmp_path / "aligned")
    picture = read_picture(tmp_path / "aligned" / "mask.png")
    assert (picture[before.mask] == 255).all() and not picture[~before.mask].any()


def test_a_save_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        replace(conditioning(), meta={"not json": object()}).save(tmp_path / "aligned")
    assert list(tmp_path.iterdir()) == []


def test_meta_is_plain_json_and_says_what_was_chosen_and_why():
    meta = conditioning("auto").meta
    assert json.loads(json.dumps(meta)) == meta
    assert (meta["mode"], meta["requested_mode"]) == ("pose", "auto")
    assert meta["anchor"] in range(5)
    assert "feet" in meta["why"]
    assert {"scale", "shift", "motion_scale", "body_ratio", "fit", "face", "head"} <= meta.keys()


def test_the_numbers_in_meta_place_the_reference():
    value = conditioning("pose")
    scale, (dx, dy) = value.meta["scale"], value.meta["shift"]
    ys, xs = np.nonzero(~value.mask)
    assert xs.min() == pytest.approx(max(0, dx), abs=1) and ys.min() == pytest.approx(max(0, dy), abs=1)
    assert ys.max() + 1 == pytest.approx(min(160, dy + scale * 2024), abs=1)
    assert value.meta["unknown"] == pytest.approx(value.mask.mean())


def test_pose_frames_are_the_motion_drawn_in_the_chosen_style():
    value = conditioning("pose", face="off", head="light")
    drawn = value.pose_frames(1, 4)
    assert drawn.shape == (3, 160, 96, 3)
    keypoints = value.motion.keypoints[2, 0]
    assert np.array_equal(
        drawn[1], draw_pose(keypoints, (96, 160), (160, 96), face="off", head="light", canvas_short_side=192)
    )


def test_parts_that_do_not_fit_together_are_refused():
    value = conditioning()
    with pytest.raises(ValueError, match="mask"):
        replace(value, mask=value.mask[1:])


@pytest.mark.parametrize("name", ["reference.png", "mask.png", "reference_pose.png", "pose.json", "meta.json"])
def test_a_folder_that_lacks_a_file_is_refused_by_name(tmp_path, name):
    conditioning().save(tmp_path / "aligned")
    (tmp_path / "aligned" / name).unlink()
    with pytest.raises(BadInput, match=name):
        Conditioning.load(tmp_path / "aligned")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "onetoall-conditioning", "version": 99}', '{"format": "other"}']
)
def test_a_meta_file_of_something_else_is_refused(tmp_path, text):
    conditioning().save(tmp_path / "aligned")
    (tmp_path / "aligned" / "meta.json").write_text(text)
    with pytest.raises(BadInput, match=r"meta\.json"):
        Conditioning.load(tmp_path / "aligned")


@pytest.mark.parametrize("drawing", [{}, {"face": "full"}, {"face": "loud", "head": "full", "canvas_short_side": 192}])
def test_a_meta_file_without_a_proper_drawing_style_is_refused(tmp_path, drawing):
    conditioning().save(tmp_path / "aligned")
    path = tmp_path / "aligned" / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"drawing": drawing}))
    with pytest.raises(BadInput, match=r"meta\.json: drawing"):
        Conditioning.load(tmp_path / "aligned")


def test_pictures_of_different_sizes_are_refused(tmp_path):
    conditioning().save(tmp_path / "aligned")
    conditioning(width=112).save(tmp_path / "other")
    (tmp_path / "other" / "mask.png").replace(tmp_path / "aligned" / "mask.png")
    with pytest.raises(BadInput, match="mask"):
        Conditioning.load(tmp_path / "aligned")


# align


def test_pose_mode_pins_the_neck_and_keeps_the_motion_of_the_driver():
    value = conditioning("pose")
    driver = real("dance_small")
    scale, shift = value.meta["motion_scale"], np.array(value.meta["motion_shift"])
    expected = scale * driver.keypoints[:5, 0, :, :2] + shift
    seen = driver.keypoints[:5, 0, :, 2] > 0
    assert value.motion.keypoints[:, 0, :, :2][seen] == pytest.approx(expected[seen], abs=0.01)
    reference_neck = real("ref_half").keypoints[0, 0, 5:7, :2].mean(axis=0)
    neck = value.motion.keypoints[value.meta["anchor"], 0, 5:7, :2].mean(axis=0)
    assert value.meta["scale"] * reference_neck + value.meta["shift"] == pytest.approx(neck, abs=0.01)


def test_ref_mode_shows_the_reference_whole_and_known():
    value = conditioning("ref")
    assert not value.mask.any()
    assert value.meta["scale"] == pytest.approx(max(96 / 1024, 160 / 2024))


def test_fit_motion_holds_the_whole_movement_in_pose_mode():
    for mode in ("pose", "ref", "none"):
        value = conditioning(mode, fit="motion")
        points = value.motion.keypoints[value.motion.keypoints[..., 2] >= 0.3]
        assert points[:, 0].min() >= 0 and points[:, 0].max() <= 96
        assert points[:, 1].min() >= 0 and points[:, 1].max() <= 160


def test_fit_crop_keeps_the_coordinates_outside_the_canvas():
    value = conditioning("pose", width=160, height=96)
    assert value.motion.keypoints[..., 1].max() > 96  # the dancer's legs, cut off by the landscape canvas


def test_fit_pad_shows_the_whole_driving_frame():
    value = conditioning("pose", width=160, height=96, fit="pad")
    assert value.meta["motion_scale"] == pytest.approx(96 / 740)
    assert value.meta["motion_shift"][0] == pytest.approx((160 - 418 * 96 / 740) / 2)


def test_none_mode_moves_nothing_and_compares_nothing():
    value = conditioning("none")
    assert (value.meta["anchor"], value.face, value.head) == (None, "full", "full")
    assert not value.mask.any()


@pytest.mark.parametrize("mode", ["auto", "pose", "ref", "none"])
@pytest.mark.parametrize("fit", ["crop", "pad", "motion"])
def test_one_frame_is_a_motion(mode, fit):
    pose = real("ref_half")
    value = align(checkerboard(2024, 1024, 64), pose, real("dance_full").frame(9), mode=mode, fit=fit, **SMALL)
    assert len(value.motion) == 1
    assert value.pose_frames(0, 1).any()


def test_frames_without_the_person_stay_empty():
    frames = puppet(np.random.default_rng(0), frames=3, size=100, at=(50, 40))
    frames[1] = 0
    value = align(checkerboard(150, 100), still(frames[0], 100, 150), clip(frames, 100, 150), mode="ref", **SMALL)
    assert not value.motion.keypoints[1].any()
    assert not value.pose_frames(1, 2).any()


def test_a_reference_pose_made_at_another_size_of_the_picture_is_scaled_to_it():
    pose = real("ref_half")
    half = replace(pose, keypoints=pose.keypoints * np.array([0.5, 0.5, 1]), width=512, height=1012)
    picture = checkerboard(2024, 1024, 64)
    expected, value = (align(picture, each, real("dance_small")[:5], mode="pose", **SMALL) for each in (pose, half))
    assert np.array_equal(value.mask, expected.mask)
    assert value.meta["shift"] == pytest.approx(expected.meta["shift"], abs=1e-3)


def test_a_reference_pose_of_another_picture_is_refused():
    with pytest.raises(BadInput, match=r"1024 x 2024.*500"):
        align(checkerboard(500, 500), real("ref_half"), real("dance_small"), mode="pose", **SMALL)


@pytest.mark.parametrize("mode", ["auto", "pose", "ref", "none"])
def test_nobody_in_the_reference_is_refused_in_every_mode(mode):
    with pytest.raises(BadInput) as error:
        align(checkerboard(96, 64), still(np.zeros((133, 3)), 64, 96), real("dance_small"), mode=mode, **SMALL)
    assert "--ref-pose FILE" in error.value.advice


def test_head_and_shoulders_alone_can_be_aligned_to_a_full_body():
    pose = real("ref_half")
    bust = replace(pose, keypoints=without(pose.keypoints, range(7, 23)))
    value = align(checkerboard(2024, 1024, 64), bust, real("dance_full")[:5], **SMALL)
    assert value.meta["mode"] == "pose"
    assert value.meta["body_measure"] == "height of head"


@pytest.mark.parametrize("mode", ["pose", "ref"])
def test_bodies_are_brought_to_one_size_by_heights(mode):
    pose, motion = real("ref_turned"), real("dance_full")
    value = align(checkerboard(pose.height, pose.width, 64), pose, motion, mode=mode, **SMALL)
    measured = height_scale(person(pose), person(motion, value.meta["anchor"]))
    assert value.meta["body_measure"] == measured.measure
    assert value.meta["body_ratio"] == pytest.approx(measured.ratio, rel=1e-5)


def test_a_dancer_at_the_side_of_a_landscape_video_stays_in_a_portrait_output():
    pose, motion = real("ref_half"), real("dance_small")[:5]
    aside = motion.keypoints + np.array([900, 0, 0]) * (motion.keypoints[..., 2:] > 0)
    value = align(checkerboard(2024, 1024, 64), pose, replace(motion, keypoints=aside, width=1318), **SMALL)
    points = value.motion.keypoints[value.motion.keypoints[..., 2] > 0.3]
    assert points[:, 0].min() >= 0 and points[:, 0].max() <= 96


def test_a_reference_that_would_lie_outside_the_output_is_refused_with_a_way_out():
    pose, motion = real("ref_half"), real("dance_small")[:3]
    frames = motion.keypoints.copy()
    frames[0] += np.array([30000, 0, 0]) * (frames[0][..., 2:] > 0)  # far outside the driving frame
    with pytest.raises(BadInput, match="outside the output") as error:
        align(checkerboard(2024, 1024, 64), pose, replace(motion, keypoints=frames), mode="pose", anchor=0, **SMALL)
    assert "--fit" in error.value.advice


TINY = {"width": 48, "height": 64, "canvas_short_side": 64}
any_mode, any_fit = st.sampled_from(["auto", "pose", "ref", "none"]), st.sampled_from(FITS)


def aligned_or_refused(picture, reference, motion, mode, fit):
    try:
        value = align(picture, reference, motion, mode=mode, fit=fit, **TINY)
    except BadInput:
        return
    assert json.loads(json.dumps(value.meta)) == value.meta
    assert np.isfinite(value.motion.keypoints).all()
    assert not value.reference[value.mask].any()
    assert value.pose_frames(0, len(value.motion)).shape == (len(value.motion), 64, 48, 3)


@settings(max_examples=40)
@given(seeds, row_sets, row_sets, any_mode, any_fit)
def test_any_subset_of_missing_keypoints_aligns_or_is_refused_in_words(seed, here, there, mode, fit):
    rng = np.random.default_rng(seed)
    reference = still(without(puppet(rng, size=100, at=(50, 40))[0], here), 100, 150)
    motion = clip(without(puppet(rng, 2), there))
    aligned_or_refused(checkerboard(150, 100), reference, motion, mode, fit)


@settings(max_examples=40)
@given(seeds, any_mode, any_fit)
def test_any_nonsense_from_a_detector_aligns_or_is_refused_in_words(seed, mode, fit):
    rng = np.random.default_rng(seed)
    reference, motion = still(random_keypoints(rng, 1)[0], 100, 150), clip(random_keypoints(rng, 2))
    aligned_or_refused(checkerboard(150, 100), reference, motion, mode, fit)

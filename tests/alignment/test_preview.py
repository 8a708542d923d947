import numpy as np
import pytest
from align_cases import checkerboard, clip, puppet, real, still

from onetoall_cli.alignment import align, anchor_frame, preview_frames, preview_picture
from onetoall_cli.alignment.preview import (
    ANCHOR_COLOUR,
    BLANK,
    COURSE_COLOURS,
    HATCH_DARK,
    HATCH_LIGHT,
    PANEL_HEIGHT,
    REFERENCE_COLOUR,
    _CanvasView,
)


def aligned(mode="pose", frames=5, width=96, height=160):
    pose, motion = real("ref_half"), real("dance_small")[:frames]
    picture = checkerboard(pose.height, pose.width, 64)
    value = align(picture, pose, motion, mode=mode, width=width, height=height, canvas_short_side=192)
    return picture, pose, motion, value


def count(picture, colour):
    return int((picture == np.array(colour)).all(axis=-1).sum())


def test_the_preview_shows_all_four_skeleton_colours_and_the_hatching():
    picture = preview_picture(*aligned())
    for colour in (REFERENCE_COLOUR, ANCHOR_COLOUR, *COURSE_COLOURS, HATCH_DARK, HATCH_LIGHT, BLANK):
        assert count(picture, colour) > 50, colour


def test_nothing_is_hatched_where_all_is_known():
    picture = preview_picture(*aligned("ref"))
    assert count(picture, HATCH_DARK) == count(picture, HATCH_LIGHT) == 0


def test_the_hatching_covers_exactly_the_mask():
    *_, value = aligned()
    shown = _CanvasView(value).show([])
    hatched = (shown == np.array(HATCH_DARK)).all(-1) | (shown == np.array(HATCH_LIGHT)).all(-1)
    inner = PANEL_HEIGHT / (160 + 2 * 0.12 * 160)
    assert hatched.sum() == pytest.approx(value.mask.sum() * inner**2, rel=0.02)


def test_limbs_that_leave_the_canvas_are_seen_leaving_it():
    body = puppet(np.random.default_rng(0), size=150, at=(60, 40), swing=0.01)[0]
    motion = clip(body[None], 120, 200)
    value = align(checkerboard(200, 120), still(body, 120, 200), motion, mode="none", width=112, height=112)
    stage = _CanvasView(value)
    below = stage._to_view.points(np.array([0.0, 112.0]))[1]
    from onetoall_cli.alignment.preview import _Skeleton

    shown = stage.show([_Skeleton("", ANCHOR_COLOUR, value.motion.keypoints[0, 0])])
    assert count(shown[int(below) + 3 :], ANCHOR_COLOUR) > 20


def test_the_driving_picture_is_shown_when_given():
    picture, pose, motion, value = aligned()
    frame = np.full((74, 42, 3), (10, 130, 220), np.uint8)
    shown = preview_picture(picture, pose, motion, value, frame)
    assert count(shown, (10, 130, 220)) > 10000
    assert count(shown, BLANK) == 0


def test_the_anchor_frame_is_what_the_driving_panel_shows():
    *_, value = aligned()
    assert anchor_frame(value) == value.meta["anchor"]
    *_, value = aligned("none")
    assert anchor_frame(value) == 0


@pytest.mark.parametrize("mode", ["pose", "ref", "none"])
def test_a_preview_of_one_frame_and_of_empty_frames_works(mode):
    picture, pose, _, _ = aligned()
    frames = real("dance_small").keypoints[:3, 0].copy()
    frames[[0, 2]] = 0
    for motion in (clip(frames[1:2], 418, 740), clip(frames, 418, 740)):
        value = align(picture, pose, motion, mode=mode, width=96, height=160, canvas_short_side=192)
        assert preview_picture(picture, pose, motion, value).shape[0] > PANEL_HEIGHT
        assert len(list(preview_frames(value, motion))) == len(motion)


def test_preview_frames_are_even_sided_alike_and_made_one_by_one():
    _, _, motion, value = aligned()
    asked = []

    def pictures():
        for index in range(2):  # the video ends early
            asked.append(index)
            yield np.full((74, 42, 3), 200, np.uint8)

    frames = preview_frames(value, motion, pictures())
    first = next(frames)
    assert asked == [0]
    rest = list(frames)
    assert len(rest) == 4
    assert {each.shape for each in (first, *rest)} == {first.shape}
    assert first.shape[0] % 2 == first.shape[1] % 2 == 0
    assert not np.array_equal(rest[0], rest[1])


def test_a_wide_output_fits_too():
    picture, pose, motion, value = aligned(width=320, height=96)
    shown = preview_picture(picture, pose, motion, value)
    assert shown.dtype == np.uint8 and shown.shape[1] > 2 * PANEL_HEIGHT

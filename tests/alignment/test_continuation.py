"""A motion put where a clip ends: it begins at the clip's last pose, at the clip's rate and size."""

from dataclasses import replace

import numpy as np
import pytest
from golden_recipe import DATA

from onetoall_cli.alignment import continue_motion
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp


def dance(name: str = "dance_full", fps: float = 10) -> PoseSequence:
    stored = np.load(DATA / "poses_real.npz")
    width, height = stored[f"{name}_size"]
    return PoseSequence(stored[name][:, None], int(width), int(height), fps=fps)


def necks(sequence: PoseSequence) -> np.ndarray:
    return sequence.keypoints[:, 0, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2].mean(axis=1)


def test_the_next_part_of_the_same_motion_comes_out_where_it_was_on_a_canvas_of_another_size():
    whole = dance()
    scale = np.array([0.2, 0.2, 1], np.float32)
    on_clip = replace(whole, keypoints=whole.keypoints * scale, width=216, height=384)
    # the motion goes on from the clip's very last pose, elsewhere and larger
    moved = replace(whole, keypoints=whole.keypoints * [1.5, 1.5, 1] + np.array([70, -40, 0], np.float32))
    joined = continue_motion(on_clip[:10], moved[9:], frames=5, fps=10)
    assert (joined.width, joined.height, len(joined)) == (216, 384, 5 + 15)
    np.testing.assert_allclose(joined.keypoints[5:], on_clip.keypoints[9:], atol=0.01)
    np.testing.assert_array_equal(joined.keypoints[:5], on_clip.keypoints[5:10])


def test_another_dancer_begins_with_the_neck_where_the_clip_left_it():
    tail = dance("dance_small")[:5]
    joined = continue_motion(tail, dance("dance_full"), frames=5, fps=10)
    np.testing.assert_allclose(necks(joined)[5], necks(joined)[4], atol=0.01)


def test_a_clip_that_ends_turned_aside_goes_on_at_its_size():
    whole = dance()
    tail = replace(whole[:5], keypoints=whole.keypoints[:5] * np.array([0.5, 1, 1], np.float32))  # all widths halved
    joined = continue_motion(tail, whole[4:], frames=5, fps=10)
    torso = joined.keypoints[:, 0, kp.LEFT_HIP, 1] - joined.keypoints[:, 0, kp.LEFT_SHOULDER, 1]
    assert torso[5] == pytest.approx(torso[4], rel=0.05)


def test_a_single_known_pose_is_held_and_the_clips_rate_counts():
    joined = continue_motion(dance()[:1], dance(fps=20), frames=5, fps=10)
    assert len(joined) == 5 + 12 and joined.fps == 10
    assert (joined.keypoints[:5] == joined.keypoints[0]).all()


def test_a_motion_that_begins_empty_is_joined_at_its_first_sight():
    motion = dance()
    keypoints = motion.keypoints.copy()
    keypoints[:3] = 0
    joined = continue_motion(dance()[:5], replace(motion, keypoints=keypoints), frames=5, fps=10)
    np.testing.assert_allclose(necks(joined)[8], necks(joined)[4], atol=0.01)
    assert not joined.present()[5:8].any()


def test_nothing_shared_is_refused_with_the_ways_out():
    blind = dance()[:5]
    with pytest.raises(BadInput, match="--clip-pose"):
        continue_motion(replace(blind, keypoints=blind.keypoints * [1, 1, 0]), dance(), frames=5, fps=10)

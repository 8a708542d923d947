"""Smoothing takes jitter away and leaves motion where and when it was; gaps are bridged, held or reported."""

from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.pose import PoseSequence, fill_gaps, missing_frames, smooth
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.gaps import steady_sight

REAL = Path(__file__).parents[1] / "data" / "poses_real.npz"
CLIPS = ["dance_full", "dance_small", "dance_crouch"]
WRIST = 9


def sequence_of(keypoints, fps=30, times=None):
    return PoseSequence(np.asarray(keypoints)[:, None], 1000, 1000, fps, times)


def standing(frames, noise=0.0, seed=0):
    """A person about 1000 px in diagonal, standing still, all keypoints seen, (frames, 133, 3)."""
    rng = np.random.default_rng(seed)
    still = np.concatenate([np.linspace([200, 50], [500, 990], 17), np.linspace([250, 50], [350, 150], 116)])
    keypoints = np.ones((frames, 133, 3))
    keypoints[..., :2] = still + noise * rng.standard_normal((frames, 133, 2))
    return keypoints


def jitter(keypoints):
    """Length of the second difference, (frames - 2, points)."""
    return np.linalg.norm(np.diff(keypoints[..., :2], 2, axis=0), axis=-1)


def resting(keypoints, window=5, within=0.05):
    """Second differences of points that stay within 5 % of the body's diagonal for 5 frames, (frames - 2, points)."""
    body = keypoints[:, :17, :2]
    size = np.median(np.linalg.norm(np.ptp(body, axis=1), axis=-1))
    rests = np.zeros((len(keypoints) - 2, keypoints.shape[1]), bool)
    for start in range(len(keypoints) - window + 1):
        part = keypoints[start : start + window]
        still = np.linalg.norm(np.ptp(part[..., :2], axis=0), axis=-1) < within * size
        rests[start : start + window - 2] |= still & (part[..., 2] > 0.3).all(axis=0)
    return rests


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("fps", [24, 30])
def test_jitter_of_resting_joints_falls_by_more_than_half_on_real_dances(name, fps):
    sequence = PoseSequence.load(f"{REAL}:{name}", fps=fps)
    before, after = sequence.keypoints[:, 0], smooth(sequence).keypoints[:, 0]
    rests = resting(before)
    assert rests[:, :23].sum() >= 20  # there are body joints at rest to measure

    def rms(keypoints):
        return np.sqrt((jitter(keypoints)[rests] ** 2).mean())

    assert rms(after) < 0.5 * rms(before)


def test_jitter_of_a_standing_person_falls_tenfold():
    noisy = standing(90, noise=2.0)
    assert jitter(smooth(sequence_of(noisy)).keypoints[:, 0]).mean() < 0.1 * jitter(noisy).mean()


def lag_in_frames(truth, result):
    """The shift in time that brings `result` (frames, 2) closest to `truth`, positive when it is late."""
    frames = np.arange(len(truth))
    inner = slice(5, -5)
    shifts = np.arange(-3, 3.01, 0.05)
    errors = []
    for shift in shifts:
        moved = np.stack([np.interp(frames + shift, frames, result[:, axis]) for axis in range(2)], axis=-1)
        errors.append(((moved - truth)[inner] ** 2).sum())
    return shifts[int(np.argmin(errors))]


def test_the_measure_of_lag_finds_a_known_delay():
    t = np.arange(90) / 30
    truth = np.stack([np.sin(9 * t), np.cos(7 * t)], axis=-1)
    late = np.stack([np.sin(9 * (t - 1.5 / 30)), np.cos(7 * (t - 1.5 / 30))], axis=-1)
    assert lag_in_frames(truth, late) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize(("hertz", "reach"), [(0.5, 200), (1, 200), (2, 200), (3, 200), (4, 150)])
def test_a_fast_wrist_neither_lags_nor_shrinks(hertz, reach):
    t = np.arange(90) / 30
    angle = 2 * np.pi * hertz * t
    truth = np.stack([300 + reach * np.sin(angle), 400 + reach / 2 * np.cos(angle)], axis=-1)
    noisy = standing(90, noise=2.0)
    noisy[:, WRIST, :2] = truth + np.random.default_rng(1).normal(0, 2, truth.shape)
    wrist = smooth(sequence_of(noisy)).keypoints[:, 0, WRIST, :2]
    assert abs(lag_in_frames(truth, wrist)) <= 0.1
    assert np.sqrt(((wrist - truth) ** 2).sum(axis=-1).mean()) < 10  # px of a body of 1000


def test_a_sudden_stop_stays_sudden():
    keypoints = standing(60)
    keypoints[:, WRIST, 0] = np.interp(np.arange(60), [20, 26], [100, 700])  # 600 px in a fifth of a second
    wrist = smooth(sequence_of(keypoints)).keypoints[:, 0, WRIST, 0]
    assert np.abs(wrist - keypoints[:, WRIST, 0]).max() < 15
    assert np.abs(wrist[[5, 40]] - [100, 700]).max() < 0.5


def test_a_steady_walk_at_an_unsteady_frame_rate_is_unchanged_up_to_its_ends():
    times = np.cumsum(np.random.default_rng(2).uniform(0.01, 0.08, 50))
    keypoints = standing(50)
    keypoints[..., 0] += 120 * times[:, None]
    result = smooth(sequence_of(keypoints, times=times)).keypoints[:, 0]
    assert np.allclose(result, keypoints, atol=0.05)


def test_smoothing_does_not_depend_on_scale_mirror_or_direction_of_time():
    sequence = PoseSequence.load(f"{REAL}:dance_full", fps=30)
    result = smooth(sequence).keypoints
    other = PoseSequence(sequence.keypoints * [-0.25, 0.25, 1], 270, 480, 30)
    assert np.allclose(smooth(other).keypoints, result * [-0.25, 0.25, 1], atol=1e-3)
    backwards = PoseSequence(sequence.keypoints[::-1], 1080, 1920, 30)
    assert np.allclose(smooth(backwards).keypoints[::-1], result, atol=1e-2)


def test_an_unsure_outlier_is_drawn_back_more_than_a_sure_one():
    offs = []
    for score in (0.15, 1.0):
        keypoints = standing(31)
        keypoints[15, WRIST] += [15, 0, score - 1]
        wrist = smooth(sequence_of(keypoints)).keypoints[15, 0, WRIST, 0]
        offs.append(wrist - keypoints[14, WRIST, 0])
    assert 0 <= offs[0] < 2 < offs[1] < 15


def test_unseen_points_stay_unseen_and_people_do_not_mix():
    a, b = standing(40, noise=3), standing(40, noise=3, seed=1) + np.array([400, 0, 0])
    a[:, 91:112] = 0
    both = PoseSequence(np.stack([a, b], axis=1), 1000, 1000)
    result = smooth(both).keypoints
    assert (result[:, 0, 91:112] == 0).all()
    assert np.array_equal(result[:, 1], smooth(sequence_of(b)).keypoints[:, 0])
    assert result[..., 2].max() <= 1


def test_one_frame_or_an_empty_clip_pass_through():
    one = sequence_of(standing(1))
    assert np.array_equal(smooth(one).keypoints, one.keypoints)
    empty = sequence_of(np.zeros((5, 133, 3)))
    assert not smooth(empty).keypoints.any()


def test_brightness_does_not_flicker():
    keypoints = standing(60)
    keypoints[::2, :17, 2] = 0.6
    scores = smooth(sequence_of(keypoints)).keypoints[:, 0, 0, 2]
    assert np.abs(np.diff(scores)).max() < 0.05 and 0.75 < scores.mean() < 0.85


# What is seen when


def test_a_hand_hovering_around_the_drawing_threshold_does_not_flicker():
    keypoints = standing(60)
    keypoints[:, 91:112, 2] = np.where(np.arange(60) % 3, 0.27, 0.36)[:, None]
    assert (steady_sight(sequence_of(keypoints)).keypoints[:, 0, 91:112, 2] >= 0.3).all()
    keypoints[:, 91:112, 2] = np.where(np.arange(60) % 3, 0.27, 0.33)[:, None]
    assert (steady_sight(sequence_of(keypoints)).keypoints[:, 0, 91:112, 2] == 0).all()


def test_a_sighting_of_two_frames_is_dropped_but_not_at_the_edge_of_the_clip():
    keypoints = standing(60)
    keypoints[:, 91:133, 2] = 0
    keypoints[30:32, 91:112, 2] = 1
    keypoints[:2, 112:133, 2] = 1
    scores = steady_sight(sequence_of(keypoints)).keypoints[:, 0, :, 2]
    assert (scores[:, 91:112] == 0).all()
    assert (scores[:2, 112:133] == 1).all()


def test_a_short_gap_of_one_limb_is_bridged_in_a_straight_line_in_time():
    times = np.cumsum(np.full(30, 1 / 30) + np.tile([0.01, -0.01], 15))
    keypoints = standing(30)
    keypoints[:, WRIST, 0] = 100 + 50 * times
    keypoints[9, WRIST, 2] = 0.5
    truth = keypoints[:, WRIST].copy()
    keypoints[10:15, WRIST] = 0
    result = fill_gaps(sequence_of(keypoints, times=times)).keypoints[:, 0]
    assert np.allclose(result[10:15, WRIST, :2], truth[10:15, :2], atol=1e-2)
    assert (result[10:15, WRIST, 2] == 0.5).all()
    assert np.array_equal(result[:, :WRIST], keypoints[:, :WRIST].astype(np.float32))


def test_gaps_are_bridged_up_to_the_given_length_and_reported():
    keypoints = standing(100)
    keypoints[20:32] = 0  # 0.4 s at 30 fps
    keypoints[50:63] = 0
    sequence = sequence_of(keypoints)
    assert missing_frames(sequence) == [(20, 31), (50, 62)]
    filled = fill_gaps(sequence)
    assert missing_frames(filled) == [(50, 62)]
    assert not filled.keypoints[50:63].any()
    assert missing_frames(fill_gaps(sequence, longest=0.5)) == []
    assert missing_frames(fill_gaps(sequence, longest=0)) == [(20, 31), (50, 62)]


def test_a_short_absence_at_an_end_holds_the_nearest_pose_and_a_long_one_stays_empty():
    keypoints = standing(100, noise=2)
    keypoints[:5], keypoints[80:] = 0, 0
    filled = fill_gaps(sequence_of(keypoints)).keypoints[:, 0]
    assert np.array_equal(filled[:5], np.broadcast_to(filled[5], (5, 133, 3)))
    assert not filled[80:].any()


def test_nobody_at_all_is_one_gap():
    sequence = PoseSequence(np.zeros((7, 2, 133, 3)), 100, 100)
    assert missing_frames(fill_gaps(sequence), person=1) == [(0, 6)]


def test_a_hand_missed_for_a_moment_stays_on_its_moving_wrist():
    frames = 13
    keypoints = np.zeros((frames, 1, kp.COUNT, 3), np.float32)
    path = np.stack([100 + 40 * np.sin(np.arange(frames)), 200 + 15.0 * np.arange(frames)], axis=1)
    keypoints[:, 0, kp.RIGHT_WRIST] = np.concatenate([path, np.ones((frames, 1))], axis=1)
    hand = path[:, None] + np.arange(21)[:, None] * np.array([1.0, 0.5])
    keypoints[:, 0, kp.RIGHT_HAND, :2] = hand
    keypoints[:, 0, kp.RIGHT_HAND, 2] = 0.9
    seen = keypoints.copy()
    seen[3:10, 0, kp.RIGHT_HAND] = 0
    filled = fill_gaps(PoseSequence(seen, 400, 500, fps=30)).keypoints
    np.testing.assert_allclose(filled[:, 0, kp.RIGHT_HAND], keypoints[:, 0, kp.RIGHT_HAND], atol=1e-3)

"""PoseSequence as a value: what it refuses, its clock, slices, people, resampling."""

import subprocess
import sys

import numpy as np
import pytest

from onetoall_cli.pose import PoseSequence


def motion(frames=6, people=1, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0.1, 1.0, (frames, people, 133, 3)) * [640, 480, 1]
    return PoseSequence(keypoints, 640, 480, **kwargs)


def test_it_cannot_be_changed_nor_change_with_its_source():
    source = np.ones((2, 1, 133, 3), np.float32)
    sequence = PoseSequence(source, 10, 10)
    source[:] = 0.5
    assert (sequence.keypoints == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        sequence.keypoints[:] = 0
    with pytest.raises(AttributeError):
        sequence.width = 3


@pytest.mark.parametrize("shape", [(2, 133, 3), (2, 1, 17, 3), (2, 1, 133, 2), (0, 1, 133, 3), (2, 0, 133, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        PoseSequence(np.ones(shape), 10, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    keypoints = np.ones((2, 1, 133, 3))
    keypoints[1, 0, 5, 1] = value
    with pytest.raises(ValueError, match="NaN"):
        PoseSequence(keypoints, 10, 10)


@pytest.mark.parametrize(
    "kwargs",
    [{"fps": 0}, {"fps": np.nan}, {"times": [0.0]}, {"times": [0, 1, 1, 2, 3, 4]}, {"times": [-1, 1, 2, 3, 4, 5]}],
)
def test_impossible_clocks_are_refused(kwargs):
    with pytest.raises(ValueError):
        motion(6, **kwargs)


def test_scores_beyond_one_are_clipped_and_coordinates_off_the_canvas_kept():
    keypoints = np.full((1, 1, 133, 3), 1.3)
    keypoints[..., 0] = -70
    sequence = PoseSequence(keypoints, 10, 10)
    assert (sequence.keypoints[..., 2] == 1).all() and (sequence.keypoints[..., 0] == -70).all()


def test_slices_keep_frames_and_the_distances_in_time():
    times = np.array([0.1, 0.2, 0.5, 0.6, 1.0, 1.3])
    sequence = motion(6, fps=5, times=times)
    part = sequence[2:5]
    assert np.array_equal(part.keypoints, sequence.keypoints[2:5])
    assert np.allclose(part.clock(), [0.1, 0.2, 0.6])
    assert np.array_equal(sequence[:].clock(), times)
    assert sequence.frame(-1).clock() == pytest.approx([0.1])
    with pytest.raises(TypeError):
        sequence[::2]
    with pytest.raises(ValueError, match="0 frames"):
        sequence[4:2]


def test_one_person_and_one_frame_are_sequences_too():
    sequence = motion(4, people=3)
    assert np.array_equal(sequence.person(1).keypoints[:, 0], sequence.keypoints[:, 1])
    assert np.array_equal(sequence.frame(2).keypoints[0], sequence.keypoints[2])
    for wrong in (lambda: sequence.person(3), lambda: sequence.frame(4)):
        with pytest.raises(IndexError):
            wrong()


def test_resampling_follows_a_straight_line_exactly_and_keeps_the_duration():
    times = np.array([0.0, 0.04, 0.13, 0.2, 0.21, 0.4, 0.55, 0.6])
    keypoints = np.ones((8, 1, 133, 3))
    keypoints[..., 0] = (100 * times)[:, None, None]
    sequence = PoseSequence(keypoints, 100, 100, fps=12, times=times)
    result = sequence.resampled(30)
    inside = result.clock() <= times[-1]
    assert np.allclose(result.keypoints[inside, 0, 0, 0], 100 * result.clock()[inside], atol=1e-4)
    assert (result.keypoints[~inside, 0, 0, 0] == np.float32(60)).all()
    assert abs(result.duration - sequence.duration) <= 0.5 / 30 + 1e-9
    assert result.times is None and result.fps == 30


def test_resampling_to_its_own_rate_changes_nothing():
    sequence = motion(7, fps=25)
    assert np.array_equal(sequence.resampled(25).keypoints, sequence.keypoints)
    doubled = sequence.resampled(50)
    assert len(doubled) == 14 and np.allclose(doubled.keypoints[::2], sequence.keypoints, atol=1e-4)


def test_resampling_never_moves_a_point_towards_one_that_was_not_seen():
    keypoints = np.ones((2, 1, 133, 3)) * [50, 50, 1]
    keypoints[1, 0, 9] = 0
    between = PoseSequence(keypoints, 100, 100, fps=1).resampled(8).keypoints[:, 0, 9]
    assert {tuple(point) for point in between.tolist()} == {(50, 50, 1), (0, 0, 0)}
    assert (between[:4, 2] == 1).all() and (between[4:, 2] == 0).all()


def test_a_single_frame_resamples_to_itself():
    sequence = motion(1, fps=30)
    assert np.array_equal(sequence.resampled(10).keypoints, sequence.keypoints)


def test_importing_the_value_brings_neither_torch_nor_cv2():
    code = "import sys, onetoall_cli.pose; sys.exit(bool({'torch', 'cv2', 'av', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""A sequence holds who is seen and nothing else: the same values as the whole array, at the memory of what is seen."""

import tracemalloc

import numpy as np
import pytest

from onetoall_cli.pose import PoseSequence, select_person, smooth, smoothing
from onetoall_cli.pose.sightings import Sightings


def relay(frames, people):
    """People one after the other, one at a time, with 3 s of nobody in between at 10 fps, (frames, people, 133, 3)."""
    rng = np.random.default_rng(0)
    keypoints = np.zeros((frames, people, 133, 3), np.float32)
    turn = frames // people
    for person in range(people):
        stay = slice(person * turn, (person + 1) * turn - 30)
        keypoints[stay, person] = rng.uniform(0.3, 1, (133, 3)) * [600, 400, 1]
        keypoints[stay, person, :, :2] += rng.normal(0, 2, (turn - 30, 133, 2))
    return keypoints


def test_the_array_of_all_frames_and_people_reads_back():
    keypoints = relay(300, 3)
    sequence = PoseSequence(keypoints, 600, 400, fps=10)
    np.testing.assert_array_equal(sequence.keypoints, keypoints)
    np.testing.assert_array_equal(np.stack(list(sequence.by_frame())), keypoints)
    np.testing.assert_array_equal(sequence[50:150].keypoints, keypoints[50:150])
    np.testing.assert_array_equal(sequence.person(1)[50:150].keypoints, keypoints[50:150, [1]])
    np.testing.assert_array_equal(sequence.present(), keypoints.any(axis=(2, 3)))
    with pytest.raises(ValueError, match="read-only"):
        sequence.keypoints[:] = 0


def test_each_visit_is_smoothed_as_if_it_were_all_there_is():
    keypoints = relay(300, 3)
    one = keypoints.sum(axis=1, keepdims=True)  # the three visits of one person
    smoothed = smooth(PoseSequence(one, 600, 400, fps=10)).keypoints
    for start, person in ((0, 0), (100, 1), (200, 2)):
        alone = smooth(PoseSequence(keypoints[:, [person]], 600, 400, fps=10)).keypoints
        np.testing.assert_array_equal(smoothed[start : start + 100], alone[start : start + 100])


def test_memory_goes_by_who_is_seen_and_not_by_who_was_ever_seen(tmp_path):
    """Smoothing, choosing and writing of 20 people of whom one is there at a time."""
    frames, people = 1200, 20
    alone = Sightings.of(relay(frames // people, 1))
    held = Sightings.joined(frames, [[alone.shifted(person * frames // people)] for person in range(people)])
    seen = held.keypoints.nbytes
    assert people * seen == 600 * 20 * 133 * 3 * 4
    tracemalloc.start()
    sequence = smooth(PoseSequence(held, 600, 400, fps=10))
    select_person(sequence)
    sequence.save(tmp_path / "poses.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sequence.people == people
    assert peak < 6 * seen


def test_a_long_visit_is_smoothed_in_stretches_as_if_at_once(monkeypatch):
    sequence = PoseSequence(relay(930, 1), 600, 400, fps=30)
    stretches = smooth(sequence).keypoints
    monkeypatch.setattr(smoothing, "_AT_ONCE", 10_000)
    np.testing.assert_allclose(stretches, smooth(sequence).keypoints, rtol=0, atol=1e-4)


def test_smoothing_takes_no_more_for_a_longer_visit_than_a_few_copies_of_it(monkeypatch):
    monkeypatch.setattr(smoothing, "_AT_ONCE", 100)

    def peak(frames):
        sequence = PoseSequence(relay(frames, 1), 600, 400, fps=30)
        tracemalloc.start()
        smooth(sequence)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(1100) - peak(600) < 5 * 500 * 133 * 3 * 4

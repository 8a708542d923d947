"""Running a detector over a clip: clock, memory, progress, canvas."""

import numpy as np
import onnx_people
import pytest
from onnx_people import GREEN, RED, backdrop, paint

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import find_people, open_detector, select_person
from onetoall_cli.pose.detectors import Detector
from onetoall_cli.pose.detectors.cuts import CutFinder


class Spots(Detector):
    """A person for each bright pixel of the first row, all points at that pixel."""

    name, description, batch_size = "spots", "spots (CPU)", 3

    def detect(self, images):
        answers = []
        for image in images:
            people = np.zeros((int((image[0, :, 0] > 200).sum()), 133, 3), np.float32)
            people[..., 0] = np.flatnonzero(image[0, :, 0] > 200)[:, None] + np.arange(133) % 7
            people[..., 1:] = (5, 1)
            answers.append(people)
        return answers

    def close(self):
        pass


def spots(*columns, width=100):
    image = np.zeros((50, width, 3), np.uint8)
    image[0, list(columns)] = 255
    return image


def detect(frames, **options):
    return find_people(frames, Spots(), **{"width": 100, "height": 50, "fps": 10, **options})


class TestClip:
    def test_columns_are_people_and_the_clock_is_kept(self):
        frames = [(spots(10 + i, 80 - i), i / 10) for i in range(5)]
        sequence = detect(frames)
        assert sequence.keypoints.shape == (5, 2, 133, 3)
        assert (sequence.width, sequence.height, sequence.fps, sequence.times) == (100, 50, 10, None)
        first = select_person(sequence, "left").keypoints[:, 0, 0, 0]
        assert first.tolist() == [10, 11, 12, 13, 14]

    def test_a_variable_frame_rate_is_kept_as_times(self):
        times = [0.0, 0.1, 0.25, 0.3]
        assert detect([(spots(10), time) for time in times]).times == pytest.approx(times)

    def test_times_rounded_to_milliseconds_are_a_constant_rate(self):
        assert detect([(spots(10), round(i / 23.976, 3)) for i in range(200)], fps=23.976).times is None

    def test_frames_are_read_as_they_are_needed(self):
        read, ahead = [], []

        def frames():
            for i in range(20):
                read.append(i)
                yield spots(30), i / 10

        detect(frames(), progress=lambda done, total: ahead.append(len(read) - done), total=20)
        assert len(ahead) == 20 and max(ahead) < Spots.batch_size

    def test_progress_counts_every_frame(self):
        seen = []
        detect([(spots(30), i / 10) for i in range(4)], progress=lambda *state: seen.append(state), total=4)
        assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_a_frame_of_another_size_is_the_canvas_scaled(self):
        sequence = detect([(spots(20), 0.0), (spots(40, width=200), 0.1)])
        assert sequence.keypoints[:, 0, 0, 0].tolist() == [20, 20]

    def test_empty_frames_are_gaps_and_nobody_at_all_is_no_crash(self):
        sequence = detect([(spots(*([30] if i < 3 else [])), i / 10) for i in range(6)])
        assert sequence.present()[:, 0].tolist() == [True] * 3 + [False] * 3
        assert not detect([(spots(), 0.0)]).present().any()

    def test_no_frames_are_bad_input(self):
        with pytest.raises(BadInput, match="no frames"):
            detect([])

    def test_an_error_while_reading_is_passed_on(self):
        def frames():
            yield spots(30), 0.0
            raise BadInput("clip.mp4 is damaged.", "Use another.")

        with pytest.raises(BadInput, match=r"clip\.mp4"):
            detect(frames())

    def test_after_a_cut_that_swaps_sides_people_keep_their_columns(self, tmp_path):
        """The full path, with a network and clothes."""
        files = onnx_people.save_all(tmp_path)
        frames = []
        for i in range(6):
            image = backdrop(400, 240, seed=0) if i < 3 else 255 - backdrop(400, 240, seed=1) // 2
            left, right = (RED, GREEN) if i < 3 else (GREEN, RED)
            paint(image, left, (40 + i, 30, 130 + i, 220), marker=4)
            paint(image, right, (240 - i, 30, 330 - i, 220), marker=4)
            frames.append((image, i / 25))
        with open_detector("vitpose", device="cpu", locate=files.get) as detector:
            sequence = find_people(frames, detector, width=400, height=240, fps=25)
        assert sequence.people == 2
        x = sequence.keypoints[..., 0, 0]
        assert ((x[:3] < 200) != (x[3:] < 200)).all()


def test_a_cut_is_found_where_the_picture_changes_and_not_in_movement():
    finder = CutFinder()
    moving = [np.roll(backdrop(320, 240), 3 * i, axis=1) for i in range(4)]
    bright = [255 - backdrop(320, 240, seed=5) // 2] * 2
    assert [finder.is_cut(frame) for frame in moving + bright] == [False] * 4 + [True, False]

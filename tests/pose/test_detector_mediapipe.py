"""The MediaPipe detector: its mapping to 133 keypoints, where it looks, and what it finds on a real photograph."""

import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose import open_detector
from onetoall_cli.pose.detectors.mediapipe_graphs import Find, PersonLandmarks, Region
from onetoall_cli.pose.detectors.mediapipe_mapping import FACE_SCORE, HAND_SCORE, OUTSIDE_SCORE, to_whole_body
from onetoall_cli.pose.detectors.mediapipe_search import search
from onetoall_cli.pose.detectors.native_noise import without_native_noise


class TestMapping:
    @staticmethod
    def person(**parts):
        """BlazePose point i at (10 i, 5 i) with visibility i / 100; no face and no hands unless given."""
        numbers = np.arange(33, dtype=np.float32)
        body = np.stack([10 * numbers, 5 * numbers, numbers / 100], axis=1)
        none = {"face": None, "left_hand": None, "right_hand": None}
        return PersonLandmarks(body, **{**none, **parts}, next_region=Region(0, 0, 1, 0))

    @staticmethod
    def hand(wrist, length=20.0):
        """21 points from the wrist straight down."""
        return np.array(wrist, np.float32) + np.linspace(0, length, 21, dtype=np.float32)[:, None] * [0, 1]

    def test_body_points_are_blazepose_s_by_name(self):
        points = to_whole_body(self.person(), 1000, 1000)
        blazepose = {
            kp.NOSE: 0, kp.LEFT_EYE: 2, kp.RIGHT_EYE: 5, kp.LEFT_EAR: 7, kp.RIGHT_EAR: 8,
            kp.LEFT_SHOULDER: 11, kp.RIGHT_SHOULDER: 12, kp.LEFT_ELBOW: 13, kp.RIGHT_ELBOW: 14,
            kp.LEFT_WRIST: 15, kp.RIGHT_WRIST: 16, kp.LEFT_HIP: 23, kp.RIGHT_HIP: 24,
            kp.LEFT_KNEE: 25, kp.RIGHT_KNEE: 26, kp.LEFT_ANKLE: 27, kp.RIGHT_ANKLE: 28,
            kp.LEFT_HEEL: 29, kp.RIGHT_HEEL: 30, kp.LEFT_BIG_TOE: 31, kp.LEFT_SMALL_TOE: 31,
            kp.RIGHT_BIG_TOE: 32, kp.RIGHT_SMALL_TOE: 32,
        }  # fmt: skip
        for row, number in blazepose.items():
            assert points[row] == pytest.approx([10 * number, 5 * number, number / 100])

    def test_parts_that_were_not_found_have_no_score(self):
        points = to_whole_body(self.person(), 1000, 1000)
        assert (points[kp.FACE.start :, 2] == 0).all()

    def test_a_face_also_gives_nose_eyes_and_ears(self):
        face = np.random.default_rng(0).uniform(100, 200, (468, 2)).astype(np.float32)
        points = to_whole_body(self.person(face=face), 1000, 1000)
        assert (points[kp.FACE, 2] == FACE_SCORE).all()
        np.testing.assert_array_equal(points[kp.NOSE, :2], face[4])
        np.testing.assert_allclose(points[kp.LEFT_EYE, :2], points[kp.FACE][42:48, :2].mean(axis=0))
        np.testing.assert_array_equal(points[[kp.RIGHT_EAR, kp.LEFT_EAR], :2], face[[234, 454]])
        assert points[kp.NOSE, 2] == 0  # the score stays that of the body point

    def test_hands_go_to_their_own_side(self):
        left, right = self.hand((150, 75)), self.hand((160, 80))[:, ::-1] + np.float32([80, -80])  # points 15 and 16
        points = to_whole_body(self.person(left_hand=left, right_hand=right), 1000, 1000)
        np.testing.assert_array_equal(points[kp.LEFT_HAND, :2], left)
        assert (points[kp.LEFT_HAND, 2] == HAND_SCORE).all()
        np.testing.assert_array_equal(points[kp.RIGHT_HAND, :2], right)

    def test_a_hand_far_from_its_wrist_is_dropped(self):
        points = to_whole_body(self.person(left_hand=self.hand((150, 300))), 1000, 1000)
        assert (points[kp.LEFT_HAND, 2] == 0).all()

    def test_one_hand_found_twice_stays_on_the_nearer_wrist(self):
        hand = self.hand((161, 81))
        points = to_whole_body(self.person(left_hand=hand, right_hand=hand + 1), 1000, 1000)
        assert (points[kp.LEFT_HAND, 2] == 0).all() and (points[kp.RIGHT_HAND, 2] == HAND_SCORE).all()

    def test_points_outside_keep_their_place_and_lose_score(self):
        person = self.person()
        person.body[[23, 24, 25, 26]] = [[-40, 50, 1], [399, 50, 1], [200, 301, 1], [200, 300.6, 1]]
        points = to_whole_body(person, 400, 300)
        assert points[kp.LEFT_HIP].tolist() == pytest.approx([-40, 50, OUTSIDE_SCORE])
        assert points[kp.RIGHT_HIP, 2] == 1
        assert OUTSIDE_SCORE < points[kp.LEFT_KNEE, 2] < points[kp.RIGHT_KNEE, 2] < 1  # falls off at the border


class TestRegions:
    def test_an_upright_body_has_an_upright_square(self):
        region = Region.around((100, 200), (100, 120))
        assert (region.x, region.y, region.size, region.rotation) == (100, 200, 200, 0)  # 2 * 80 * 1.25

    @pytest.mark.parametrize("degrees", [-170, -60, 30, 90, 179])
    def test_a_leaning_body_turns_it(self, degrees):
        angle = math.radians(degrees)
        region = Region.around((0, 0), (50 * math.sin(angle), -50 * math.cos(angle)))
        assert region.rotation == pytest.approx(angle)

    def test_overlap_is_that_of_squares(self):
        unit = Region(0, 0, 2, 0)
        assert unit.overlap(unit) == 1
        assert unit.overlap(Region(1, 0, 2, 0)) == pytest.approx(1 / 3)
        assert unit.overlap(Region(3, 0, 2, 0)) == 0
        assert unit.overlap(Region(0.2, 0.1, 1, 0)) == pytest.approx(1 / 4)  # one inside the other


class LampFinder:
    """Finds a white lamp that is seen whole and covers a certain part of what is looked at."""

    def __init__(self, least, most, score):
        self.least, self.most, self.score = least, most, score

    def find(self, image):
        rows, columns = np.nonzero(image[..., 0] > 127)
        inside = len(rows) and min(rows.min(), columns.min()) > 0 and image[-1].max() == image[:, -1].max() == 0
        if not inside or not self.least <= np.ptp(rows) / max(image.shape) <= self.most:
            return []
        middle = (columns.mean() + 0.5, rows.mean() + 0.5)
        return [Find(Region(*middle, float(np.ptp(rows) + 1), 0.0), middle, self.score)]


def lamp(width, height, x, y, size):
    image = np.zeros((height, width, 3), np.uint8)
    image[y - size // 2 : y + size // 2, x - size // 2 : x + size // 2] = 255
    return image


class TestSearch:
    @pytest.mark.parametrize(
        ("width", "height", "size", "least", "most"),
        [
            (1600, 900, 500, 0.3, 0.6),  # seen in the whole picture
            (1600, 900, 300, 0.3, 0.4),  # only in windows of the shorter side
            (1600, 900, 140, 0.3, 0.4),  # only in windows of half of it
            (600, 800, 560, 0.3, 0.5),  # only with a border
            (4800, 2700, 420, 0.3, 0.4),  # and in a picture that is reduced first
        ],
    )
    def test_whoever_is_found_in_a_view_is_placed_in_the_picture(self, width, height, size, least, most):
        x, y = int(0.52 * width), int(0.5 * height)
        ways = search(LampFinder(least, most, score=0.9), lamp(width, height, x, y, size), thorough=True)
        found = next(way for way in ways if way)
        assert len(found) == 1
        assert found[0].find.chest == pytest.approx((x, y), abs=2)
        assert found[0].find.region.size == pytest.approx(size, abs=8)

    def test_a_quick_search_is_one_way(self):
        assert len(list(search(LampFinder(2, 3, 0.9), lamp(1600, 900, 800, 450, 100), thorough=False))) == 1

    def test_the_unsure_come_last_and_need_proof(self):
        ways = list(search(LampFinder(0.3, 0.6, score=0.4), lamp(900, 900, 450, 450, 400), thorough=True))
        assert all(not way for way in ways[:-1])
        assert [candidate.needs_proof for candidate in ways[-1]] == [True]


class TestNativeNoise:
    def test_noise_is_dropped_and_the_rest_passed_on(self, capfd):
        with without_native_noise():
            noise = [
                "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
                "W0000 00:00:1795.67  6350 a.cc:114] Hm.",
            ]
            for line in [*noise, "E0000 00:00:1795.67  6350 a.cc:114] Broken.", "ours"]:
                os.write(2, f"{line}\n".encode())
        assert capfd.readouterr().err.splitlines() == ["E0000 00:00:1795.67  6350 a.cc:114] Broken.", "ours"]

    def test_an_exception_inside_leaves_stderr_as_it_was(self, capfd):
        with pytest.raises(ValueError), without_native_noise():
            raise ValueError
        os.write(2, b"still here\n")
        assert capfd.readouterr().err == "still here\n"


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("mediapipe")
    with open_detector("mediapipe") as detector:
        yield detector


@pytest.fixture(scope="module")
def portrait():
    """A public-domain photograph that comes with matplotlib, which comes with MediaPipe: Grace Hopper, 512 x 600."""
    matplotlib = pytest.importorskip("matplotlib")
    image = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    return np.ascontiguousarray(image[..., ::-1])


class TestOnAPhotograph:
    def test_every_part_is_where_it_belongs(self, detector, portrait):
        (people,) = detector.detect([portrait])
        assert people.shape == (1, 133, 3)
        person = people[0]
        face = person[kp.FACE]
        # She faces us: her left is on the right of the picture. Places read off the photograph, in pixels.
        seen = {kp.NOSE: (268, 236), kp.LEFT_EYE: (309, 189), kp.RIGHT_EYE: (219, 193),
                kp.LEFT_EAR: (355, 215), kp.RIGHT_EAR: (170, 215), kp.LEFT_SHOULDER: (455, 420),
                kp.RIGHT_SHOULDER: (90, 415)}  # fmt: skip
        for row, place in seen.items():
            assert person[row, :2] == pytest.approx(place, abs=25)
            assert person[row, 2] > 0.9
        chin, jaw, brows, nostrils, mouth = face[8], face[:17], face[17:27], face[31:36], face[48:68]
        assert chin[1] == jaw[:, 1].max() and (np.diff(jaw[1:16, 0]) > 0).all()
        assert brows[:, 1].max() < face[36:48, 1].min() < face[36:48, 1].max() < nostrils[:, 1].min()
        assert nostrils[:, 1].max() < mouth[:, 1].min() and mouth[:, 1].max() < chin[1]
        assert face[36:42, 0].max() < face[42:48, 0].min() and (np.diff(brows[:, 0]) > 0).all()
        assert face[48, 0] < face[54, 0]  # corners of the mouth, right then left

    def test_what_is_below_the_picture_is_no_measure(self, detector, portrait):
        (people,) = detector.detect([portrait])
        hips_and_legs = people[0, kp.LEFT_HIP : kp.FEET.stop]
        assert (hips_and_legs[:, 1] > 600).all() and (hips_and_legs[:, 2] < 0.5).all()

    def test_a_mirrored_picture_swaps_the_sides(self, detector, portrait):
        straight, mirrored = (people[0] for people in detector.detect([portrait, portrait[:, ::-1]]))
        assert mirrored[kp.LEFT_SHOULDER, 0] == pytest.approx(512 - straight[kp.RIGHT_SHOULDER, 0], abs=25)
        assert mirrored[kp.LEFT_EYE, 0] == pytest.approx(512 - straight[kp.RIGHT_EYE, 0], abs=10)

    def test_a_close_up_is_found(self, detector, portrait):
        close = np.ascontiguousarray(portrait[60:420, 110:410])
        (people,) = detector.detect([close])
        assert len(people) == 1
        assert people[0, kp.NOSE, :2] == pytest.approx((268 - 110, 236 - 60), abs=15)

    def test_two_people_are_two(self, detector, portrait):
        both = np.hstack([portrait, np.zeros_like(portrait[:, :80]), portrait[:, ::-1]])
        (people,) = detector.detect([both])
        noses = sorted(people[:, kp.NOSE, 0])
        assert noses == pytest.approx([268, 512 + 80 + 512 - 268], abs=25)

    def test_where_nobody_is_nobody_is_found(self, detector, portrait):
        noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        flag = np.ascontiguousarray(portrait[:300, :120])
        assert [len(people) for people in detector.detect([noise, flag])] == [0, 0]

    def test_pictures_do_not_depend_on_each_other(self, detector, portrait):
        shifted = np.roll(portrait, 12, axis=1)
        alone = detector.detect([portrait])[0]
        np.testing.assert_array_equal(detector.detect([shifted, portrait])[1], alone)

    def test_a_clip_is_followed_through_a_cut_and_an_absence(self, detector, portrait):
        still = [np.roll(portrait, 3 * i, axis=1) for i in range(3)]
        mirrored = [np.ascontiguousarray(frame[:, ::-1]) for frame in still[:2]]
        clip = [*still, *mirrored, np.full_like(portrait, 90), still[0]]
        answers = list(detector.follow(clip))
        assert [len(people) for people in answers] == [1, 1, 1, 1, 1, 0, 1]
        noses = [people[0, kp.NOSE, 0] for people in answers if len(people)]
        expected = [268, 271, 274, 244, 241, 268]
        assert noses == pytest.approx(expected, abs=12)
        for again, people in zip(detector.follow(clip[:3]), answers[:3], strict=True):
            np.testing.assert_array_equal(again, people)


def test_stderr_stays_clean():
    """In a process of its own: MediaPipe talks when its libraries load and its networks open."""
    pytest.importorskip("mediapipe")
    program = (
        "import numpy as np, matplotlib.image, matplotlib as m\n"
        "from onetoall_cli.pose import open_detector\n"
        "picture = matplotlib.image.imread(m.get_data_path() + '/sample_data/grace_hopper.jpg')\n"
        "with open_detector('mediapipe') as detector:\n"
        "    print(len(detector.detect([picture])[0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("1\n", "")

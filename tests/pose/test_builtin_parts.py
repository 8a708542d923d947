"""What the builtin detector is made of, without its networks: mapping to 133 keypoints, regions, anchors, search."""

import math

import numpy as np
import pytest

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.builtin.anchors import Anchors
from onetoall_cli.pose.detectors.builtin.people_finder import Find
from onetoall_cli.pose.detectors.builtin.person_reader import PersonLandmarks, refined
from onetoall_cli.pose.detectors.builtin.regions import Region, body_region, hand_region, tracked
from onetoall_cli.pose.detectors.builtin.search import Proof, search
from onetoall_cli.pose.detectors.builtin.whole_body import FACE_SCORE, HAND_SCORE, OUTSIDE_SCORE, to_whole_body


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
            kp.NOSE: 0,
            kp.LEFT_EYE: 2,
            kp.RIGHT_EYE: 5,
            kp.LEFT_EAR: 7,
            kp.RIGHT_EAR: 8,
            kp.LEFT_SHOULDER: 11,
            kp.RIGHT_SHOULDER: 12,
            kp.LEFT_ELBOW: 13,
            kp.RIGHT_ELBOW: 14,
            kp.LEFT_WRIST: 15,
            kp.RIGHT_WRIST: 16,
            kp.LEFT_HIP: 23,
            kp.RIGHT_HIP: 24,
            kp.LEFT_KNEE: 25,
            kp.RIGHT_KNEE: 26,
            kp.LEFT_ANKLE: 27,
            kp.RIGHT_ANKLE: 28,
            kp.LEFT_HEEL: 29,
            kp.RIGHT_HEEL: 30,
            kp.LEFT_BIG_TOE: 31,
            kp.LEFT_SMALL_TOE: 31,
            kp.RIGHT_BIG_TOE: 32,
            kp.RIGHT_SMALL_TOE: 32,
        }
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
        region = body_region(np.array([100, 200]), np.array([100, 120]))
        assert (region.x, region.y, region.size, region.rotation) == (100, 200, 200, 0)  # 2 * 80 * 1.25

    @pytest.mark.parametrize("degrees", [-170, -60, 30, 90, 179])
    def test_a_leaning_body_turns_it(self, degrees):
        angle = math.radians(degrees)
        region = body_region(np.zeros(2), np.array([50 * math.sin(angle), -50 * math.cos(angle)]))
        assert region.rotation == pytest.approx(angle)

    def test_overlap_is_that_of_squares(self):
        unit = Region(0, 0, 2, 0)
        assert unit.overlap(unit) == 1
        assert unit.overlap(Region(1, 0, 2, 0)) == pytest.approx(1 / 3)
        assert unit.overlap(Region(3, 0, 2, 0)) == 0
        assert unit.overlap(Region(0.2, 0.1, 1, 0)) == pytest.approx(1 / 4)  # one inside the other

    @pytest.mark.parametrize("rotation", [0.0, 0.7, -2.0])
    def test_what_it_shows_and_the_way_back_agree(self, rotation):
        """A bright spot in the crop is, mapped back, where it is in the picture."""
        region = Region(150, 110, 120, rotation)
        (place,) = region.to_picture(np.array([[0.25, 0.625]]))
        picture = np.zeros((240, 320, 3), np.uint8)
        x, y = np.rint(place).astype(int)
        picture[y - 1 : y + 2, x - 1 : x + 2] = 255
        rows, columns = np.nonzero(region.cut(picture, 64)[..., 0] > 127)
        assert (columns.mean() / 64, rows.mean() / 64) == pytest.approx((0.25, 0.625), abs=0.02)

    def test_outside_the_picture_is_its_edge_or_black(self):
        picture = np.full((50, 50, 3), 200, np.uint8)
        beside = Region(-100, 25, 40, 0.0)
        assert (beside.cut(picture, 16) == 200).all()
        assert (beside.cut(picture, 16, border=0) == 0).all()

    @pytest.mark.parametrize("degrees", [0, 50, 180])
    def test_a_hand_s_box_is_taken_along_the_hand(self, degrees):
        upright = np.stack([np.linspace(-5, 5, 21), np.full(21, -90.0)], axis=1)  # fingertips, which do not count
        upright[[0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18], 1] = np.linspace(40, -40, 12)
        upright[[0, 5, 9, 13], 0] = 0  # wrist and knuckles: straight above each other
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        region = hand_region(upright @ np.array([[c, s], [-s, c]]) + 100)
        assert math.degrees(region.rotation) % 360 == pytest.approx(degrees, abs=0.01)
        assert region.size == pytest.approx(2 * 80)
        assert (region.x, region.y) == pytest.approx((100 + 8 * s, 100 - 8 * c), abs=0.5)  # a tenth up

    @pytest.mark.parametrize(
        ("before", "kept"),
        [
            (Region(103, 100, 100, 0.1), True),
            (Region(125, 100, 100, 0.0), False),  # moved on
            (Region(100, 100, 150, 0.0), False),  # grew
            (Region(100, 100, 100, 0.8), False),  # turned
        ],
    )
    def test_a_part_is_read_where_it_was_unless_it_moved_on(self, before, kept):
        found, limits = Region(100, 100, 100, 0.0), {"turn": 40, "shift": 0.2, "growth": 0.4, "margin": 0.1}
        points = np.array([[90, 90], [110, 110]], np.float32)
        assert tracked(points, before, found, **limits) is (before if kept else found)
        assert tracked(points + 40, before, found, **limits) is found  # its points are not where it is now
        assert tracked(None, None, found, **limits) is found


class TestAnchors:
    def test_an_anchor_s_answer_is_off_its_cell(self):
        anchors = Anchors(100, [(4, 1), (2, 2)])  # 16 and 8 anchors
        boxes, logits = np.zeros((24, 8), np.float32), np.full((24, 1), -9, np.float32)
        boxes[6] = [5, -5, 20, 30, 10, 0, 0, 10]  # column 2, row 1 of four
        logits[6] = 2
        boxes[21] = [0, 0, 10, 10, 0, 0, 1, 1]  # column 0, row 1 of two
        logits[21] = 1
        first, second = anchors.decode(boxes, logits, least=0.5)
        assert first.score == pytest.approx(1 / (1 + math.exp(-2)))
        np.testing.assert_allclose(first.points, [[0.725, 0.375], [0.625, 0.475]], atol=1e-6)
        np.testing.assert_allclose(second.points, [[0.25, 0.75], [0.26, 0.76]], atol=1e-6)

    def test_repeats_become_one_at_their_weighted_mean(self):
        anchors = Anchors(100, [(1, 3)])
        boxes = np.array([[0, 0, 40, 40, 0, 0], [4, 0, 40, 40, 8, 0], [45, 0, 40, 40, 45, 0]], np.float32)
        logits = np.array([[0.0], [math.log(3)], [-1]], np.float32)  # scores 0.5, 0.75, 0.27
        first, second = anchors.decode(boxes, logits, least=0.2)
        assert first.score == pytest.approx(0.75)
        assert first.points[0] == pytest.approx([0.5 + 0.08 * 0.6, 0.5])
        assert second.points[0] == pytest.approx([0.95, 0.5])

    def test_nothing_likely_is_nothing(self):
        assert Anchors(100, [(2, 1)]).decode(np.zeros((4, 6)), np.full((4, 1), -200.0), least=0.1) == []


class TestRefinement:
    @staticmethod
    def heat(*cells):
        logits = np.full((1, 16, 16), -30, np.float32)
        for row, column in cells:
            logits[0, row, column] = 5
        return logits

    def test_a_point_moves_to_the_middle_of_the_heat_around_it(self):
        points = np.array([[6.5 / 16, 9.5 / 16]], np.float32)
        np.testing.assert_allclose(refined(points, self.heat((9, 7), (8, 7))), [[7 / 16, 8.5 / 16]], atol=1e-5)

    @pytest.mark.parametrize("cells", [[], [(0, 15)]])  # none; far away
    def test_without_heat_nearby_it_stays(self, cells):
        points = np.array([[6.5 / 16, 9.5 / 16]], np.float32)
        np.testing.assert_array_equal(refined(points, self.heat(*cells)), points)

    def test_a_point_outside_stays(self):
        points = np.array([[-0.1, 0.5]], np.float32)
        np.testing.assert_array_equal(refined(points, self.heat((8, 0))), points)


class LampFinder:
    """Finds a white lamp that is seen whole and covers a certain part of what is looked at."""

    def __init__(self, least, most, score):
        self.least, self.most, self.score = least, most, score

    def find(self, image, view):
        image = view.cut(image, round(view.size), border=0)
        rows, columns = np.nonzero(image[..., 0] > 127)
        inside = len(rows) and min(rows.min(), columns.min()) > 0 and image[-1].max() == image[:, -1].max() == 0
        if not inside or not self.least <= np.ptp(rows) / max(image.shape) <= self.most:
            return []
        middle = (columns.mean() + 0.5, rows.mean() + 0.5)
        (place,) = view.to_picture(np.array([middle]) / view.size)
        return [Find(Region(*place, float(np.ptp(rows) + 1), 0.0), tuple(place), self.score)]


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

    def test_the_unsure_come_late_and_need_a_face(self):
        *before, doubtful, _, _ = search(LampFinder(0.3, 0.6, score=0.4), lamp(900, 900, 450, 450, 400), thorough=True)
        assert not any(before)
        assert [candidate.proof for candidate in doubtful] == [Proof.FACE]

    def test_a_picture_is_also_looked_at_turned(self):
        class Sideways(LampFinder):
            """Sees only what was turned by a quarter."""

            def find(self, image, view):
                return super().find(image, view) if abs(view.rotation) == math.pi / 2 else []

        image = lamp(600, 900, 200, 300, 400)
        *before, turned, filling = search(Sideways(0.3, 0.6, score=0.9), image, thorough=True)
        assert not any(before)
        assert [candidate.find.chest for candidate in turned] == [pytest.approx((200, 300), abs=2)]
        assert {candidate.proof for candidate in (*turned, *filling)} == {Proof.FACE}

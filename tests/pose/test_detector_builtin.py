"""The builtin detector: its mapping to 133 keypoints, where it looks, and that it reads what MediaPipe 0.10.21 did."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.media import open_video, read_picture
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose import open_detector
from onetoall_cli.pose.detectors.builtin.anchors import Anchors
from onetoall_cli.pose.detectors.builtin.networks import FOLDER, Networks
from onetoall_cli.pose.detectors.builtin.people_finder import Find, PeopleFinder
from onetoall_cli.pose.detectors.builtin.person_reader import PersonLandmarks, PersonReader, refined
from onetoall_cli.pose.detectors.builtin.regions import Region, body_region, hand_region, tracked
from onetoall_cli.pose.detectors.builtin.search import DOUBTFUL, Proof, search
from onetoall_cli.pose.detectors.builtin.whole_body import FACE_SCORE, HAND_SCORE, OUTSIDE_SCORE, to_whole_body

PEOPLE = Path(__file__).parents[1] / "data" / "people"
MEDIA = Path(__file__).parents[3] / "shared" / "media"


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


@pytest.fixture(scope="module")
def detector():
    with open_detector("builtin") as detector:
        yield detector


@pytest.fixture(scope="module")
def portrait():
    """Grace Hopper by the United States Navy, in the public domain (from matplotlib's sample data), 512 x 600."""
    return read_picture(PEOPLE / "grace_hopper.jpg")


@pytest.fixture(scope="module")
def networks():
    networks = Networks()
    yield networks
    networks.close()


@pytest.fixture(scope="module")
def answers():
    """MediaPipe's: of single readings, and of whole runs."""
    with np.load(PEOPLE / "mediapipe.npz") as readings, np.load(PEOPLE / "dances.npz") as dances:
        return {**readings, **dances}


class TestAgainstMediaPipe:
    """What MediaPipe's own graphs made of three pictures, kept from before this detector took their place."""

    PICTURES = ("grace_hopper.jpg", "puppet_b.webp", "puppet_c.webp")

    @pytest.mark.parametrize("picture", PICTURES)
    def test_people_are_found_where_it_finds_them(self, picture, networks, answers):
        image = read_picture(PEOPLE / picture)
        height, width = image.shape[:2]
        whole = Region(width / 2, height / 2, max(width, height), 0.0)
        finds = PeopleFinder(networks, DOUBTFUL).find(image, whole)
        expected = answers[f"{Path(picture).stem}.finds"]
        assert len(finds) == len(expected)
        for find, (score, x, y, *region) in zip(finds, expected.tolist(), strict=True):
            assert find.score == pytest.approx(score, abs=0.01)
            assert find.chest == pytest.approx((x, y), abs=0.002 * region[2])
            assert find.region.overlap(Region(*region)) > 0.98
            assert find.region.rotation == pytest.approx(region[3], abs=0.01)

    @pytest.mark.parametrize("picture", PICTURES)
    def test_a_person_is_read_as_it_reads_them(self, picture, networks, answers):
        """In the same region, and once more in the picture moved by 3 pixels, hands and face from where they were."""
        image, name = read_picture(PEOPLE / picture), Path(picture).stem
        reader, before = PersonReader(networks), None
        for step in range(2):
            expected = {
                part: answers.get(f"{name}.{step}.{part}") for part in ("body", "face", "left_hand", "right_hand")
            }
            region = Region(*answers[f"{name}.{step}.region"].tolist())
            moved = np.ascontiguousarray(np.roll(image, 3 * step, axis=1))
            ((landmarks),) = reader.read(moved, [(region, before)])
            for part, limit in {"body": 0.0005, "face": 0.0005, "left_hand": 0.002, "right_hand": 0.002}.items():
                ours, theirs = getattr(landmarks, part), expected[part]
                if theirs is not None:
                    off = np.linalg.norm((ours - theirs)[:, :2], axis=1) / region.size
                    assert np.median(off) < limit, (part, np.median(off))
            np.testing.assert_allclose(landmarks.body[:, 2], expected["body"][:, 2], atol=0.02)
            assert landmarks.next_region.overlap(Region(*answers[f"{name}.{step}.next"].tolist())) > 0.99
            before = landmarks


@pytest.mark.skipif(not MEDIA.is_dir(), reason="the real dances lie beside the repository")
class TestRealMedia:
    """Whole runs against the keypoints of MediaPipe's graphs. Regions follow from reading to reading, which amplifies
    any rounding: a region off by a millionth moves the same graphs' points on these pictures by up to 0.8 %."""

    @staticmethod
    def differences(ours, theirs):
        """Of each visible point in parts of the median height of the body; and the part of them that was lost."""
        body = theirs[:, : kp.FEET.stop]
        seen = body[..., 2] > 0.3
        height = np.median([np.ptp(person[see, 1]) for person, see in zip(body, seen, strict=True)])
        visible, kept = theirs[..., 2] >= 0.3, ours[..., 2] >= 0.3
        off = np.linalg.norm((ours - theirs)[..., :2], axis=-1) / height
        return off[visible & kept], int((visible & ~kept).sum()) / int(visible.sum())

    @pytest.mark.parametrize("name", ["dance_far", "dance_full_body"])
    def test_a_dance_has_the_same_points(self, name, detector, answers):
        theirs = answers[name]
        frames = open_video(MEDIA / f"{name}.mp4")
        ours = []
        for people, _ in zip(detector.follow(frame.image for frame in frames), theirs, strict=False):
            assert len(people) >= 1
            ours.append(people[0])
        off, lost = self.differences(np.stack(ours), theirs[:, 0])
        assert np.median(off) < 0.003 and np.quantile(off, 0.9) < 0.02
        assert lost < 0.03  # hands before the body come and go

    @pytest.mark.parametrize("name", ["bust_portrait", "full_body_cartoon", "half_body"])
    def test_a_picture_has_the_same_person_face_and_all(self, name, detector, answers):
        (people,) = detector.detect([read_picture(MEDIA / f"{name}.png")])
        assert len(people) == len(answers[name]) == 1
        off, _ = self.differences(people, answers[name])
        assert np.median(off) < 0.01
        _, lost = self.differences(people[:, : kp.LEFT_HAND.start], answers[name][:, : kp.LEFT_HAND.start])
        assert lost == 0  # of body and face; a hand may come and go with the version of OpenCV that cuts it out


class TestOnAPhotograph:
    def test_every_part_is_where_it_belongs(self, detector, portrait):
        (people,) = detector.detect([portrait])
        assert people.shape == (1, 133, 3)
        person = people[0]
        face = person[kp.FACE]
        # She faces us: her left is on the right of the picture. Places read off the photograph, in pixels.
        seen = {
            kp.NOSE: (268, 236),
            kp.LEFT_EYE: (309, 189),
            kp.RIGHT_EYE: (219, 193),
            kp.LEFT_EAR: (355, 215),
            kp.RIGHT_EAR: (170, 215),
            kp.LEFT_SHOULDER: (455, 420),
            kp.RIGHT_SHOULDER: (90, 415),
        }
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

    @pytest.mark.parametrize("quarters", [1, 2, 3])
    def test_a_turned_picture_has_the_person_turned(self, quarters, detector, portrait):
        straight = detector.detect([portrait])[0][0]
        turned = np.ascontiguousarray(np.rot90(portrait, quarters))
        (people,) = detector.detect([turned])
        assert len(people) == 1
        back = people[0, :, :2]
        for earlier in reversed(range(quarters)):
            width = (512, 600)[earlier % 2]  # of the picture before this quarter to the left
            back = np.stack([width - back[:, 1], back[:, 0]], axis=1)
        upper = [*range(7), *range(kp.FACE.start, kp.FACE.stop)]
        assert np.median(np.linalg.norm((back - straight[:, :2])[upper], axis=1)) < 6

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


def test_the_package_s_networks_are_those_of_the_card():
    card = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.onnx"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in card, path.name

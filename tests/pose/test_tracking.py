"""People keep their identity over a clip, through crossings, absences and cuts; one of them is chosen."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.appearance import difference, look_of
from onetoall_cli.pose.assignment import cheapest_pairs
from onetoall_cli.pose.tracking import Tracker, select_person

WIDTH, HEIGHT = 1000, 800
BODY = np.array(
    [
        [0, -4],
        [0.2, -4.2],
        [-0.2, -4.2],
        [0.4, -4],
        [-0.4, -4],
        [1, -3],
        [-1, -3],
        [1.4, -2],
        [-1.4, -2],
        [1.5, -1],
        [-1.5, -1],
        [0.6, 0],
        [-0.6, 0],
        [0.7, 2],
        [-0.7, 2],
        [0.7, 4],
        [-0.7, 4],
    ]
)


def someone(x, y=400.0, size=40.0, score=0.9):
    """A standing person of 17 body points, (133, 3), about `8 * size` px high."""
    person = np.zeros((133, 3), np.float32)
    person[:17, :2] = BODY * size + (x, y)
    person[:17, 2] = score
    return person


def cloth(colour):
    """The look of someone in clothes of one colour."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[250:420, 400:600] = colour
    return look_of(image, someone(500))


RED, BLUE = cloth((190, 40, 40)), cloth((40, 40, 190))


def track(frames, cuts=()):
    """Keypoints (frames, people, 133, 3) of frames given as lists of (person, look)."""
    tracker = Tracker()
    for index, frame in enumerate(frames):
        people = np.stack([person for person, _ in frame]) if frame else np.zeros((0, 133, 3), np.float32)
        tracker.add(people, [look for _, look in frame], cut=index in cuts)
    return tracker.sightings().dense()


def middles(keypoints):
    """x of each person's hips, NaN where absent, (frames, people)."""
    x = keypoints[..., 11:13, 0].mean(axis=-1)
    return np.where(keypoints[..., 0, 2] > 0, x, np.nan)


@pytest.mark.parametrize("looks", [(None, None), (RED, RED), (RED, BLUE)], ids=["unknown", "alike", "different"])
def test_people_who_cross_keep_their_columns(looks):
    there, back = np.linspace(100, 900, 41), np.linspace(900, 100, 41)
    frames = [[(someone(a, 400), looks[0]), (someone(b, 430), looks[1])] for a, b in zip(there, back, strict=True)]
    for frame in frames[::3]:
        frame.reverse()  # detectors give people in any order
    x = middles(track(frames))
    assert x.shape == (41, 2)
    np.testing.assert_allclose(np.sort(x[0]), [100, 900])
    first = int(np.argmin(x[0]))
    np.testing.assert_allclose(x[:, first], there, atol=1e-3)
    np.testing.assert_allclose(x[:, 1 - first], back, atol=1e-3)


def test_someone_hidden_during_the_crossing_comes_back_as_themselves():
    there, back = np.linspace(100, 900, 41), np.linspace(900, 100, 41)
    frames = [[(someone(a), None), (someone(b, 430), None)] for a, b in zip(there, back, strict=True)]
    for index in range(17, 24):
        frames[index] = frames[index][:1]
    x = middles(track(frames))
    assert x.shape == (41, 2)
    np.testing.assert_allclose(x[:, 0], there, atol=1e-3)
    assert np.isnan(x[17:24, 1]).all()
    np.testing.assert_allclose(x[24:, 1], back[24:], atol=1e-3)


def test_who_leaves_for_long_and_comes_back_elsewhere_is_the_same_by_their_clothes():
    frames = [[(someone(200), RED), (someone(700), BLUE)] for _ in range(20)]
    frames += [[(someone(200), RED)] for _ in range(60)]
    frames += [[(someone(200), RED), (someone(420), BLUE)] for _ in range(20)]
    x = middles(track(frames))
    assert x.shape == (100, 2)
    assert np.isnan(x[20:80, 1]).all() and (x[80:, 1] == 420).all()


def test_a_stranger_is_not_taken_for_who_left():
    frames = [[(someone(200), RED)] for _ in range(30)] + [[]] * 30 + [[(someone(210), BLUE)] for _ in range(30)]
    assert middles(track(frames)).shape == (90, 2)


@pytest.mark.parametrize("absence", [1, 8])
def test_who_comes_where_somebody_has_just_left_is_told_by_their_clothes(absence):
    """Behind a door post, say: position alone would make one person of two."""
    gap = [[]] * absence
    two = [[(someone(200), RED)] for _ in range(30)] + gap + [[(someone(205), BLUE)] for _ in range(30)]
    one = [[(someone(200), RED)] for _ in range(30)] + gap + [[(someone(205), RED)] for _ in range(30)]
    assert middles(track(two)).shape == (60 + absence, 2)
    assert middles(track(one)).shape == (60 + absence, 1)


def test_glimpses_far_apart_do_not_add_up_to_a_person():
    frames = [[(someone(200), RED)] + ([(someone(850, 200, 10), BLUE)] if i % 80 == 5 else []) for i in range(800)]
    assert track(frames).shape[1] == 1


def test_after_a_cut_people_are_told_by_their_clothes():
    frames = [[(someone(200), RED), (someone(700), BLUE)] for _ in range(10)]
    frames += [[(someone(210), BLUE), (someone(690, size=60), RED)] for _ in range(10)]
    x = middles(track(frames, cuts={10}))
    assert x.shape == (20, 2)
    assert sorted(x[[0, 19], 0]) == [200, 690] and sorted(x[[0, 19], 1]) == [210, 700]


def test_a_single_person_is_one_column_through_cuts_and_absences():
    frames = [[(someone(200), None)]] * 10 + [[(someone(800, size=80), None)]] * 10 + [[]] * 40
    frames += [[(someone(500), None)]] * 5
    keypoints = track(frames, cuts={10, 20})
    assert keypoints.shape[1] == 1
    assert (keypoints[20:60] == 0).all()


def test_people_seen_for_a_moment_are_left_out():
    frames = [[(someone(200), None)] + ([(someone(850, 200, 10), None)] if 50 <= i < 53 else []) for i in range(300)]
    assert track(frames).shape[1] == 1


def test_in_a_short_clip_everyone_counts():
    assert track([[(someone(200), None), (someone(700), None)]]).shape == (1, 2, 133, 3)


def test_a_ghost_in_one_frame_of_a_second_is_left_out():
    """A detector may read the same person twice in the first frame."""
    frames = [[(someone(200), None)] + ([(someone(230), None)] if i == 0 else []) for i in range(24)]
    assert track(frames).shape[1] == 1


def test_a_clip_without_people_has_one_person_who_is_never_there():
    keypoints = track([[], [], []])
    assert keypoints.shape == (3, 1, 133, 3) and (keypoints == 0).all()


@settings(max_examples=25)
@given(st.data())
def test_everyone_seen_ends_in_exactly_one_place(data):
    """Whatever comes: no sighting is lost, doubled or moved to another frame."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    frames = []
    for _ in range(data.draw(st.integers(1, 10))):  # in so short a clip nobody counts as seen for a moment only
        count = data.draw(st.integers(0, 4))
        looks = [data.draw(st.sampled_from([None, RED, BLUE])) for _ in range(count)]
        frames.append([(someone(*rng.uniform(0, 1000, 2), rng.uniform(1, 90)), look) for look in looks])
    cuts = data.draw(st.sets(st.integers(0, 9)))
    keypoints = track(frames, cuts)
    for frame, row in zip(frames, keypoints, strict=True):
        given_people = sorted(person.tobytes() for person, _ in frame)
        assert sorted(person.tobytes() for person in row if person.any()) == given_people


def test_looks_differ_by_clothes_and_not_by_place():
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[250:420, 100:300] = (190, 40, 40)
    assert difference(look_of(image, someone(200)), RED) < 0.1
    assert difference(RED, BLUE) > 0.9


def test_who_is_outside_the_picture_or_has_no_trunk_has_no_look():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert look_of(image, someone(5000)) is None
    assert look_of(image, someone(500, score=0)) is None


class TestSelectPerson:
    @staticmethod
    def sequence():
        """Three people over 20 frames: 0 small and far left, 1 in the middle, 2 huge, at the right, for 4 frames."""
        frames = []
        for i in range(20):
            frame = [(someone(80, size=30), None), (someone(520, size=45), None)]
            frames.append(frame + ([(someone(850, size=110), None)] if i < 4 else []))
        keypoints = track(frames)
        order = np.argsort([np.nanmean(column) for column in middles(keypoints).T])
        return PoseSequence(keypoints[:, order], WIDTH, HEIGHT, 25)

    @pytest.mark.parametrize(
        ("which", "expected"),
        [("auto", 1), ("center", 1), ("left", 0), ("right", 1), (2, 2), ("2", 2), ("0", 0)],
    )
    def test_choices(self, which, expected):
        sequence = self.sequence()
        chosen = select_person(sequence, which)
        assert chosen.people == 1
        np.testing.assert_array_equal(chosen.keypoints[:, 0], sequence.keypoints[:, expected])

    def test_largest_is_over_the_whole_clip(self):
        large, brief = someone(520, size=60), someone(850, size=80)
        frames = [[(large, None)] + ([(brief, None)] if i < 8 else []) for i in range(40)]
        sequence = PoseSequence(track(frames), WIDTH, HEIGHT)
        np.testing.assert_array_equal(select_person(sequence, "largest").keypoints[0, 0], large)

    def test_the_prominent_one_is_the_same_in_every_frame(self):
        """Sizes swap half-way, but the choice does not."""
        frames = [[(someone(300, size=40 + i), None), (someone(700, size=70 - i), None)] for i in range(30)]
        chosen = select_person(PoseSequence(track(frames), WIDTH, HEIGHT))
        assert len(np.unique(chosen.keypoints[:, 0, 11, 0] > 500)) == 1

    def test_absent_frames_have_no_score(self):
        chosen = select_person(self.sequence(), 2)
        assert chosen.present()[:, 0].tolist() == [True] * 4 + [False] * 16

    def test_where_nobody_is_the_choice_is_empty(self):
        empty = PoseSequence(np.zeros((3, 1, 133, 3)), WIDTH, HEIGHT)
        for which in ("auto", "largest", "left", "center", "right", 0):
            assert not select_person(empty, which).present().any()

    @pytest.mark.parametrize("which", [3, "3", -1, "somebody", "", "-1", "1.5"])
    def test_no_such_person_is_an_error(self, which):
        with pytest.raises(BadInput):
            select_person(self.sequence(), which)


class TestCheapestPairs:
    @given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
    def test_no_other_pairing_is_cheaper(self, rows, columns, seed):
        costs = np.random.default_rng(seed).choice([0.0, 0.3, 0.5, 1.0, 1e6], (rows, columns))
        pairs = cheapest_pairs(costs)
        few, many = sorted((rows, columns))
        assert len(pairs) == len({row for row, _ in pairs}) == len({column for _, column in pairs}) == few
        table = costs if rows == few else costs.T
        least = min(sum(table[i, chosen[i]] for i in range(few)) for chosen in permutations(range(many), few))
        assert sum(costs[pair] for pair in pairs) == pytest.approx(least)

    def test_a_crowd_is_quick_and_right(self):
        """Everyone's own place is free, wherever it is."""
        order = np.random.default_rng(0).permutation(120)
        costs = np.random.default_rng(1).uniform(1, 2, (120, 120))
        costs[np.arange(120), order] = 0
        assert cheapest_pairs(costs) == list(enumerate(order))

"""The segment plan: everything is covered, nothing is wasted, lengths are legal and balanced."""

import itertools

import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.sampling.segments import plan_segments


def fewest_frames(frames: int, longest: int, overlap: int) -> int:
    """The least number of generated frames, found by search over segment counts (not by the planner's formula)."""
    lengths = [n for n in range(1, longest + 1) if n % 4 == 1]
    frontier = {n: n for n in lengths}  # frames covered -> fewest frames generated, by one more segment a round
    answers = []
    for _ in range(60):
        answers += [cost for covered, cost in frontier.items() if covered >= frames]
        if answers:
            return min(answers)
        following: dict[int, int] = {}
        for covered, cost in frontier.items():
            for n in lengths:
                if n > overlap and covered >= overlap:
                    reach = covered + n - overlap
                    following[reach] = min(following.get(reach, cost + n), cost + n)
        frontier = following
    raise AssertionError("no plan found")


@pytest.mark.parametrize(("longest", "overlap"), [(9, 5), (13, 5), (29, 5), (81, 5), (13, 1), (13, 9), (29, 25)])
def test_every_length_is_covered_by_legal_overlapping_segments(longest, overlap):
    for frames in [*range(1, 200), 1000, 1801]:
        plan = plan_segments(frames, longest, overlap=overlap)
        assert plan[0].start == 0 and plan[0].context == 0
        for before, after in itertools.pairwise(plan):
            assert before.stop - after.start == overlap == after.context
        assert all(s.length % 4 == 1 and s.length <= longest for s in plan)
        assert frames <= plan[-1].stop < frames + 4


@pytest.mark.parametrize(("longest", "overlap"), [(9, 5), (29, 5), (81, 5), (29, 1), (29, 13)])
def test_no_plan_generates_fewer_frames(longest, overlap):
    for frames in (1, 2, 5, 6, 29, 30, 81, 82, 83, 150, 157, 158, 200):
        planned = plan_segments(frames, longest, overlap=overlap)
        assert sum(s.length for s in planned) == fewest_frames(frames, longest, overlap)


def test_lengths_are_balanced_within_one_latent_step():
    for frames in range(82, 800, 7):
        lengths = [s.length for s in plan_segments(frames)]
        assert max(lengths) - min(lengths) <= 4


def test_82_frames_cost_90_not_146():
    assert [s.length for s in plan_segments(82)] == [45, 45]


def test_one_frame_is_an_image():
    (segment,) = plan_segments(1)
    assert (segment.length, segment.context) == (1, 0)


def test_a_motion_that_extends_a_clip_starts_with_context():
    plan = plan_segments(100, has_context=True)
    assert [s.context for s in plan] == [5] * len(plan)


def test_a_maximum_that_is_not_4k_plus_1_is_rounded_down():
    assert {s.length for s in plan_segments(84, 84)} <= {45, 49}


@pytest.mark.parametrize(
    ("frames", "longest", "overlap"), [(0, 81, 5), (100, 8, 5), (100, 0, 5), (100, 81, 6), (100, 81, 81), (9, 81, 0)]
)
def test_impossible_plans_are_refused(frames, longest, overlap):
    with pytest.raises(BadInput):
        plan_segments(frames, longest, overlap=overlap)

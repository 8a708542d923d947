"""The clock of a video: constant rates are told from variable ones, and parts are cut where they should be."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onetoall_cli.media.timeline import counted, stamped, tidy_rate

RATES = [Fraction(rate) for rate in (8, 12, 15, 16, 24, 25, 30, 50, 60, 120)]
RATES += [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25, 2)]
TICKS = [Fraction(1, ticks) for ticks in (600, 1000, 12800, 15360, 90000)]
NONE = []


def rounded(fps, tick, frames, rounding, first=0):
    return [(first + rounding(index / fps / tick), 0) for index in range(frames)]


@given(
    fps=st.sampled_from(RATES),
    tick=st.sampled_from(TICKS),
    frames=st.integers(3, 400),
    rounding=st.sampled_from([round, math.floor, math.ceil]),
    first=st.integers(-5000, 5000),
)
def test_a_constant_rate_is_recognised_through_any_rounding_to_ticks(fps, tick, frames, rounding, first):
    timeline = stamped(rounded(fps, tick, frames, rounding, first), tick, [fps], NONE)
    assert timeline.constant and timeline.fps == fps
    assert timeline.duration == frames / fps
    assert [timeline.seconds(index) for index in (0, frames - 1)] == [0, (frames - 1) / fps]


@given(
    fps=st.sampled_from(RATES),
    tick=st.sampled_from([*TICKS, None]),
    frames=st.integers(5, 200),
    lost=st.data(),
)
def test_one_lost_frame_makes_the_rate_variable_and_the_others_keep_their_times(fps, tick, frames, lost):
    tick = tick or 1 / fps  # some files count in frames
    shown = rounded(fps, tick, frames, round)
    del shown[lost.draw(st.integers(1, frames - 2))]
    timeline = stamped(shown, tick, [fps], NONE)
    assert not timeline.constant
    assert timeline.seconds(frames - 2) == pytest.approx(float((frames - 1) / fps), abs=float(tick))


def test_a_wrong_claim_of_the_header_is_not_believed():
    timeline = stamped(rounded(Fraction(25), Fraction(1, 90000), 50, round), Fraction(1, 90000), [Fraction(50)], NONE)
    assert timeline.constant and timeline.fps == 25


@pytest.mark.parametrize(("length", "fps"), [(0, 25), (3000, 30), (90000, 1), (900000, Fraction(1, 10))])
def test_one_frame_lasts_as_long_as_it_says(length, fps):
    timeline = stamped([(700, length)], Fraction(1, 90000), NONE, NONE)
    assert (timeline.fps, timeline.duration, len(timeline)) == (fps, 1 / Fraction(fps), 1)


@given(fps=st.sampled_from(RATES), frames=st.integers(1, 300), data=st.data())
def test_parts_of_a_constant_rate_that_meet_share_no_frame_and_leave_none_out(fps, frames, data):
    timeline = counted(frames, fps)
    cuts = data.draw(st.lists(st.integers(1, max(1, frames - 1)), unique=True, max_size=5).map(sorted))
    edges = [0, *[cut for cut in cuts if cut < frames], frames]
    for first, stop in itertools.pairwise(edges):
        typed = (round(float(first / fps), 3), round(float((stop - first) / fps), 3))  # as on a command line
        part = timeline.part(*typed)
        assert (part.first, part.stop) == (first, stop)
        assert (part.origin, part.duration) == (first / fps, (stop - first) / fps)


times = st.lists(st.integers(1, 2000), min_size=2, max_size=40).map(
    lambda steps: [(sum(steps[:index]), step) for index, step in enumerate(steps)]
)


@given(shown=times, start=st.floats(0, 0.999), length=st.floats(0.01, 1))
def test_a_part_of_any_clock_shows_what_a_viewer_would_see(shown, start, length):
    timeline = stamped(shown, Fraction(1, 1000), NONE, NONE)
    start, length = round(start * float(timeline.duration), 3), round(max(0.002, length * float(timeline.duration)), 3)
    assume(start < timeline.duration)  # open_video refuses the rest
    part = timeline.part(start, length)
    assert 0 <= part.first < part.stop <= len(timeline)
    slack = Fraction(2, 1000) + (1 / timeline.fps if timeline.constant else 0)
    assert timeline.seconds(part.first) <= start + slack  # on screen at the start
    assert part.first + 1 == len(timeline) or timeline.seconds(part.first + 1) >= start - slack
    assert timeline.seconds(part.stop - 1) <= start + length + slack  # and nothing behind the end
    assert part.stop == len(timeline) or timeline.seconds(part.stop) >= start + length - slack
    assert 0 < part.duration <= timeline.duration
    seen = [timeline.seconds_into(part, index) for index in range(part.first, part.stop)]
    assert seen[0] == 0 and seen == sorted(seen) and seen[-1] <= part.duration


@given(fps=st.floats(0.0001, 1000))
def test_a_rate_never_becomes_nothing(fps):
    assert tidy_rate(fps) > 0


@pytest.mark.parametrize(
    ("fps", "tidy"), [(29.97, Fraction(2997, 100)), (Fraction(30000, 1001), Fraction(30000, 1001))]
)
def test_a_rate_as_typed_becomes_a_simple_fraction(fps, tidy):
    assert tidy_rate(fps) == tidy

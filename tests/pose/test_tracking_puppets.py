"""People in pictures keep their identity where they cross, leave and come: puppets, whose truth is known."""

import numpy as np
import pytest
from puppet_crowds import compose, cutout, stage

from onetoall_cli.pose.appearance import look_of
from onetoall_cli.pose.tracking import Tracker

SIDE, WIDTH, HEIGHT, FRAMES = 160, 360, 180, 48
VISIBLE_BODY_POINTS = 6  # somebody of whom less is to be seen is not found by any detector


@pytest.fixture(scope="module")
def actors():
    return [cutout(seed, side=SIDE, frames=12) for seed in (1, 6, 3)]


def walk(*places):
    """The left upper corner of a puppet whose middle goes through `places`, in widths of the picture."""
    x = np.interp(np.arange(FRAMES), np.linspace(0, FRAMES - 1, len(places)), places) * WIDTH - SIDE / 2
    return np.stack([x, np.full(FRAMES, HEIGHT - SIDE - 4.0)], axis=1)


def columns(actors, paths):
    """For each puppet the columns its sightings went to, and how many columns there are; the finds come in any order
    and lack who is hidden."""
    frames, truth = compose(stage(2, WIDTH, HEIGHT), list(zip(actors, paths, strict=False)))
    tracker, rng = Tracker(), np.random.default_rng(0)
    for frame, people in zip(frames, truth, strict=True):
        shown = [index for index, each in enumerate(people) if (each[:17, 2] == 1).sum() >= VISIBLE_BODY_POINTS]
        rng.shuffle(shown)
        seen = people[shown]
        tracker.add(seen, [look_of(frame, person) for person in seen])
    found = tracker.sightings().dense()
    gone_to = [set() for _ in paths]
    for people, row in zip(truth, found, strict=True):
        for person, whose in zip(people, gone_to, strict=True):
            whose.update(np.flatnonzero((row == person).all(axis=(1, 2)) & person.any()).tolist())
    return gone_to, found.shape[1]


@pytest.mark.parametrize(
    "paths",
    [
        [walk(0.2, 0.8), walk(0.8, 0.2)],
        [walk(0.2, 0.8), walk(0.8, 0.2), walk(0.5, 0.45)],
        [walk(0.25, 0.5, 0.25), walk(0.75, 0.5, 0.75)],  # they meet, and turn back
        [walk(0.3, -0.4, -0.4, -0.4), walk(-0.4, -0.4, -0.4, 0.3)],  # one leaves, another comes from there
        [walk(0.3, -0.4, 0.3), walk(0.8, 0.75)],  # one leaves and comes back
    ],
    ids=["two cross", "three cross", "meet and turn", "leaves, another comes", "leaves and comes back"],
)
def test_every_puppet_is_one_person(actors, paths):
    gone_to, count = columns(actors, paths)
    assert all(len(whose) == 1 for whose in gone_to), gone_to
    assert len(set.union(*gone_to)) == len(paths) == count

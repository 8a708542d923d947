"""Puppets turned about their own axis, as in `cases/turned`: their size is known, whatever their widths look like."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from align_cases import checkerboard, person

from onetoall_cli.alignment import Decision, align, choose_anchor, decide
from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets import sample_scene
from onetoall_cli.puppets.render import observe

SIZE = (384, 672)
CHIBI = {"head": 2.2, "torso": 0.7, "thigh": 0.6, "shin": 0.6, "upper_arm": 0.7, "forearm": 0.7}
PLUSH = {**CHIBI, "shoulder_width": 1.5, "hip_width": 1.9}
SEEDS = range(4)


@cache
def scene(seed):
    return sample_scene("test", seed, width=SIZE[0], height=SIZE[1], frames=12, framing="full")


def dancer(seed, degrees=0.0, proportions=()) -> PoseSequence:
    """A puppet of the world in full, with its lengths times `proportions` and turned about the vertical axis."""
    filmed = scene(seed)
    body = filmed.identity.body
    body = replace(body, **{name: factor * getattr(body, name) for name, factor in dict(proportions).items()})
    joints = replace(filmed, identity=replace(filmed.identity, body=body)).joints()
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    points = joints.keypoints @ turn.T
    top, floor = joints.head_centre[:, 1].min() - 0.6 * body.head, points[..., 1].max() + 0.05
    scale = 0.92 * SIZE[1] / (floor - top)
    camera = replace(filmed.camera, scale=scale, shift_x=SIZE[0] / 2, shift_y=0.04 * SIZE[1] - top * scale)
    return observe(replace(joints, keypoints=points), camera, *SIZE, fps=16.0)


def decided(reference: PoseSequence, motion: PoseSequence) -> Decision:
    body = person(reference, 6)
    return decide(body, SIZE, motion.keypoints[:, 0], SIZE, choose_anchor(body, motion).frame)


def picture() -> np.ndarray:
    return checkerboard(SIZE[1], SIZE[0], 64)


@pytest.mark.parametrize("degrees", [0, 40, 60, 80])
def test_the_same_body_turned_aside_is_as_large_as_it_was(degrees):
    for seed in SEEDS:
        decision = decided(dancer(seed), dancer(seed, degrees))
        assert (decision.mode, decision.head) == ("ref", "full"), decision
        assert decision.size == pytest.approx(1.0, abs=0.03)
        assert decision.agreement == 1.0


@pytest.mark.parametrize("degrees", [0, 60])
@pytest.mark.parametrize("proportions", [CHIBI, PLUSH], ids=["chibi", "plush"])
def test_a_figure_of_other_proportions_shown_in_full_takes_a_full_body_motion_with_a_light_head(proportions, degrees):
    for seed in SEEDS:
        decision = decided(dancer(seed, 0, proportions), dancer(seed + 100, degrees))
        assert (decision.mode, decision.face, decision.head) == ("ref", "light", "light"), decision


def test_a_body_turned_aside_at_the_anchor_is_reported_and_one_that_faces_alike_is_not():
    for seed in SEEDS:
        assert decided(dancer(seed), dancer(seed)).warning == ""
        assert "driver is turned aside" in decided(dancer(seed), dancer(seed, 80)).warning
        assert "reference is turned aside" in decided(dancer(seed, 80), dancer(seed)).warning


def test_a_motion_that_is_turned_aside_throughout_keeps_its_narrow_shoulders():
    still = dancer(0).frame(6)
    squeezed = still.keypoints * [0.3, 1, 1] + [0.7 * SIZE[0] / 2, 0, 0]  # the same body, seen from aside
    motion = replace(still, keypoints=np.repeat(squeezed, 5, axis=0))
    value = align(picture(), still, motion, width=192, height=336, canvas_short_side=192)
    assert (value.meta["mode"], value.meta["body_ratio"]) == ("ref", pytest.approx(1.0, rel=0.01))
    left, right = value.motion.keypoints[0, 0, [5, 6], 0]
    was = squeezed[0, 0, [5, 6], 0]
    assert left - right == pytest.approx((was[0] - was[1]) / 2, rel=0.02)


def test_the_note_and_the_meta_file_tell_the_evidence():
    meta = align(picture(), dancer(0).frame(6), dancer(0, 80), width=192, height=336, canvas_short_side=192).meta
    assert "no frame of the motion" in meta["why"]
    assert meta["agreement"] == 1.0
    assert meta["framing_ratio"] == pytest.approx(1.0, abs=0.1)
    assert "turned aside" in meta["warning"]

"""Puppets in tall hats, whose outline is known, laid over drivers whose heads touch the upper border."""

from dataclasses import replace

import numpy as np
import pytest
from align_cases import person

from onetoall_cli.alignment import align
from onetoall_cli.alignment.hat import hat_box
from onetoall_cli.puppets import sample_scene

SIZE = (288, 512)


@pytest.fixture(scope="module")
def hatted():
    """A half-length puppet in a top hat, filmed: (clip of one frame, scene)."""
    scene = sample_scene("test", 3, width=SIZE[0], height=SIZE[1], frames=1, framing="half")
    look = replace(scene.identity.look, hat="top_hat", hair_style="afro")
    camera = replace(scene.camera, shift_y=scene.camera.shift_y + 60)  # so that all of the hat is in the picture
    return replace(scene, identity=replace(scene.identity, look=look), camera=camera).film(supersample=1)


def driver():
    """A full-body dance whose head, but for the crown, is just inside the frame."""
    poses = sample_scene("test", 8, width=SIZE[0], height=SIZE[1], frames=10, framing="full").film(supersample=1).poses
    keypoints = poses.keypoints.copy()
    up = keypoints[..., :5, 1].min() - 2
    keypoints[..., 1] -= up
    return replace(poses, keypoints=keypoints)


def hat_top(clip, value):
    """The outline's uppermost row on the canvas, carried by the nose to where it is highest."""
    rows = np.flatnonzero(clip.masks[0].max(axis=1) > 127)
    nose, noses = person(clip.poses)[0, 1], value.motion.keypoints[:, 0, 0, 1]
    return noses.min() - value.meta["scale"] * (nose - rows[0])


@pytest.mark.parametrize("fit", ["pad", "motion"])
@pytest.mark.parametrize("backdrop", ["filmed", "plain"])
def test_a_hat_stays_on_the_canvas_at_every_frame(hatted, fit, backdrop):
    picture = hatted.frames[0]
    if backdrop == "plain":
        picture = np.where(hatted.masks[0][..., None] > 0, picture, np.uint8(230))
    kwargs = {"width": 144, "height": 256, "mode": "pose", "canvas_short_side": 144}
    value = align(picture, hatted.poses, driver(), fit=fit, **kwargs)
    assert hat_top(hatted, value) >= -0.5
    assert hat_top(hatted, align(picture, hatted.poses, driver(), fit="crop", **kwargs)) < -5


def test_a_plain_backdrop_above_the_head_costs_no_room(hatted):
    plain = np.where(hatted.masks[0][..., None] > 0, hatted.frames[0], np.uint8(230))
    boxes = [hat_box(each, person(hatted.poses), 1.0, driver().keypoints[:, 0]) for each in (plain, hatted.frames[0])]
    rows = np.flatnonzero(hatted.masks[0].max(axis=1) > 0)
    nose, noses = person(hatted.poses)[0, 1], driver().keypoints[:, 0, 0, 1]
    assert boxes[0][1] == pytest.approx(noses.min() - (nose - rows[0]), abs=2)
    assert boxes[1][1] <= boxes[0][1]


def test_without_a_head_there_is_no_hat(hatted):
    assert hat_box(hatted.frames[0], np.zeros((133, 3)), 1.0, driver().keypoints[:, 0]) is None
    assert hat_box(hatted.frames[0], person(hatted.poses), 1.0, np.zeros((3, 133, 3))) is None

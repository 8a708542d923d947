"""Real pose sequences as puppets' motions: the puppet does what the person did."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import motion_from_poses, sample_identity, sample_scene
from onetoall_cli.puppets.render import observe
from onetoall_cli.puppets.skeleton import pose_body

BODY = range(kp.LEFT_SHOULDER, kp.RIGHT_ANKLE + 1)


def real(name: str) -> PoseSequence:
    with np.load(Path(__file__).parents[1] / "data" / "poses_real.npz") as data:
        width, height = data[f"{name}_size"]
        return PoseSequence(data[name][:, None], int(width), int(height), 30.0)


def test_a_puppet_moves_as_its_own_poses_did() -> None:
    errors = []
    for seed in range(6):
        scene = sample_scene("train", seed, width=128, height=192, frames=40, framing="full")
        film = observe(scene.joints(), scene.camera, 128, 192, fps=16)
        again = pose_body(motion_from_poses(film), scene.identity.body, scene.identity.face)
        copy = observe(again, scene.camera, 128, 192, fps=16)
        bodies = [
            points.keypoints[:, 0, BODY, :2] - points.keypoints[:, 0, [11, 12], :2].mean(axis=1, keepdims=True)
            for points in (film, copy)
        ]
        height = np.ptp(film.keypoints[:, 0, BODY, 1], axis=1).mean()
        errors.append(np.linalg.norm(bodies[0] - bodies[1], axis=-1).mean() / height)
    assert np.mean(errors) < 0.05  # of the figure's height


@pytest.mark.parametrize("name", ["dance_full", "dance_small", "dance_crouch"])
def test_real_dances_become_motions_any_puppet_can_perform(name) -> None:
    sequence = real(name)
    motion = motion_from_poses(sequence)
    assert len(motion) == len(sequence) == 24 and motion.fps == 30.0
    np.testing.assert_allclose(np.linalg.norm(motion.directions, axis=-1), 1, atol=1e-6)
    identity = sample_identity("test", 1)
    joints = pose_body(motion, identity.body, identity.face)
    for bone, (start, end) in {"upper arm": (5, 7), "thigh": (11, 13)}.items():
        seen = (sequence.keypoints[:, 0, [start, end], 2] > 0.5).all(axis=1)
        wanted = sequence.keypoints[seen, 0, end, :2] - sequence.keypoints[seen, 0, start, :2]
        got = (joints.keypoints[:, end] - joints.keypoints[:, start])[seen, :2]
        cosine = (wanted * got).sum(axis=1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(got, axis=1)
        assert np.median(cosine) > 0.97, bone


def test_gaps_are_bridged_and_what_is_never_seen_hangs_down() -> None:
    sequence = real("dance_full")
    keypoints = sequence.keypoints.copy()
    keypoints[5:8, 0, kp.LEFT_WRIST] = 0
    keypoints[:, 0, [kp.RIGHT_KNEE, kp.RIGHT_ANKLE]] = 0
    motion = motion_from_poses(replace(sequence, keypoints=keypoints))
    whole = motion_from_poses(sequence)
    assert np.abs(motion.directions[:5] - whole.directions[:5])[:, :9].max() < 0.6
    np.testing.assert_allclose(motion.directions[:, 10], np.tile([0.0, 1.0, 0.0], (24, 1)), atol=1e-9)


def test_a_sequence_without_shoulders_is_refused() -> None:
    sequence = real("dance_full")
    keypoints = sequence.keypoints.copy()
    keypoints[:, 0, kp.LEFT_SHOULDER] = 0
    with pytest.raises(BadInput, match="shoulders"):
        motion_from_poses(replace(sequence, keypoints=keypoints))

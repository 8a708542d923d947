"""Poses are detected once in a picture or video, whatever asks; the cache is bounded and never stale."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_fixtures import FRAMES, SeeingDetector, real_poses

import onetoall_cli as onetoall
from onetoall_cli.animator import pose_cache
from onetoall_cli.animator.settings import MotionSettings
from onetoall_cli.pose import PoseSequence


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """How often a detector is opened; it sees the real poses."""
    opened = []

    def open_detector(name="auto", **_):
        opened.append(name)
        return SeeingDetector([real_poses("dance_full", FRAMES), real_poses("ref_half")])

    monkeypatch.setattr("onetoall_cli.pose.detect.open_detector", open_detector)
    return opened


def equal(one: PoseSequence, other: PoseSequence) -> bool:
    same = np.array_equal(one.keypoints, other.keypoints) and np.array_equal(one.clock(), other.clock())
    return same and (one.width, one.height, one.fps) == (other.width, other.height, other.fps)


def test_a_video_is_looked_at_once_by_its_content(looks, dance, tmp_path) -> None:
    first = onetoall.detect_poses(dance)
    copy = Path(shutil.copy(dance, tmp_path / "copy.mp4"))
    assert equal(onetoall.detect_poses(copy), first) and len(looks) == 1
    onetoall.detect_poses(dance, settings=MotionSettings(duration=1.0))
    assert len(looks) == 2, "another part is another detection"
    onetoall.detect_poses(dance, settings=MotionSettings(detector="dwpose"))
    assert len(looks) == 3
    onetoall.detect_poses(dance, settings=MotionSettings(pose_cache=False))
    assert len(looks) == 4


def test_commands_share_it(looks, onetoall, reference, dance, model) -> None:
    aligning = (reference, dance, "--model", model)
    assert onetoall("align", *aligning, "-o", "a").exit_code == 0
    assert onetoall("align", *aligning, "-o", "b").exit_code == 0
    assert onetoall("pose", dance, "-o", "p.json").exit_code == 0
    assert len(looks) == 1
    onetoall("align", *aligning, "-o", "c", "--no-pose-cache")
    assert len(looks) == 2


def test_it_is_bounded_and_a_damaged_entry_is_made_again(monkeypatch) -> None:
    poses = real_poses("ref_half")
    keys = [pose_cache.key_of(number) for number in range(4)]
    for age, key in enumerate(keys[:3]):
        pose_cache.keep_poses(key, poses)
        file = pose_cache._file(key)
        os.utime(file, (1000 + age, 1000 + age))
    assert pose_cache.kept_poses(keys[0]) is not None  # used now, so the second is the oldest
    monkeypatch.setattr(pose_cache, "LIMIT", int(3.5 * file.stat().st_size))
    pose_cache.keep_poses(keys[3], poses)
    assert [pose_cache.kept_poses(key) is not None for key in keys] == [True, False, True, True]
    file.write_bytes(file.read_bytes()[:100])
    assert pose_cache.kept_poses(keys[2]) is None

"""A folder of videos as training data: poses detected once, windows at the training's rate, all fitted alike."""

import numpy as np
import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.media import VideoWriter
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_scene
from onetoall_cli.training import videos
from onetoall_cli.training.videos import VideoSource, fit_picture, fitted, shows_person

FPS = 30.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two videos of puppets, 60 frames at 30 fps, and one of an empty room."""
    (tmp_path / "films").mkdir()
    truth = {}
    for name, width, height in (("tall", 64, 96), ("wide", 96, 64), ("empty", 64, 96)):
        scene = sample_scene("train", 3, width=width, height=height, frames=60, framing="half", fps=FPS)
        film = scene.film(supersample=1)
        poses = film.poses.keypoints.copy()
        if name == "empty":
            poses[..., 2] = 0
        truth[name] = PoseSequence(poses, width, height, FPS)
        with VideoWriter(tmp_path / "films" / f"{name}.mp4", width, height, fps=FPS, crf=12) as writer:
            for frame in film.frames:
                writer.write(frame)
    calls = []

    def detect(file, detector):
        calls.append(file.stem)
        return truth[file.stem]

    monkeypatch.setattr(videos, "_detect", detect)
    return tmp_path, truth, calls


def source(tmp_path, **options) -> VideoSource:
    standard = {"lengths": (13,), "fps": 15.0, "aspects": (2 / 3, 3 / 2), "cache": tmp_path / "cache", "latents": None}
    return VideoSource(tmp_path / "films", **{**standard, **options})


def test_poses_are_detected_once_and_videos_without_a_person_left_out(folder) -> None:
    tmp_path, _, calls = folder
    first = source(tmp_path)
    assert sorted(calls) == ["empty", "tall", "wide"]
    second = source(tmp_path)
    assert len(calls) == 3
    assert [r.path.stem for r in first.recordings] == [r.path.stem for r in second.recordings] == ["tall", "wide"]


def test_a_window_shows_what_its_keypoints_say_at_the_trainings_rate(folder) -> None:
    tmp_path, truth, _ = folder
    clips = source(tmp_path)
    number = next(i for i, r in enumerate(clips.recordings) if r.path.stem == "tall")
    clip = clips.clip(number, width=64, height=96, frames=13, rng=np.random.default_rng(0), first_frame=False)
    assert clip.frames is not None and clip.frames.shape == (13, 96, 64, 3)
    tall = sample_scene("train", 3, width=64, height=96, frames=60, framing="half", fps=FPS).film(supersample=1)
    starts = [np.abs(tall.frames[2 * s].astype(int) - clip.frames[0]).mean() for s in range(30)]
    start = int(np.argmin(starts))
    for index in range(13):  # every second frame of the 30 fps video
        assert np.abs(tall.frames[2 * (start + index)].astype(int) - clip.frames[index].astype(int)).mean() < 6
        np.testing.assert_allclose(
            clip.motion.keypoints[index, 0, :17, :2],
            truth["tall"].keypoints[2 * (start + index), 0, :17, :2],
            atol=0.01,
        )
    others = [np.abs(tall.frames[2 * s].astype(int) - clip.reference).mean() for s in range(30)]
    assert not start <= int(np.argmin(others)) < start + 13


def test_a_batch_has_one_aspect(folder) -> None:
    clips = source(folder[0])
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        numbers, aspect = clips.draw(rng, 3)
        assert len(numbers) == 3
        assert all(clips._aspect(number) == aspect for number in numbers)
        seen.add(aspect)
    assert seen == {2 / 3, 3 / 2}


def test_pictures_and_keypoints_are_fitted_alike() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[30:34, 40:44] = 255
    points = np.zeros((1, 1, kp.COUNT, 3), np.float32)
    points[0, 0, 0] = (42, 32, 1)
    points[0, 0, 1] = (2, 32, 1)  # cut off at the left
    width, height = 90, 120
    fitted_poses = fitted(PoseSequence(points, 100, 60, 25), width, height).keypoints[0, 0]
    y, x = np.argwhere(fit_picture(picture, width, height)[..., 0] > 128).mean(axis=0) + 0.5
    assert (fitted_poses[0, 0], fitted_poses[0, 1]) == (pytest.approx(x, abs=0.6), pytest.approx(y, abs=0.6))
    assert fitted_poses[0, 2] == 1 and fitted_poses[1, 2] == 0


def test_a_person_is_shown_where_nose_and_shoulders_are_seen() -> None:
    points = np.ones((3, 1, kp.COUNT, 3), np.float32)
    points[1, 0, kp.LEFT_SHOULDER, 2] = 0.1
    assert list(shows_person(PoseSequence(points, 10, 10, 25))) == [True, False, True]


def test_folders_without_use_are_named(folder, tmp_path) -> None:
    base = folder[0]
    (base / "nothing").mkdir()
    with pytest.raises(BadInput, match="no videos"):
        VideoSource(base / "nothing", lengths=(13,), fps=15, aspects=(1.0,), cache=base, latents=None)
    for name in ("tall", "wide"):
        (base / "films" / f"{name}.mp4").unlink()
    with pytest.raises(BadInput, match="shows a person"):
        source(base)

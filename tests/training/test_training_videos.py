"""A folder of videos as training data: poses detected once, windows at the training's rate, all fitted alike."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.media import VideoWriter, write_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_scene
from onetoall_cli.training import picture_pairs, videos
from onetoall_cli.training.picture_pairs import PictureSource, read_pairs
from onetoall_cli.training.preparation import Finding, Preparation
from onetoall_cli.training.videos import VideoSource, fit_picture, fitted, shows_person

FPS = 30.0
REAL_DETECT = videos._detect


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
        return truth[file.stem], ()

    monkeypatch.setattr(videos, "_detect", detect)
    return tmp_path, truth, calls


def source(tmp_path, **options) -> VideoSource:
    standard = {"frames": 13, "fps": 15.0, "aspects": (2 / 3, 3 / 2), "cache": tmp_path / "cache", "latents": None}
    return VideoSource(tmp_path / "films", **{**standard, "pool": None, **options})


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
        numbers, aspect = clips.draw(rng, 3, 13)
        assert len(numbers) == 3
        assert all(clips._aspects[number] == aspect for number in numbers)
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


def test_clips_run_at_their_own_rate_unless_another_is_asked_for(folder) -> None:
    own, slow = source(folder[0], fps=None), source(folder[0])
    assert [recording.fps for recording in own.recordings] == [30, 30]
    clips = [
        each.clip(0, width=64, height=96, frames=13, rng=np.random.default_rng(0), first_frame=True)
        for each in (own, slow)
    ]
    moved = [np.abs(np.diff(clip.motion.keypoints[:, 0, :17, :2], axis=0)).mean() for clip in clips]
    assert moved[1] > 1.5 * moved[0]


def test_no_window_spans_a_cut_and_every_fault_is_told(folder, monkeypatch) -> None:
    tmp_path, truth, _ = folder
    two = truth["wide"].keypoints.repeat(2, axis=1)
    truth["wide"] = replace(truth["wide"], keypoints=two)
    truth["tall"] = truth["tall"][:40]
    detect = videos._detect
    monkeypatch.setattr(videos, "_detect", lambda file, detector: (detect(file, detector)[0], (0.9,)))
    lines: list[str] = []
    clips = source(tmp_path, fps=None, note=lines.append)
    assert all(start + 13 <= 27 or start >= 27 for each in clips.recordings for start in each.windows[13])
    text = "\n".join(lines)
    for fault in ("nobody is seen", "two people", "1 cuts", "2 of 3 videos can be used"):
        assert fault in text
    with pytest.raises(BadInput, match=r"have faults \(empty"):
        source(tmp_path, fps=None, strict=True)
    lines.clear()
    source(tmp_path, fps=None, frames=29, note=lines.append)
    assert "tall" in "".join(lines) and "without a cut" in "".join(lines)


def detect_unless_broken(stand_in):
    """Poses of the films that there are, and of others what the detection of a real file ends in."""
    real = REAL_DETECT
    return lambda file, detector: real(file, detector) if file.stem == "broken" else stand_in(file, detector)


def test_a_file_that_is_no_video_is_told_too(folder, monkeypatch) -> None:
    tmp_path, *_ = folder
    (tmp_path / "films" / "broken.mp4").write_bytes(b"no video")
    monkeypatch.setattr(videos, "_detect", detect_unless_broken(videos._detect))
    lines: list[str] = []
    assert len(source(tmp_path, note=lines.append).recordings) == 2
    assert any("broken.mp4" in line for line in lines)
    assert "0 windows  one frame" in Preparation(tmp_path, (Finding("a", 1, 0, ("one frame",)),)).lines()[0]


def test_the_loss_can_be_told_where_not_to_look(folder) -> None:
    tmp_path, *_ = folder
    mask = np.zeros((96, 64, 3), np.uint8)
    mask[80:90] = 255
    (tmp_path / "masks").mkdir()
    write_picture(tmp_path / "masks" / "tall.png", mask)
    clips = source(tmp_path, ignore=tmp_path / "masks")
    number = next(i for i, r in enumerate(clips.recordings) if r.path.stem == "tall")
    clip = clips.clip(number, width=64, height=96, frames=13, rng=np.random.default_rng(0), first_frame=False)
    assert clip.ignored is not None and np.array_equal(clip.ignored, mask[..., 0] > 0)
    with pytest.raises(BadInput, match="no folder"):
        source(tmp_path, ignore=tmp_path / "nowhere")


def pictures(tmp_path, monkeypatch) -> dict[str, np.ndarray]:
    """Two persons in folders, one with two pictures, and the list of pairs that says the same."""
    shown = {}
    for name, seed in (("a/1", 3), ("a/2", 3), ("b/1", 5)):
        film = sample_scene("train", seed, width=64, height=96, frames=9, framing="half").film(supersample=1)
        frame = 8 if name == "a/2" else 0
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(tmp_path / "people" / f"{name}.png", film.frames[frame])
        shown[name] = film.frames[frame]
    poses = sample_scene("train", 3, width=64, height=96, frames=1, framing="half").film(supersample=1).poses
    monkeypatch.setattr(picture_pairs, "find_people", lambda frames, *_, **__: poses)
    monkeypatch.setattr(picture_pairs, "open_detector", lambda name: contextlib.nullcontext())
    return shown


def test_pictures_of_one_person_make_pairs(tmp_path, monkeypatch) -> None:
    shown = pictures(tmp_path, monkeypatch)
    options = {"aspects": (2 / 3,), "cache": tmp_path / "cache", "latents": None, "pool": None}
    source = PictureSource(tmp_path / "people", **options)
    size = {"width": 64, "height": 96, "frames": 1, "rng": np.random.default_rng(0)}
    clips = [source.clip(number, first_frame=False, **size) for number in range(3)]
    assert [clip.same_picture for clip in clips] == [False, False, True]
    assert np.array_equal(clips[0].reference, shown["a/1"]) and np.array_equal(clips[0].frames[0], shown["a/2"])
    assert source.clip(0, first_frame=True, **size).same_picture
    (tmp_path / "pairs.csv").write_text("from,to,caption\npeople/a/2.png,people/a/1.png,An anime girl\n")
    (drawn,) = read_pairs(tmp_path / "pairs.csv")
    assert drawn.is_drawn and drawn.reference == tmp_path / "people/a/2.png"
    assert not PictureSource(tmp_path / "pairs.csv", **options).clip(0, first_frame=False, **size).has_driving_face


@pytest.mark.parametrize(
    ("text", "problem"),
    [("from,to\n", "no pairs"), ("a,b\n1,2\n", "column 'from'"), ("from,to\nx.png,y.png\n", "not there")],
)
def test_lists_of_pairs_that_cannot_be_used_are_named(tmp_path, text, problem) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(BadInput, match=problem):
        read_pairs(tmp_path / "pairs.csv")


def test_folders_without_use_are_named(folder, tmp_path) -> None:
    base = folder[0]
    (base / "nothing").mkdir()
    with pytest.raises(BadInput, match="no videos"):
        VideoSource(base / "nothing", frames=13, fps=15, aspects=(1.0,), cache=base, latents=None, pool=None)
    for name in ("tall", "wide"):
        (base / "films" / f"{name}.mp4").unlink()
    with pytest.raises(BadInput, match=r"can be used \(empty.*nobody is seen"):
        source(base)

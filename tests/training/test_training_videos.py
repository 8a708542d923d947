"""A folder of videos as training data: poses detected once, windows at the training's rate, all fitted alike."""

import contextlib
import shutil
import time
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
import torch

from onetoall_cli.errors import BadInput
from onetoall_cli.media import VideoWriter, write_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_scene
from onetoall_cli.training import picture_pairs, videos
from onetoall_cli.training.encoding import open_vae, prepare
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.examples import Batches
from onetoall_cli.training.fitting import fit_picture, fitted
from onetoall_cli.training.initial import find_start
from onetoall_cli.training.opening import open_source
from onetoall_cli.training.picture_pairs import PictureSource, open_pictures, read_pairs
from onetoall_cli.training.preparation import Finding, Preparation, share_work
from onetoall_cli.training.recipe import DataSettings, Resolution, TrainingSettings
from onetoall_cli.training.sources import Window
from onetoall_cli.training.videos import VideoSource, open_videos, shows_person

FPS = 30.0
REAL_DETECT = videos._detect
POOL = PosePool([PoseSequence(np.ones((1, 1, kp.COUNT, 3), np.float32), 64, 96)])


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two videos of puppets, 60 frames at 30 fps, and one of an empty room; and their poses."""
    place, truth = tmp_path_factory.mktemp("films"), {}
    for name, width, height in (("tall", 64, 96), ("wide", 96, 64), ("empty", 64, 96)):
        scene = sample_scene("train", 3, width=width, height=height, frames=60, framing="half", fps=FPS)
        film = scene.film(supersample=1)
        poses = film.poses.keypoints.copy()
        if name == "empty":
            poses[..., 2] = 0
        truth[name] = PoseSequence(poses, width, height, FPS)
        with VideoWriter(place / f"{name}.mp4", width, height, fps=FPS, crf=12) as writer:
            for frame in film.frames:
                writer.write(frame)
    return place, truth


@pytest.fixture
def folder(tmp_path, monkeypatch, films):
    """A copy of the films, their poses as the detector finds them, and the films that it was asked about."""
    shutil.copytree(films[0], tmp_path / "films")
    truth = dict(films[1])
    calls = []

    def detect(file, detector):
        calls.append(file.stem)
        return truth[file.stem], ()

    monkeypatch.setattr(videos, "_detect", detect)
    return tmp_path, truth, calls


def settings_of(tmp_path, data: DataSettings, **options) -> TrainingSettings:
    standard = {"frames": 13, "fps": 15.0, "aspects": (2 / 3, 3 / 2), "init_from": "tiny"}
    return TrainingSettings(output=tmp_path, stage=3, steps=1, data=data, **{**standard, **options})


def source(tmp_path, note=None, *, frames=13, fps=15.0, **data) -> VideoSource:
    data = {"source": "videos", "folder": tmp_path / "films", **data}
    return open_videos(settings_of(tmp_path, DataSettings(**data), frames=frames, fps=fps), None, POOL, note=note)


def test_poses_are_detected_once_and_videos_without_a_person_left_out(folder) -> None:
    tmp_path, _, calls = folder
    first = source(tmp_path)
    assert sorted(calls) == ["empty", "tall", "wide"]
    second = source(tmp_path)
    assert len(calls) == 3
    assert [r.path.stem for r in first.recordings] == [r.path.stem for r in second.recordings] == ["tall", "wide"]
    next((tmp_path / "cache" / "poses").glob("tall-*[!s].json")).unlink()
    assert len(source(tmp_path).recordings) == 2 and calls[3:] == ["tall"]


def test_a_window_shows_what_its_keypoints_say_at_the_trainings_rate(folder) -> None:
    tmp_path, truth, _ = folder
    clips = source(tmp_path)
    number = next(i for i, r in enumerate(clips.recordings) if r.path.stem == "tall")
    clip = clips.clip(number, Window(64, 96, 13), np.random.default_rng(0))
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
    clips = [each.clip(0, Window(64, 96, 13, first_frame=True), np.random.default_rng(0)) for each in (own, slow)]
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
    clips = source(tmp_path, lines.append, fps=None)
    assert all(start + 13 <= 27 or start >= 27 for each in clips.recordings for start in each.windows[13])
    text = "\n".join(lines)
    for fault in ("nobody is seen", "two people", "1 cuts", "2 of 3 videos can be used"):
        assert fault in text
    with pytest.raises(BadInput, match=r"have faults \(empty"):
        source(tmp_path, fps=None, strict=True)
    lines.clear()
    source(tmp_path, lines.append, fps=None, frames=29)
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
    assert len(source(tmp_path, lines.append).recordings) == 2
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
    clip = clips.clip(number, Window(64, 96, 13), np.random.default_rng(0))
    assert clip.ignored is not None and np.array_equal(clip.ignored, mask[..., 0] > 0)
    with pytest.raises(BadInput, match="no folder"):
        source(tmp_path, ignore=tmp_path / "nowhere")


def test_poses_can_be_imported_and_those_of_other_videos_are_told(folder) -> None:
    tmp_path, truth, calls = folder
    (tmp_path / "poses").mkdir()
    truth["tall"].save(tmp_path / "poses" / "tall.json")
    truth["tall"].save(tmp_path / "poses" / "wide.json")
    lines: list[str] = []
    (recording,) = source(tmp_path, lines.append, poses=tmp_path / "poses").recordings
    assert recording.path.stem == "tall" and not calls
    np.testing.assert_allclose(recording.motion.keypoints[3], truth["tall"].keypoints[6], atol=0.01)
    text = "\n".join(lines)
    assert "empty.json" in text and "64 x 96 pixels, the video of 96 x 64" in text
    long = truth["tall"].keypoints.repeat(2, axis=0)
    PoseSequence(long, 64, 96, FPS).save(tmp_path / "poses" / "tall.json")
    with pytest.raises(BadInput, match=r"can be used"):
        source(tmp_path, lines.append, poses=tmp_path / "poses")
    assert "last 4.0 s" in "\n".join(lines)


def test_work_is_shared_and_what_another_leaves_undone_is_done(tmp_path) -> None:
    done: list[tuple[int, int]] = []

    def process(own: int) -> None:
        def work(item: int) -> None:
            time.sleep(0.02)
            if (own, item) == (0, failing):
                raise RuntimeError("killed")
            done.append((own, item))

        with contextlib.suppress(RuntimeError):
            names = {str(item): item for item in range(6)}
            share_work(names, work, is_done=lambda item: item in dict(map(reversed, done)), locks=tmp_path / "locks")

    for failing in (None, 0):
        done.clear()
        threads = [Thread(target=process, args=(own,)) for own in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(item for _, item in done) == list(range(6))
        assert failing == 0 or {own for own, _ in done} == {0, 1}
        assert not list((tmp_path / "locks").iterdir())


def test_some_videos_are_held_out(folder) -> None:
    trained, held = source(folder[0]).split()
    assert {*trained.names, *held.names} == set(source(folder[0]).names) and len(trained.names) == len(held.names) == 1
    with pytest.raises(BadInput, match="but one"):
        trained.split()


def test_a_prepared_run_encodes_nothing(folder, micro_vae) -> None:
    tmp_path, *_ = folder
    (tmp_path / "films" / "wide.mp4").unlink()
    data = DataSettings(source="videos", folder=tmp_path / "films")
    options = {"vae": micro_vae, "bf16": False, "resolutions": (Resolution(short_side=32),), "fps": 5.0, "frames": 5}
    settings = settings_of(tmp_path / "run", data, conditions={"token_replace": 0.0}, workers=0, **options)
    made = {path.name: path.read_bytes() for path in prepare(settings).rglob("*.npz")}
    assert any("x5.npz" in name for name in made) and any("x1.npz" in name for name in made)
    some = next(iter(settings.cache.rglob("*x5.npz")))
    some.unlink()  # as if killed before it
    prepare(settings)
    assert {path.name: path.read_bytes() for path in settings.cache.rglob("*.npz")} == made
    _, cache = open_vae(settings, find_start("tiny"), torch.device("cpu"))
    batches = Batches(settings.changed(conditions={"token_replace": 0.0, "zoom": 0.0}), open_source(settings, cache))
    for batch in (batches[number] for number in range(6)):
        ((latents, key),) = zip(batch.latents, batch.keys, strict=True)
        assert latents is not None and key is not None


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

    def opened(name: str) -> PictureSource:
        data = DataSettings(source="pictures", pairs=tmp_path / name)
        return open_pictures(settings_of(tmp_path, data, video_share=0.0), None, POOL)

    source, rng = opened("people"), np.random.default_rng(0)
    clips = [source.clip(number, Window(64, 96, 1), rng) for number in range(3)]
    assert [clip.same_picture for clip in clips] == [False, False, True]
    assert np.array_equal(clips[0].reference, shown["a/1"]) and np.array_equal(clips[0].frames[0], shown["a/2"])
    assert source.clip(0, Window(64, 96, 1, first_frame=True), rng).same_picture
    (tmp_path / "pairs.csv").write_text("from,to,caption\npeople/a/2.png,people/a/1.png,An anime girl\n")
    (drawn,) = read_pairs(tmp_path / "pairs.csv")
    assert drawn.is_drawn and drawn.reference == tmp_path / "people/a/2.png"
    assert not opened("pairs.csv").clip(0, Window(64, 96, 1), rng).has_driving_face


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
        source(base, folder=base / "nothing")
    for name in ("tall", "wide"):
        (base / "films" / f"{name}.mp4").unlink()
    with pytest.raises(BadInput, match=r"can be used \(empty.*nobody is seen"):
        source(base)

"""Runs with other backgrounds, mattes and transparency; generation itself is what it was."""

import av
import numpy as np
import pytest
from command_fixtures import real_poses

import onetoall_cli as onetoall
from onetoall_cli.media import VideoWriter, open_video, read_picture
from onetoall_cli.pose import PoseSequence


@pytest.fixture(scope="module")
def animator(model) -> onetoall.Animator:
    return onetoall.load(model, device="cpu")


@pytest.fixture
def common(ref_pose) -> dict:
    return {"ref_pose": ref_pose, "duration": 0.3, "steps": 1, "short_side": 64}


def test_a_colour_is_behind_and_the_matte_is_written(animator, reference, dance_poses, common, tmp_path) -> None:
    plain = animator.animate(reference, dance_poses, **common)
    shots = [shot for shot, _ in plain.shots()]
    for shot, frame in zip(shots, plain, strict=True):
        assert np.array_equal(shot.picture, frame), "the reference's background is what was always generated"
    result = animator.animate(reference, dance_poses, background="#ff0000", relight="off", **common)
    words = result.record["arguments"]
    assert words[words.index("--background") + 1] == "#ff0000" and words[words.index("--relight") + 1] == "off"
    assert result.save(tmp_path / "a.mkv", mask=tmp_path / "mask.mkv", video=onetoall.VideoSettings(crf=1)) == len(
        shots
    )
    frames, masks = (
        np.stack([frame.image for frame in open_video(tmp_path / name)]).astype(int) for name in ("a.mkv", "mask.mkv")
    )
    mattes, pictures = np.stack([shot.matte for shot in shots]), np.stack([shot.picture for shot in shots])
    assert 0.02 < (mattes > 250).mean() < 0.98
    assert np.abs(masks[..., 0] - mattes).mean() < 2
    assert np.abs(frames[mattes > 250] - pictures[mattes > 250]).mean() < 10
    assert np.abs(frames[mattes == 0] - [255, 0, 0]).mean() < 10


def test_alpha_is_the_character_alone(animator, reference, dance_poses, common, tmp_path) -> None:
    animator.animate(reference, dance_poses, alpha=True, **common).save(tmp_path / "a.mov")
    with av.open(str(tmp_path / "a.mov")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name.startswith("yuva444")
    with pytest.raises(onetoall.OnetoallError, match="cannot hold transparency"):
        animator.animate(reference, dance_poses, alpha=True, **common).save(tmp_path / "a.mp4")


def test_in_the_driver_s_scene_the_output_is_the_driving_video_s_frame(
    animator, reference, common, tmp_path, monkeypatch
) -> None:
    poses = real_poses("dance_full", 3)
    frames = np.random.default_rng(0).integers(0, 256, (3, poses.height // 10, poses.width // 10, 3), np.uint8)
    with VideoWriter(tmp_path / "dance.mp4", *frames.shape[2:0:-1], fps=10) as video:
        for frame in frames:
            video.write(frame)
    points = (poses.keypoints * [0.1, 0.1, 1]).astype(np.float32)
    found = PoseSequence(points, frames.shape[2], frames.shape[1], 10)
    monkeypatch.setattr("onetoall_cli.animator.inputs.LazyDetector.people_in_video", lambda detector, video: found)
    result = animator.animate(reference, tmp_path / "dance.mp4", background="driver", **{**common, "duration": None})
    assert result.size == (frames.shape[2], frames.shape[1])
    assert result.conditioning.meta["mode"] == "pose"
    true = [frame.image for frame in open_video(tmp_path / "dance.mp4")]
    for (shot, _), frame in zip(result.shots(), true, strict=True):
        assert np.array_equal(shot.picture[:4, :4], frame[:4, :4]), "where nobody is, nothing changes"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"background": "driver"}, "needs the driving video"),
        ({"background": "no-such-file.png"}, "nor a colour, nor a file"),
        ({"background": "white", "alpha": True}, "--alpha leaves out"),
    ],
)
def test_scenes_that_cannot_be_are_refused_before_any_work(animator, reference, dance_poses, settings, words) -> None:
    with pytest.raises(onetoall.OnetoallError, match=words):
        animator.animate(reference, dance_poses, **settings)


def test_what_only_animate_can_do_is_not_ignored_elsewhere(animator, reference, dance_poses, common) -> None:
    with pytest.raises(onetoall.OnetoallError, match="are for animate"):
        animator.transfer(reference, dance_poses, ref_pose=common["ref_pose"], background="white")


def test_a_posed_picture_has_a_matte_too(animator, reference, dance_poses, common, tmp_path) -> None:
    one = animator.animate(reference, PoseSequence.load(dance_poses)[:1], **{**common, "duration": None})
    one.save(tmp_path / "a.png", mask=tmp_path / "mask.png")
    assert read_picture(tmp_path / "mask.png").shape == read_picture(tmp_path / "a.png").shape

"""The main act as a library: values and files in, frames out, everything saved whole; nothing is printed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_fixtures import FRAMES, real_poses
from PIL import Image

import onetoall_cli as onetoall
from onetoall_cli.animator.progress import DENOISING, WRITING
from onetoall_cli.animator.resolving import resolve
from onetoall_cli.animator.settings import GenerationSettings, ModelSettings
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.media import open_video, read_metadata, read_picture


@pytest.fixture(scope="module")
def animator(model) -> onetoall.Animator:
    return onetoall.load(model, device="cpu")


@pytest.fixture
def common(ref_pose) -> dict:
    return {"ref_pose": ref_pose, "duration": 0.5}


def frames_of(result: onetoall.Result) -> np.ndarray:
    return np.stack(list(result))


def test_files_and_values_give_the_same_frames(animator, reference, dance_poses, ref_pose) -> None:
    from_files = animator.animate(reference, dance_poses, ref_pose=ref_pose, duration=0.5)
    as_values = animator.animate(
        Image.fromarray(read_picture(reference)),
        onetoall.PoseSequence.load(dance_poses),
        ref_pose=onetoall.PoseSequence.load(ref_pose),
        duration=0.5,
    )
    assert np.array_equal(frames_of(from_files), frames_of(as_values))
    assert as_values.record["arguments"][:3] == ["animate", "<Image>", "<PoseSequence>"]


def test_a_result_gives_the_same_frames_every_time_and_other_noise_by_another_seed(
    animator, reference, dance_poses, common
) -> None:
    result = animator.animate(reference, dance_poses, seed=1, **common)
    assert np.array_equal(frames_of(result), frames_of(result))
    assert np.array_equal(
        frames_of(result.with_seed(2)), frames_of(animator.animate(reference, dance_poses, seed=2, **common))
    )
    assert not np.array_equal(frames_of(result), frames_of(result.with_seed(2)))


def test_a_result_knows_its_record_plan_and_alignment(animator, model, reference, dance_poses, common) -> None:
    result = animator.animate(reference, dance_poses, **common)
    assert (result.plan.frames, result.plan.segments) == (5, (5,))
    assert result.conditioning.meta["mode"] == "pose"
    assert result.record["model"]["name"] == str(model)
    assert "--align" in result.record["arguments"] and result.conditioning.face != "auto"


def test_an_aligned_input_takes_the_place_of_both(animator, model, reference, dance_poses, common, tmp_path) -> None:
    aligned = onetoall.align(reference, dance_poses, model=model, **common)
    aligned.save(tmp_path / "aligned")
    wanted = frames_of(animator.animate(reference, dance_poses, **common))
    assert np.array_equal(frames_of(animator.animate(aligned)), wanted)
    assert np.array_equal(frames_of(animator.animate(tmp_path / "aligned")), wanted)
    with pytest.raises(onetoall.BadInput, match="takes the place"):
        animator.animate(aligned, dance_poses)


def test_pictures_and_videos_are_looked_at_by_a_detector(animator, reference, dance, seeing, tmp_path) -> None:
    result = animator.animate(read_picture(reference), dance)
    assert result.save(tmp_path / "out.mp4") == FRAMES
    video = open_video(tmp_path / "out.mp4")
    assert video.has_audio and video.duration == pytest.approx(2.0, abs=0.1)
    assert read_metadata(tmp_path / "out.mp4")["arguments"][1] == "<ndarray>"
    frames = np.stack([frame.image for frame in open_video(dance)])
    assert len(frames_of(animator.animate(reference, frames, fps=10))) == FRAMES


def test_a_pose_is_transferred_into_a_picture(animator, reference, dance_poses, ref_pose, tmp_path) -> None:
    result = animator.transfer(reference, dance_poses, ref_pose=ref_pose, pose_frame=3)
    assert result.save(tmp_path / "posed.png") == 1
    (made,) = result
    assert np.array_equal(read_picture(tmp_path / "posed.png"), made)
    with pytest.raises(onetoall.BadInput, match="none numbered 99"):
        animator.transfer(reference, dance_poses, ref_pose=ref_pose, pose_frame=99)


def test_a_clip_is_continued(animator, reference, dance_poses, ref_pose, common, tmp_path) -> None:
    animator.animate(reference, dance_poses, **{**common, "duration": 1.0}).save(tmp_path / "a.mp4")
    poses = tmp_path / "poses.json"
    onetoall.align(reference, dance_poses, model=animator.name, **{**common, "duration": 1.0}).motion.save(poses)
    result = animator.extend(
        tmp_path / "a.mp4", dance_poses, reference, clip_pose=poses, ref_pose=ref_pose, start=1.0, duration=0.5
    )
    assert len(frames_of(result)) == 15
    assert result.duration == pytest.approx(1.5)


def test_the_listener_hears_every_step_and_frame_and_stdout_nothing(
    model, reference, dance_poses, common, capsys
) -> None:
    told: list[tuple] = []
    notes: list[str] = []
    listener = onetoall.Listener(note=notes.append, progress=lambda *each: told.append(each))
    result = onetoall.load(model, listener=listener).animate(reference, dance_poses, **common)
    frames_of(result)
    steps = result.plan.steps * len(result.plan.segments)
    assert (DENOISING, steps, steps) in told and (WRITING, 5, 5) in told
    assert any("on cpu" in note for note in notes)
    assert capsys.readouterr() == ("", "")


def test_an_exception_of_the_listener_ends_the_run_with_nothing_half_written(
    model, reference, dance_poses, common, tmp_path
) -> None:
    def stop(stage, done, total) -> None:
        if stage is WRITING:
            raise KeyboardInterrupt

    listener = onetoall.Listener(progress=stop)
    result = onetoall.load(model, listener=listener).animate(reference, dance_poses, **common)
    with pytest.raises(KeyboardInterrupt):
        result.save(tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_does_not_load_the_model_again(model, reference, dance_poses, common, monkeypatch) -> None:
    from onetoall_cli.animator import engine as module

    loaded = []
    original = module.load_pipeline
    monkeypatch.setattr(module, "load_pipeline", lambda *a, **k: loaded.append(1) or original(*a, **k))
    animator = onetoall.load(model)
    for seed in (1, 2):
        frames_of(animator.animate(reference, dance_poses, seed=seed, **common))
    frames_of(animator.animate(reference, dance_poses, fast="both", **common))
    assert loaded == [1]


@pytest.mark.parametrize(("name", "value"), [("sed", 7), ("steps_", 3)])
def test_a_setting_that_does_not_exist_is_named(animator, reference, dance_poses, name, value) -> None:
    with pytest.raises(onetoall.BadInput, match=name):
        animator.animate(reference, dance_poses, **{name: value})


def test_a_model_setting_that_does_not_exist_is_named(model) -> None:
    with pytest.raises(onetoall.BadInput, match="devise"):
        onetoall.load(model, devise="cpu")


def test_poses_are_detected_in_files_and_frames(dance, seeing) -> None:
    everyone = onetoall.detect_poses(dance)
    assert (len(everyone), everyone.people) == (FRAMES, 1)
    part = onetoall.detect_poses(dance, settings=onetoall.MotionSettings(duration=1.0, smooth=False))
    assert len(part) == FRAMES // 2
    seen = real_poses("dance_full", FRAMES)
    assert np.abs(part.keypoints[0, 0, 0, :2] - seen.keypoints[0, 0, 0, :2] * 108 / seen.width).max() < 0.2


def test_help_of_the_package_reads_like_a_manual() -> None:
    assert set(onetoall.__all__) <= {*dir(onetoall), "__version__"}
    text = onetoall.__doc__
    assert all(name in text for name in ("load", "align", "detect_poses", "Settings", "OnetoallError"))
    assert Path(onetoall.__file__).with_name("py.typed").exists()


def test_a_program_that_uses_the_library_prints_nothing_but_its_own(model, reference, dance_poses, ref_pose) -> None:
    script = (
        "import sys, onetoall_cli as onetoall\n"
        "model, reference, dance, pose = sys.argv[1:]\n"
        "result = onetoall.load(model).animate(reference, dance, ref_pose=pose, duration=0.1)\n"
        "print(sum(1 for _ in result))\n"
    )
    command = [sys.executable, "-c", script, *map(str, (model, reference, dance_poses, ref_pose))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_an_aligned_input_with_a_motion_is_refused_by_plan_as_by_animate(animator, reference, dance_poses, common):
    aligned = onetoall.align(reference, dance_poses, model=animator.name, **common)
    for run in (animator.plan, animator.animate):
        with pytest.raises(onetoall.BadInput, match="takes the place of reference and motion"):
            run(aligned, dance_poses)


def test_unknown_settings_are_refused_alike_by_name(model):
    for call in (onetoall.load, onetoall.Settings().changed):
        with pytest.raises(onetoall.BadInput, match="no setting 'sead'"):
            call(sead=7)


def test_a_draft_is_half_as_large_with_fewer_steps_and_says_so_in_its_record(animator, reference, dance_poses, common):
    sides = {"width": 64, "height": 96}
    plans = [
        animator.plan(reference, dance_poses, settings=onetoall.Settings().changed(draft=draft, **sides))
        for draft in (False, True)
    ]
    assert (plans[0].width, plans[0].height) == (2 * plans[1].width, 2 * plans[1].height)
    result = animator.animate(reference, dance_poses, draft=True, **sides, **common)
    assert (result.plan.width, result.plan.height) == (plans[1].width, plans[1].height)
    assert "--draft" in result.arguments


@pytest.mark.parametrize(("model_steps", "draft"), [(30, 10), (6, 4), (2, 2)])
def test_a_draft_takes_a_third_of_the_models_steps_but_what_the_user_says(model_steps, draft):
    defaults = GenerationDefaults(num_inference_steps=model_steps)
    steps = [
        resolve(GenerationSettings(steps=asked), ModelSettings(), defaults, draft=True).sampling.num_inference_steps
        for asked in (None, 12)
    ]
    assert steps == [draft, 12]

"""`onetoall animate`: a picture and a motion in, a playable file with the motion's clock and sound out."""

import os
import subprocess
import sys

import numpy as np
import pytest

from onetoall_cli.media import open_video, read_metadata, read_picture, write_picture


def test_a_picture_and_a_video_become_a_video_with_the_same_clock_and_sound(
    onetoall, model, reference, dance, seeing, tmp_path
):
    result = onetoall("animate", reference, dance, "--model", model, "-o", "out.mp4", "--json")
    assert result.exit_code == 0, result.err
    video = open_video(tmp_path / "out.mp4")
    assert (video.width, video.height) == (32, 48)
    assert len(list(video)) == 20
    assert video.duration == pytest.approx(2.0, abs=0.1)
    assert video.has_audio
    assert result.json["segments"] == [13, 13]
    assert result.json["output"] == "out.mp4"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    onetoall, model, reference, ref_pose, dance_poses, tmp_path
):
    common = ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.5)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert onetoall(*common, "--seed", seed, "--frames", name, "-o", f"{name}.mp4").exit_code == 0
    frames = {name: [path.read_bytes() for path in sorted((tmp_path / name).glob("*.png"))] for name in "abc"}
    assert frames["a"] == frames["b"]
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert not set(frames["a"]) & set(frames["c"])


@pytest.mark.slow
def test_ten_commands_with_the_small_model_write_the_same_bytes(reference, ref_pose, dance_poses, tmp_path, request):
    """Each is a process of its own, in every other glibc's fresh memory holds 0xFE; the last five are under load."""
    command = [sys.executable, "-m", "onetoall_cli", "animate", reference, dance_poses, "--ref-pose", ref_pose]
    options = ["--model", "tiny", "--segment-frames", "9", "--duration", "1.4", "--quiet", "-o", "out.mp4"]
    videos = set()
    for run in range(10):
        if run == 5:
            request.getfixturevalue("busy_machine")
        environment = os.environ | {"GLIBC_TUNABLES": f"glibc.malloc.perturb={run % 2}"}
        subprocess.run([*command, *options, "--overwrite"], cwd=tmp_path, env=environment, check=True)
        videos.add((tmp_path / "out.mp4").read_bytes())
    assert len(videos) == 1


def test_from_an_aligned_folder_the_result_is_identical(onetoall, model, reference, ref_pose, dance_poses, tmp_path):
    common = ("--model", model, "--duration", 0.5)
    assert onetoall("animate", reference, dance_poses, "--ref-pose", ref_pose, *common, "--frames", "a").exit_code == 0
    aligned = onetoall("align", reference, dance_poses, "--ref-pose", ref_pose, *common, "-o", "aligned")
    assert aligned.exit_code == 0, aligned.err
    assert onetoall("animate", "--from", "aligned", "--model", model, "--frames", "b").exit_code == 0
    for a, b in zip(sorted((tmp_path / "a").glob("*.png")), sorted((tmp_path / "b").glob("*.png")), strict=True):
        assert np.array_equal(read_picture(a), read_picture(b))
    for more in (("--short-side", 64), ("--start", 0.2), ("--align", "ref", "--dry-run")):
        refused = onetoall("animate", "--from", "aligned", "--model", model, "--overwrite", *more)
        assert refused.exit_code == 2 and f"{more[0]} has no effect on an aligned input" in refused.err


def test_fps_resamples_the_motion_and_keeps_the_duration(onetoall, model, reference, dance, seeing, tmp_path):
    assert onetoall("animate", reference, dance, "--model", model, "--fps", 5, "-o", "out.mp4").exit_code == 0
    video = open_video(tmp_path / "out.mp4")
    assert (len(list(video)), video.duration) == (10, pytest.approx(2.0, abs=0.2))


def test_no_audio_leaves_the_sound_out(onetoall, model, reference, dance, seeing, tmp_path):
    options = ("--duration", 0.3, "--no-audio", "-o", "out.mp4")
    assert onetoall("animate", reference, dance, "--model", model, *options).exit_code == 0
    assert not open_video(tmp_path / "out.mp4").has_audio


def test_compare_shows_reference_pose_and_result_side_by_side(onetoall, model, reference, dance, seeing, tmp_path):
    options = ("--duration", 0.3, "--compare", "-o", "out.mp4")
    assert onetoall("animate", reference, dance, "--model", model, *options).exit_code == 0
    both, alone = (next(iter(open_video(tmp_path / name))).image for name in ("out-compare.mp4", "out.mp4"))
    assert both.shape == (48, 3 * 32, 3)
    assert np.abs(both[:, 64:].astype(int) - alone).mean() < 8


def test_the_settings_in_the_output_reproduce_it(onetoall, model, reference, ref_pose, dance_poses, tmp_path):
    import shlex

    made = onetoall(
        "animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.5, "--seed", 7
    )
    assert made.exit_code == 0, made.err
    (output,) = tmp_path.glob("*.mp4")
    first = [frame.image for frame in open_video(output)]
    command = shlex.split(onetoall("info", output).out.splitlines()[0])
    assert command[:2] == ["onetoall", "animate"]
    assert onetoall(*command[1:], "--overwrite").exit_code == 0
    assert all(np.array_equal(a, b.image) for a, b in zip(first, open_video(output), strict=True))
    assert read_metadata(output)["arguments"][read_metadata(output)["arguments"].index("--seed") + 1] == "7"


def test_dry_run_says_the_plan_and_writes_nothing(onetoall, model, reference, dance, tmp_path):
    result = onetoall("animate", reference, dance, "--model", model, "--dry-run", "--json")
    assert result.exit_code == 0
    assert result.json["frames"] == 20
    assert result.json["segments"] == [13, 13]
    assert (result.json["width"], result.json["height"]) == (32, 48)
    assert result.json["network_runs"] == 2 * 3 * 2
    assert list(tmp_path.iterdir()) == []


def test_a_plan_from_a_dry_run_is_the_plan_of_the_run(onetoall, model, reference, dance, seeing):
    options = ("--model", model, "--json", "--fps", 7, "--start", 0.5)
    planned = onetoall("animate", reference, dance, *options, "--dry-run").json
    done = onetoall("animate", reference, dance, *options).json
    assert {key: done[key] for key in ("frames", "segments", "width", "height")} == {
        key: planned[key] for key in ("frames", "segments", "width", "height")
    }


def test_fps_is_the_rate_of_a_folder_of_pictures(onetoall, model, reference, seeing, tmp_path):
    (tmp_path / "dance").mkdir()
    for index in range(6):
        write_picture(tmp_path / "dance" / f"{index}.png", np.full((192, 108, 3), 30 * index, np.uint8))
    common = ("animate", reference, "dance", "--model", model, "--fps", 12, "-o", "out.mp4")
    assert onetoall(*common, "--dry-run", "--json").json["frames"] == 6
    assert onetoall(*common).exit_code == 0
    video = open_video(tmp_path / "out.mp4")
    assert (len(list(video)), video.duration) == (6, pytest.approx(0.5, abs=0.01))

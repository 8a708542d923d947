"""Nothing of the user's is lost by an output, and outputs and inputs may be pipes."""

import json
import os
import platform
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_fixtures import FRAMES

import onetoall_cli
from onetoall_cli.media import open_video, read_picture
from onetoall_cli.pose import PoseSequence


def refused(result, *words):
    assert result.exit_code == 2, result.out
    for word in words:
        assert word in result.err
    return True


@pytest.fixture
def holiday(tmp_path, dance_poses):
    """A folder of the user's with a motion in it."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    (folder / "motion.json").write_bytes(dance_poses.read_bytes())
    return folder


def run(*arguments, **more):
    command = [sys.executable, "-m", "onetoall_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, **more)


def test_no_command_empties_a_folder_of_the_users(onetoall, holiday, model, reference, ref_pose, dance_poses, tmp_path):
    aligning = ("--ref-pose", ref_pose, "--model", model)
    commands = (
        ("pose", "holiday/motion.json", "-o", "p.json", "--openpose", "holiday"),
        ("align", reference, dance_poses, *aligning, "-o", "holiday"),
        ("align", reference, "holiday/motion.json", *aligning, "-o", "holiday"),
        ("animate", reference, dance_poses, *aligning, "-o", "o.mp4", "--frames", "holiday"),
        ("demo", "-o", "holiday"),
        ("train", "holiday/motion.json", "--export", "holiday"),
    )
    for command in commands:
        assert refused(onetoall(*command, "--overwrite"), "holiday")
    assert {path.name for path in holiday.iterdir()} == {"diary.txt", "motion.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["holiday"]


def test_an_output_is_not_the_input(onetoall, dance_poses, tmp_path):
    same = tmp_path / "same.json"
    same.write_bytes(dance_poses.read_bytes())
    (tmp_path / "link.json").symlink_to("same.json")
    for name in ("same.json", "./same.json", "link.json", same):
        assert refused(onetoall("pose", same, "-o", name, "--overwrite"), "is the input")
    assert refused(onetoall("pose", same, "-o", "z.json", "--openpose", "z.json"), "are the same")
    assert same.read_bytes() == dance_poses.read_bytes()


def test_an_impossible_output_is_refused_before_anything_is_detected(onetoall, dance, reference, model, seeing):
    pictures = ("animate", reference, dance, "--model", model)
    for command in (
        ("pose", dance, "-o", "poses.mp4"),
        ("pose", dance, "-o", "龙" * 90 + ".json"),
        ("pose", dance, "-o", "p.json", "--preview", "nowhere/p.mp4"),
        ("pose", dance, "-o", "p.json", "--preview", "p.json"),
        (*pictures, "-o", "out.json"),
        (*pictures, "-o", "龙" * 82 + ".mp4", "--compare"),
        (*pictures, "-o", "out.mp4", "--frames", "/"),
        ("transfer", reference, "--pose", dance, "--model", model, "-o", "out.mp4"),
    ):
        result = onetoall(*command)
        assert refused(result), command
        assert "Detecting" not in result.err


def test_an_input_of_an_impossible_name_is_refused(onetoall, model, reference):
    for command in (("pose", "龙" * 90), ("animate", "x" * 300, "y"), ("align", reference, "x/" * 3000)):
        assert refused(onetoall(*command))


def test_a_deleted_current_folder_is_said(dance_poses, tmp_path):
    (tmp_path / "gone").mkdir()
    script = f'rmdir "$PWD"; exec {sys.executable} -m onetoall_cli animate --from x -o o.mp4'
    environment = {**os.environ, "PYTHONPATH": str(Path(onetoall_cli.__file__).parents[1])}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path / "gone", capture_output=True, env=environment)
    assert done.returncode == 2 and b"current folder has been deleted" in done.stderr


def test_long_names_of_inputs_make_a_shorter_name(onetoall, model, reference, dance_poses, ref_pose, tmp_path):
    character, dance = tmp_path / ("龙" * 80 + ".png"), tmp_path / ("舞" * 80 + ".json")
    character.write_bytes(reference.read_bytes())
    dance.write_bytes(dance_poses.read_bytes())
    result = onetoall("align", character, dance, "--ref-pose", ref_pose, "--model", model, "--duration", 0.5, "--json")
    assert result.exit_code == 0, result.err
    assert os.path.exists(result.json["output"])
    assert onetoall("animate", character, dance, "--model", model, "--dry-run", "--compare").exit_code == 0


@pytest.mark.parametrize("target", ["-", "/dev/stdout"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_poses_go_to_standard_output_alone(dance_poses, tmp_path, target, options):
    done = run("pose", dance_poses, "-o", target, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == dance_poses.read_bytes()
    said = done.stderr.decode()
    assert json.loads(said)["output"] == target if options else target in said
    assert os.listdir(tmp_path) == []


def test_an_error_does_not_go_into_the_stream(tmp_path):
    done = run("pose", "absent.json", "-o", "-", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"absent.json" in done.stderr


def test_a_reader_of_the_stream_that_has_seen_enough_is_no_error(dance_poses):
    command = [sys.executable, "-m", "onetoall_cli", "pose", str(dance_poses), "-o", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141


def test_a_device_gets_the_output_and_stays_a_device(onetoall, dance_poses, tmp_path):
    try:
        os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    assert onetoall("pose", dance_poses, "-o", "null", "--overwrite").exit_code == 0
    assert (tmp_path / "null").is_char_device()


def test_a_video_goes_into_a_pipe(onetoall, model, reference, ref_pose, dance_poses, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: (tmp_path / "got.mp4").write_bytes((tmp_path / "pipe").read_bytes()))
    reader.start()
    command = ("animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "--duration", 0.5)
    result = onetoall(*command, "-o", "pipe")
    reader.join(timeout=60)
    assert result.exit_code == 0, result.err
    assert len(list(open_video(tmp_path / "got.mp4"))) == 5


def test_a_picture_goes_into_a_pipe(onetoall, model, reference, ref_pose, dance_poses, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: (tmp_path / "got.png").write_bytes((tmp_path / "pipe").read_bytes()))
    reader.start()
    command = ("transfer", reference, "--pose", dance_poses, "--ref-pose", ref_pose, "--model", model)
    assert onetoall(*command, "-o", "pipe").exit_code == 0
    reader.join(timeout=60)
    assert read_picture(tmp_path / "got.png").shape == (48, 32, 3)


def test_a_stream_has_no_comparison_beside_it(onetoall, model, reference, dance_poses):
    command = ("animate", reference, dance_poses, "--model", model, "-o", "-", "--compare")
    assert refused(onetoall(*command), "--compare")


def test_poses_come_in_from_standard_input(dance_poses, tmp_path):
    done = run("pose", "-", "--json", cwd=tmp_path, input=dance_poses.read_bytes())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == "stdin.pose.json"
    assert (tmp_path / "stdin.pose.json").read_bytes() == dance_poses.read_bytes()


def test_picture_motion_and_poses_come_in_from_pipes(onetoall, model, reference, ref_pose, dance, seeing, tmp_path):
    ends = []
    for file in (reference, dance, ref_pose):
        end, start = os.pipe()
        threading.Thread(target=feed, args=(start, file.read_bytes()), daemon=True).start()
        ends.append(end)
    picture, motion, pose = (f"/dev/fd/{end}" for end in ends)
    command = ("animate", picture, motion, "--ref-pose", pose, "--model", model, "--duration", 0.5, "-o", "out.mp4")
    result = onetoall(*command)
    assert result.exit_code == 0, result.err
    video = open_video(tmp_path / "out.mp4")
    assert video.has_audio and len(list(video)) == 5


def feed(start, contents):
    with open(start, "wb") as file:
        file.write(contents)


def test_errors_name_the_pipe_and_not_the_copy(tmp_path):
    done = run("pose", "-", "-o", "p.json", cwd=tmp_path, input=b'{"people": 3}')
    assert done.returncode == 2
    assert done.stderr.startswith(b"onetoall: -")


def test_nothing_appears_unless_everything_does(onetoall, dance, seeing, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PoseSequence, "save", broken)
    result = onetoall("pose", dance, "-o", "p.json", "--preview", "p.mp4", "--openpose", "poses")
    assert result.exit_code == 4
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_left_is_swept_and_said_in_detail(onetoall, dance_poses, tmp_path):
    left = tmp_path / ".onetoall-abcdefgh.part"
    left.mkdir()
    (left / "lock").write_text(platform.node())
    result = onetoall("pose", dance_poses, "-o", "p.json", "--verbose")
    said = "".join(result.err.split())  # long lines are broken anywhere
    assert f"{left.name},whicharunthatwaskilledhadleft" in said
    assert os.listdir(tmp_path) == ["p.json"]


def test_an_openpose_folder_of_ours_is_replaced(onetoall, dance_poses, tmp_path):
    for duration, frames in ((2, FRAMES), (0.5, 5)):
        options = ("--duration", duration, "-o", "p.json", "--openpose", "poses", "--overwrite")
        assert onetoall("pose", dance_poses, *options).exit_code == 0
        assert len(list((tmp_path / "poses").glob("*.json"))) == frames
    assert sorted(os.listdir(tmp_path)) == ["p.json", "poses"]

"""The other commands: pose, align, transfer, extend, info, completion, and what they have in common."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer.main
from command_fixtures import FRAMES, RATE, real_poses
from PIL import Image

from onetoall_cli.cli import app
from onetoall_cli.cli.completion import SHELLS, completion_script
from onetoall_cli.cli.options import HEADINGS
from onetoall_cli.media import open_video, read_picture, write_picture
from onetoall_cli.pose import PoseSequence

COMPLETIONS = Path(__file__).parents[2] / "completions"


def test_pose_writes_everyone_and_a_preview_of_the_same_length(onetoall, dance, seeing, tmp_path):
    result = onetoall("pose", dance, "-o", "dance.json", "--preview", "preview.mp4", "--json")
    assert result.exit_code == 0, result.err
    assert result.json["quality"]["frames"] == FRAMES and result.json["quality"]["jumps"] == []
    poses = PoseSequence.load(tmp_path / "dance.json")
    assert (len(poses), poses.width, poses.height) == (FRAMES, 108, 192)
    assert len(list(open_video(tmp_path / "preview.mp4"))) == FRAMES
    assert result.json["people"] == 1


def test_an_unsmoothed_pose_file_holds_what_the_detector_saw(onetoall, dance, seeing, tmp_path):
    result = onetoall("pose", dance, "--no-smooth", "-o", "dance.json")
    assert result.exit_code == 0 and result.out.splitlines()[-1].startswith("Quality: ")
    seen = real_poses("dance_full", FRAMES)
    written = PoseSequence.load(tmp_path / "dance.json")
    scale = np.array([108 / seen.width, 192 / seen.height])
    sure = seen.keypoints[:, 0, :, 2] > 0.5
    assert np.abs(written.keypoints[:, 0, :, :2] - seen.keypoints[:, 0, :, :2] * scale)[sure].max() < 0.1


def test_pose_exports_for_openpose_editors(onetoall, dance_poses, tmp_path):
    assert onetoall("pose", dance_poses, "--openpose", "folder").exit_code == 0
    assert len(list((tmp_path / "folder").glob("*.json"))) == FRAMES


def test_align_writes_what_the_network_would_see(onetoall, reference, ref_pose, dance_poses, model, tmp_path):
    options = ("--ref-pose", ref_pose, "--model", model, "-o", "aligned", "--preview", "look.png")
    result = onetoall("align", reference, dance_poses, *options, "--preview-video", "look.mp4", "--json")
    assert result.exit_code == 0, result.err
    names = {path.name for path in (tmp_path / "aligned").glob("[!.]*")}
    assert names == {"reference.png", "mask.png", "reference_pose.png", "pose.json", "pose.mp4", "meta.json"}
    assert read_picture(tmp_path / "aligned" / "mask.png").shape == (48, 32, 3)
    assert result.json["alignment"]["mode"] == "pose"
    assert len(list(open_video(tmp_path / "look.mp4"))) == FRAMES
    assert onetoall("info", "aligned").out.startswith("onetoall align ")


def test_an_aligned_folder_is_replaced_only_when_asked(onetoall, reference, ref_pose, dance_poses, model, tmp_path):
    command = ("align", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "-o", "aligned")
    assert onetoall(*command).exit_code == 0
    assert onetoall(*command).exit_code == 2
    assert onetoall(*command, "--overwrite").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["aligned"]


@pytest.mark.parametrize("kind", ["pose file", "picture"])
def test_transfer_takes_its_pose_from_a_file_or_a_picture(
    onetoall, model, reference, dance_poses, seeing, tmp_path, kind
):
    pose = dance_poses
    if kind == "picture":
        pose = tmp_path / "dancer.png"
        write_picture(pose, np.zeros((192, 108, 3), np.uint8))
    result = onetoall("transfer", reference, "--pose", pose, "--model", model, "-o", "out.png", "--json")
    assert result.exit_code == 0, result.err
    assert read_picture(tmp_path / "out.png").shape == (48, 32, 3)
    assert onetoall("info", "out.png").out.startswith("onetoall transfer ")


def test_transfer_refuses_a_frame_that_does_not_exist(onetoall, model, reference, dance_poses, seeing):
    result = onetoall("transfer", reference, "--pose", dance_poses, "--pose-frame", 99, "--model", model)
    assert (result.exit_code, "none numbered 99" in result.err) == (2, True)


def test_extend_continues_the_clip_in_one_file_with_one_clock(onetoall, model, reference, dance, seeing, tmp_path):
    common = ("--model", model)
    assert onetoall("align", reference, dance, *common, "--duration", 1, "-o", "aligned").exit_code == 0
    first = onetoall("animate", "--from", "aligned", *common, "-o", "a.mp4")
    assert first.exit_code == 0, first.err
    options = ("--reference", reference, "--clip-pose", "aligned/pose.json", *common)
    result = onetoall("extend", "a.mp4", dance, *options, "--start", 1, "-o", "b.mp4", "--json")
    assert result.exit_code == 0, result.err
    before, after = (list(open_video(tmp_path / name)) for name in ("a.mp4", "b.mp4"))
    assert (len(before), len(after)) == (10, 20)
    assert [frame.time for frame in after] == pytest.approx([index / RATE for index in range(20)], abs=0.01)
    kept = np.array([np.abs(a.image.astype(int) - b.image).mean() for a, b in zip(before, after, strict=False)])
    assert kept.max() < 12  # only encoded once more
    assert open_video(tmp_path / "b.mp4").has_audio
    assert result.json["frames"] == 20


def test_extend_without_a_person_at_the_clips_end_names_the_way_out(
    onetoall, model, reference, dance, seeing, tmp_path
):
    assert onetoall("animate", reference, dance, "--model", model, "--duration", 1, "-o", "a.mp4").exit_code == 0
    result = onetoall("extend", "a.mp4", dance, "--reference", reference, "--model", model)
    assert (result.exit_code, "--clip-pose FILE" in result.err) == (2, True)


def test_info_of_a_foreign_file_is_refused(onetoall, dance):
    assert onetoall("info", dance).exit_code == 2


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_files_are_what_the_command_prints(shell):
    file = {"bash": "onetoall.bash", "zsh": "_onetoall", "fish": "onetoall.fish"}[shell]
    assert (COMPLETIONS / file).read_text() == completion_script(shell), (
        f"run: onetoall completion {shell} > completions/{file}"
    )


def test_help_starts_without_torch_and_fast():
    """The bound is loose for a busy machine; without torch, cv2, av and numpy the answer takes about 0.15 s."""
    script = (
        "import sys; sys.argv = ['onetoall', '--help']\n"
        "import onetoall_cli.cli as cli\n"
        "try: cli.app()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'diffusers', 'transformers', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - begin < 5


def test_a_run_without_loras_imports_only_what_it_uses():
    code = (
        "import sys\n"
        "from onetoall_cli.animator.settings import ModelSettings\n"
        "from onetoall_cli.cli.generation import import_what_is_used\n"
        "import_what_is_used([ModelSettings()])\n"
        "assert 'onetoall_cli.sampling.pipeline' in sys.modules\n"
        "sys.exit(', '.join({'peft', 'bitsandbytes', 'scipy.stats', 'onnxruntime', 'pandas'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == ""


@pytest.mark.parametrize("command", sorted(typer.main.get_command(app).commands))  # type: ignore[attr-defined]
def test_every_help_fits_80_columns(command, onetoall, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = onetoall(command, "--help")
    assert result.exit_code == 0
    usage, *_ = lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not set("{}") & set(usage)
    assert "{" not in result.out.partition("\n\n")[0], "in the usage"


def test_every_group_of_options_has_its_heading_in_the_help(onetoall):
    out = onetoall("animate", "--help").out
    places = [out.index(f"\n{title}:\n") for title in ("Arguments", "Options", *dict.fromkeys(HEADINGS.values()))]
    assert places == sorted(places)
    assert out.index("\nSize:\n") < out.index("--short-side") < out.index("\nModel and memory:\n")


def test_train_refuses_a_config_that_describes_nothing(onetoall, tmp_path):
    (tmp_path / "config.yaml").write_text("output: run\n")
    result = onetoall("train", "config.yaml")
    assert (result.exit_code, "describes no VAE" in result.err) == (2, True)
    assert onetoall("train", "missing.yaml").exit_code == 2


def test_train_makes_a_vae_of_a_few_steps_and_says_where(onetoall, tmp_path):
    (tmp_path / "vae.yaml").write_text(
        "output: run\nmodel: {base_dim: 8, num_res_blocks: 1, dim_mult: [1, 1, 1, 1]}\n"
        "phases:\n  - {steps: 2, batch: 1, crop: 32}\ncheckpoint_every: 2\nsample_every: 100\nthreads: 1\n"
    )
    result = onetoall("train", "vae.yaml", "--json")
    assert result.exit_code == 0, result.err
    assert (tmp_path / result.json["output"] / "config.json").is_file()


def test_train_says_what_a_run_needs_without_running_it(onetoall, tmp_path):
    (tmp_path / "stage.yaml").write_text(
        "output: run\nstage: 2\nvae: vae\nsteps: 3\nframes: 13\nresolutions: [{short_side: 32}]\naspects: [1.0]\n"
        "model: {num_attention_heads: 1, attention_head_dim: 32, text_dim: 8, ffn_dim: 64, num_layers: 3,\n"
        "  num_reference_layers: 1, num_pose_layers: 1}\n"
    )
    result = onetoall("train", "stage.yaml", "--dry-run", "--json")
    assert result.exit_code == 0, result.err
    (plan,) = result.json["plans"]
    assert plan["peak"] == sum(plan["memory"].values()) and plan["seconds_a_step"] > 0
    assert 0 < plan["trained"] < plan["total"] and not (tmp_path / "run").exists()
    prose = onetoall("train", "stage.yaml", "--dry-run").out
    assert all(word in prose for word in ("Trains", "Memory", "a checkpoint", "s a step"))


def test_the_preview_of_a_picture_is_a_picture(onetoall, reference, dance, seeing, tmp_path):
    result = onetoall("pose", reference, "-o", "ref.json", "--preview", "look.png")
    assert result.exit_code == 0, result.err
    assert read_picture(tmp_path / "look.png").shape == read_picture(reference).shape
    assert (read_picture(tmp_path / "look.png") != read_picture(reference)).any()
    refused = onetoall("pose", dance, "-o", "dance.json", "--preview", "dance.png")
    assert (refused.exit_code, "several frames" in refused.err, (tmp_path / "dance.png").exists()) == (2, True, False)


@pytest.mark.parametrize("size", [(8000, 60), (60, 8000)])
@pytest.mark.parametrize("command", ["align", "animate"])
def test_a_plan_far_from_what_the_model_was_trained_on_is_remarked_upon(onetoall, model, dance_poses, command, size):
    Image.new("RGB", size, "grey").save("odd.png")
    result = onetoall(command, "odd.png", dance_poses, "--model", model, "--dry-run")
    assert result.exit_code == 0, result.err
    assert "far from what the model was trained on" in result.err

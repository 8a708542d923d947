"""`onetoall demo`, with an untrained model in the place of the shipped one: what it writes, and how it refuses."""

import os

import numpy as np

from onetoall_cli.media import contact_sheet, open_video, read_picture
from onetoall_cli.pose import PoseSequence


def test_the_demo_writes_inputs_result_comparison_and_sheet(onetoall, model, tmp_path) -> None:
    result = onetoall("demo", "--model", model, "--json")
    folder = tmp_path / "onetoall-demo"
    names = {"reference.png", "reference.json", "dance.json", "dance.mp4", "result.mp4", "compare.mp4", "sheet.png"}
    assert {path.name for path in folder.glob("[!.]*")} == names
    motion = PoseSequence.load(folder / "dance.json")
    for name in ("dance.mp4", "result.mp4", "compare.mp4"):
        video = open_video(folder / name)
        assert len(list(video)) == len(motion) == result.json["frames"]
        assert float(video.fps) == motion.fps
    sheet, reference = read_picture(folder / "sheet.png"), read_picture(folder / "reference.png")
    assert sheet.shape[1] > 9 * sheet.shape[0] / 4  # nine pictures across, two down
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000 and reference.shape[0] > reference.shape[1]


def test_the_result_of_the_demo_can_be_made_again_by_the_command_it_remembers(onetoall, model, tmp_path) -> None:
    onetoall("demo", "--model", model, "--quiet", "-o", "d", "--seed", 7)
    command = onetoall("info", "d/result.mp4", "--json").json["arguments"]
    assert command[:3] == ["animate", "d/reference.png", "d/dance.json"]
    again = onetoall(*command, "-o", "again.mp4", "--quiet")
    assert again.exit_code == 0, again.err
    results = (open_video(tmp_path / name) for name in ("d/result.mp4", "again.mp4"))
    frames = [np.stack([frame.image for frame in video]) for video in results]
    assert np.array_equal(*frames)


def test_an_existing_folder_is_not_touched(onetoall, model, tmp_path) -> None:
    (tmp_path / "onetoall-demo").mkdir()
    (tmp_path / "onetoall-demo" / "mine.txt").write_text("mine")
    refused = onetoall("demo", "--model", model)
    assert refused.exit_code == 2 and "--overwrite" in refused.err
    assert (tmp_path / "onetoall-demo" / "mine.txt").exists()


def test_a_contact_sheet_scales_its_pictures_to_one_height_and_writes_captions() -> None:
    red, blue = np.full((20, 10, 3), (255, 0, 0), np.uint8), np.full((50, 100, 3), (0, 0, 255), np.uint8)
    sheet = contact_sheet([[("red", red), ("", blue)], [("", blue)]], height=40)
    assert (sheet == (255, 0, 0)).all(axis=-1).sum() == 40 * 20
    assert (sheet == (0, 0, 255)).all(axis=-1).sum() == 2 * 40 * 80
    captioned = contact_sheet([[("red", red)]], height=40) != contact_sheet([[("", red)]], height=40)
    assert captioned.any()


def test_even_with_overwrite_a_folder_of_another_command_stays(
    onetoall, model, reference, ref_pose, dance_poses, tmp_path
) -> None:
    aligned = onetoall("align", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "-o", "folder")
    assert aligned.exit_code == 0, aligned.err
    before = sorted(os.listdir(tmp_path / "folder"))
    refused = onetoall("demo", "--model", model, "-o", "folder", "--overwrite")
    assert refused.exit_code == 2 and "another kind (aligned input, not demo)" in refused.err
    assert sorted(os.listdir(tmp_path / "folder")) == before

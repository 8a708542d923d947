"""Folders of pose files: which are such, in what order their frames come, and what in them is no frame."""

import json

import pytest
from openpose_files import CASES, frame, openpose_person

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.frame_folders import is_pose_file


def test_a_folder_of_openpose_files_is_read_in_numeric_order(tmp_path):
    for number in (10, 9, 100):
        (tmp_path / f"walk_{number}_keypoints.json").write_text(json.dumps(frame(openpose_person(x=number))))
    assert PoseSequence.load(tmp_path, fps=10).keypoints[:, 0, 0, 0].tolist() == [9, 10, 100]


def test_files_of_unlike_numbering_are_in_natural_order(tmp_path):
    names = ["1_2_keypoints.json", "1_10_keypoints.json", "2.json", "B2_keypoints.JSON", "b.json"]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(json.dumps(frame(openpose_person(x=number + 10))))
    assert PoseSequence.load(tmp_path, fps=10).keypoints[:, 0, 0, 0].tolist() == [10, 11, 12, 13, 14]


def test_what_is_no_frame_is_left_out_of_a_folder_aloud(tmp_path, caplog):
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(json.dumps([frame(openpose_person())]))  # as ComfyUI saves one
    (tmp_path / "._1.json").write_bytes(b"\x00\x05\x16\x07")
    assert len(PoseSequence.load(tmp_path, fps=10)) == 3 and "left out" not in caplog.text
    (tmp_path / "metadata.json").write_text('{"frames": 3}')
    assert len(PoseSequence.load(tmp_path, fps=10)) == 3
    assert "left out, as no OpenPose frame: metadata.json" in caplog.text


def test_a_broken_frame_is_not_left_out_of_a_folder(tmp_path):
    (tmp_path / "0.json").write_text(json.dumps(frame(openpose_person())))
    (tmp_path / "1.json").write_text('{"people": [')
    with pytest.raises(BadInput, match=r"1\.json"):
        PoseSequence.load(tmp_path)


def test_a_folder_without_a_frame_says_so(tmp_path):
    (tmp_path / "metadata.json").write_text("{}")
    with pytest.raises(BadInput, match=r"none of its \.json files is an OpenPose frame \(first: metadata\.json"):
        PoseSequence.load(tmp_path)


@pytest.mark.parametrize("name", ["folder_apple", "folder_meta"])
def test_the_folders_that_went_wrong_are_17_frames(name):
    assert len(PoseSequence.load(CASES / "folders" / name, fps=10)) == 17


@pytest.mark.parametrize(
    ("names", "poses"),
    [
        (["a_1.json", "a_2.json"], True),
        (["pose.json"], True),
        (["1.png", "2.png", "metadata.json"], False),
        (["1.png", "metadata.json"], False),
        (["1.png", "2.png"], False),
        (["1.png", "._1.json", ".hidden.json"], False),
        (["1.json", "2.json", ".DS_Store", "readme.txt"], True),
        (["1_rendered.png", "1.json", "2_rendered.png", "2.json"], True),
        (["1.png", "2.png", "3.png", "meta.json", "pose.json"], False),
        ([], False),
    ],
)
def test_a_folder_is_of_poses_or_of_pictures_by_what_is_in_it(tmp_path, names, poses):
    for name in names:
        (tmp_path / name).touch()
    assert is_pose_file(tmp_path) is poses


def test_a_file_is_of_poses_by_its_name(tmp_path):
    names = ["a.json", "a.NPY", "a.npz", "a.mp4", "a.png", "a"]
    assert [is_pose_file(tmp_path / name) for name in names] == [True, True, True, False, False, False]

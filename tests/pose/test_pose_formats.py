"""Pose files: ours reads back exactly, arrays and exports too, and bad ones say what is wrong where."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpose_files import REAL, frame, openpose_person, real, same

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence, export_openpose, to_openpose

CLIPS = ["dance_full", "dance_small", "dance_crouch", "ref_standing", "ref_half", "ref_turned"]


# Our own format


@pytest.mark.parametrize("name", CLIPS)
def test_real_poses_read_back_exactly(name, tmp_path):
    sequence = real(name)
    sequence.save(tmp_path / "pose.json")
    assert same(PoseSequence.load(tmp_path / "pose.json"), sequence)


@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.floats(1, 240, allow_subnormal=False),
    st.lists(st.floats(-9e5, 9e5, width=32), min_size=1, max_size=40),
)
def test_any_sequence_reads_back_exactly(frames, people, variable, fps, values):
    size = frames * people * 133 * 3
    keypoints = np.resize(np.array(values, np.float32), size).reshape(frames, people, 133, 3)
    times = np.cumsum(np.resize(np.abs(values), frames) * 1e-3 + 0.01) if variable else None
    sequence = PoseSequence(keypoints, 640, 480, fps, times)
    assert same(PoseSequence.from_json(json.loads(json.dumps(sequence.to_json()))), sequence)


def test_people_who_are_absent_keep_their_index(tmp_path):
    keypoints = np.ones((3, 3, 133, 3), np.float32)
    keypoints[0, 0] = keypoints[2, 1] = keypoints[:, 2] = 0
    sequence = PoseSequence(keypoints, 100, 100)
    assert [len(f["people"]) for f in sequence.to_json()["frames"]] == [1, 2, 1]
    sequence.save(tmp_path / "pose.json")
    assert same(PoseSequence.load(tmp_path / "pose.json"), sequence)


def test_saving_twice_gives_the_same_bytes_and_one_line_a_frame(tmp_path):
    sequence = real("dance_small")
    for name in ("a.json", "b.json"):
        sequence.save(tmp_path / name)
    text = (tmp_path / "a.json").read_bytes()
    assert text == (tmp_path / "b.json").read_bytes()
    assert text.count(b"\n") == len(sequence) + 2


def test_written_frames_are_openpose_frames_with_standard_lengths():
    data = real("dance_full").to_json()
    assert (data["format"], data["version"], data["fps"]) == ("onetoall-pose", 1, 24)
    for written in data["frames"]:
        assert (written["canvas_width"], written["canvas_height"]) == (1080, 1920)
        for person in written["people"]:
            lengths = {key: len(person[key]) // 3 for key in person if key.endswith("_2d")}
            assert lengths == {
                "pose_keypoints_2d": 18,
                "face_keypoints_2d": 70,
                "hand_left_keypoints_2d": 21,
                "hand_right_keypoints_2d": 21,
                "foot_keypoints_2d": 6,
            }
            assert all(type(v) is float for key in lengths for v in person[key]) and person["person_id"] == [0]


def test_the_written_body_is_the_one_the_network_sees():
    sequence = real("dance_crouch")
    written = [f["people"][0]["pose_keypoints_2d"] for f in sequence.to_json()["frames"]]
    expected = to_openpose(sequence.keypoints[:, 0]).body
    assert np.allclose(np.reshape(written, (-1, 18, 3)), expected, atol=1e-3)


def test_numbers_are_written_short():
    sequence = PoseSequence(np.full((1, 1, 133, 3), 0.1, np.float32), 10, 10)
    assert sequence.to_json()["frames"][0]["people"][0]["pose_keypoints_2d"][0] == 0.1


def test_arrays_of_133_points_read_in(tmp_path):
    keypoints = real("dance_full").keypoints[:3, 0]
    np.save(tmp_path / "one.npy", keypoints)
    np.savez(tmp_path / "named.npz", dance=keypoints[:, None], dance_size=[1080, 1920], fps=25)
    for sequence in (
        PoseSequence.load(tmp_path / "one.npy", fps=25, size=(1080, 1920)),
        PoseSequence.load(tmp_path / "named.npz"),
        PoseSequence.from_json({"keypoints": keypoints.tolist(), "width": 1080, "height": 1920, "fps": 25}),
    ):
        assert np.array_equal(sequence.keypoints[:, 0], keypoints)
        assert (sequence.width, sequence.height, sequence.fps) == (1080, 1920, 25)
    assert PoseSequence.from_json(keypoints[0].tolist()).keypoints.shape == (1, 1, 133, 3)


# For editors


def test_exported_files_hold_only_sure_points(tmp_path):
    sequence = real("dance_crouch")
    export_openpose(sequence, tmp_path / "walk")
    files = sorted((tmp_path / "walk").glob("*.json"))
    assert len(files) == len(sequence) and files[0].name == "walk_000000000000_keypoints.json"
    person = json.loads(files[3].read_text())["people"][0]
    scores = person["pose_keypoints_2d"][2::3]
    assert set(scores) <= {0.0, 1.0}
    assert person["hand_left_keypoints_2d"][2::3] == (sequence.keypoints[3, 0, 91:112, 2] >= 0.3).tolist()
    export_openpose(sequence, tmp_path / "list.json")
    again = PoseSequence.load(tmp_path / "list.json")
    assert np.array_equal(again.keypoints, PoseSequence.load(tmp_path / "walk").keypoints)


# What is wrong with a file


def broken(change):
    """A valid list of 4 frames with `change` applied to the second person of frame 2."""
    frames = [frame(openpose_person(), openpose_person(x=200)) for _ in range(4)]
    change(frames[2]["people"][1])
    return frames


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["pose_keypoints_2d"].pop(), ["pose_keypoints_2d", "53 numbers, not 54 or 75"]),
        (lambda p: p["hand_left_keypoints_2d"].append(1), ["hand_left_keypoints_2d", "64 numbers, not 63"]),
        (lambda p: p["face_keypoints_2d"].__setitem__(10, float("nan")), ["face_keypoints_2d", "point 3", "NaN"]),
        (lambda p: p["face_keypoints_2d"].__setitem__(0, 1e300), ["face_keypoints_2d", "point 0", "away"]),
        (lambda p: p["face_keypoints_2d"].__setitem__(0, "12"), ["face_keypoints_2d", "not a number"]),
        (lambda p: p["face_keypoints_2d"].__setitem__(0, [1, 2]), ["face_keypoints_2d", "differ in length"]),
        (lambda p: p["face_keypoints_2d"].__setitem__(0, 10**400), ["face_keypoints_2d"]),
        (lambda p: p.update(face_keypoints_2d="none"), ["face_keypoints_2d", "list of numbers"]),
        (lambda p: p.clear(), ["pose_keypoints_2d"]),
    ],
)
def test_a_fault_is_named_by_file_frame_person_and_field(change, words):
    with pytest.raises(BadInput) as error:
        PoseSequence.from_json(broken(change), "walk.json")
    assert error.value.problem.startswith("walk.json, frame 2, person 1")
    for word in words:
        assert word in error.value.problem


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], ["no frames"]),
        ({"format": "onetoall-pose", "version": 1, "fps": 30, "frames": []}, ["no frames"]),
        ({"format": "onetoall-pose", "version": 2}, ["version 2"]),
        ({"format": "onetoall-pose", "version": 1, "fps": 0, "frames": [frame(openpose_person())]}, ["fps"]),
        ({"format": "onetoall-pose", "version": 1, "fps": 9, "frames": [{"people": []}]}, ["canvas_width"]),
        ({"people": []}, ["no frame holds a person"]),
        ({"people": None}, ["no frame holds a person"]),
        ({"people": 3}, ["people", "must be a list"]),
        ({"animals": []}, ["animals"]),
        ({"walk": 1}, ["not a pose"]),
        (3, ["not a pose"]),
        ([frame(openpose_person()), "x"], ["frame 1", "object"]),
        ([frame(openpose_person()), frame(openpose_person(), width=320)], ["frame 1", "320 x 480", "640 x 480"]),
        ([frame(openpose_person(), width=-3)], ["canvas_width", "-3"]),
        ({"people": [openpose_person(x=0.5, y=0.5)]}, ["fractions of a canvas"]),
        ({"keypoints": [[1, 2, 3]] * 17}, ["keypoints", "(17, 3)", "(133, 3)"]),
        ({"keypoints": [[1, 2]] * 17}, ["keypoints", "(17, 2)", "(133, 3)"]),
        ({"keypoints": None}, ["keypoints", "not a number"]),
        ([[frame(openpose_person()), "x"]], ["frame 1", "object"]),
        ([[], [frame(openpose_person())]], ["differ in length"]),
    ],
)
def test_unusable_data_gets_one_clear_sentence(data, words):
    with pytest.raises(BadInput) as error:
        PoseSequence.from_json(data, "walk.json")
    assert error.value.problem.startswith("walk.json") and error.value.advice
    for word in words:
        assert word in error.value.problem


def test_times_must_go_forwards():
    data = PoseSequence(np.ones((3, 1, 133, 3)), 9, 9, times=[0, 1, 2]).to_json()
    data["frames"][2]["time"] = 1
    with pytest.raises(BadInput, match="frame 2, time"):
        PoseSequence.from_json(data, "walk.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("video.json", b"\x00\x00\x00\x18ftypmp42\xff\xfe"),
        ("cut.json", b'{"people": ['),
        ("empty.json", b""),
        ("deep.json", b"[" * 100_000),
        ("long.json", b"[" + b"9" * 10_000 + b"]"),
    ],
)
def test_files_of_another_kind_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=name):
        PoseSequence.load(tmp_path / name)


def test_a_missing_file_an_empty_folder_and_a_wrong_choice_are_named(tmp_path):
    for path, words in [
        (tmp_path / "none.json", "none.json: cannot be read"),
        (tmp_path, "no .json files"),
        (REAL, "holds 6 poses: dance_full"),
        (f"{REAL}:waltz", "no pose named 'waltz'"),
    ]:
        with pytest.raises(BadInput, match=words):
            PoseSequence.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_json_loads_or_is_refused(data):
    """A valid file with random values put in random places."""
    kind = data.draw(st.sampled_from(["ours", "openpose", "list", "array", "anything"]))
    ours = PoseSequence(np.ones((2, 2, 133, 3)) * [60, 40, 1], 64, 48, times=[0, 0.5]).to_json()
    start = {
        "ours": ours,
        "openpose": frame(openpose_person()),
        "list": [frame(openpose_person()), frame(openpose_person(body=25))],
        "array": {"keypoints": [[1.0, 2.0, 0.5]] * 133, "width": 64, "height": 48, "fps": 20},
        "anything": None,
    }[kind]
    root = {"root": copy.deepcopy(start)}
    for _ in range(data.draw(st.integers(0 if start else 1, 3))):
        place, key = root, "root"
        while isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 4)):
            place = place[key]
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place[key] = data.draw(JSON)
    try:
        sequence = PoseSequence.from_json(root["root"], "walk.json")
    except BadInput as error:
        assert error.problem.startswith("walk.json")
    else:
        assert same(PoseSequence.from_json(sequence.to_json()), sequence)

"""Pose files of other tools: every space, shape and way to say that something is missing reads as what it means."""

import copy
import json

import numpy as np
import pytest
from openpose_files import CASES, frame, openpose_person, same, standing

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence


def test_an_openpose_file_reads_in_with_its_neck_dropped(tmp_path):
    person = openpose_person(body=18)
    person["pose_keypoints_2d"][3:6] = [999, 999, 0.1]  # the neck
    person["pose_keypoints_2d"][4 * 3 : 4 * 3 + 3] = [7, 8, 0.5]  # OpenPose 4: right wrist
    person["hand_left_keypoints_2d"][:3] = [1, 2, 0.3]
    (tmp_path / "p.json").write_text(json.dumps(frame(person)))
    sequence = PoseSequence.load(tmp_path / "p.json")
    assert (len(sequence), sequence.people, sequence.width, sequence.height) == (1, 1, 640, 480)
    points = sequence.keypoints[0, 0]
    assert not (points[:, 0] == 999).any()
    assert points[10].tolist() == pytest.approx([7, 8, 0.5])
    assert points[91].tolist() == pytest.approx([1, 2, 0.3])
    assert (points[17:23, 2] == 0).all()  # 18 points have no feet


def test_body_25_brings_its_feet():
    person = openpose_person(body=25)
    for number in range(25):
        person["pose_keypoints_2d"][3 * number : 3 * number + 3] = [10 + number, 0, 1]
    points = PoseSequence.from_json(frame(person)).keypoints[0, 0]
    # left big toe, small toe, heel are OpenPose 19, 20, 21; the right hip is 9, the left one 12
    assert points[17:23, 0].tolist() == [29, 30, 31, 32, 33, 34]
    assert (points[12, 0], points[11, 0], points[0, 0]) == (19, 22, 10)


@pytest.mark.parametrize("absent", [None, [], "missing"])
def test_hands_and_face_may_be_absent(absent):
    person = openpose_person()
    for key in ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"):
        person[key] = absent
        if absent == "missing":
            del person[key]
    points = PoseSequence.from_json([frame(person)]).keypoints[0, 0]
    assert (points[:17, 2] > 0).all() and (points[17:] == 0).all()


def test_a_face_of_68_and_nested_points_are_fine():
    person = openpose_person(face_keypoints_2d=[[4, 5, 1.0]] * 68)
    assert (PoseSequence.from_json(frame(person)).keypoints[0, 0, 23:91, 0] == 4).all()


def test_a_comfyui_list_reads_in_normalised_or_not():
    pixels = [frame(openpose_person(x=100 + i)) for i in range(4)]
    fractions = copy.deepcopy(pixels)
    for f in fractions:
        for key, values in f["people"][0].items():
            f["people"][0][key] = [v / d for v, d in zip(values, [640, 480, 1] * (len(values) // 3), strict=True)]
    fractions[0]["people"][0]["pose_keypoints_2d"][4 * 3] = 1.2  # a wrist off the canvas is normalised too
    a, b = PoseSequence.from_json(pixels), PoseSequence.from_json(fractions)
    assert (len(a), a.width, a.height) == (4, 640, 480)
    b_points = b.keypoints.copy()
    assert b_points[0, 0, 10, 0] == pytest.approx(1.2 * 640)
    b_points[0, 0, 10, 0] = 100
    assert np.allclose(a.keypoints, b_points, atol=1e-3)


def test_a_part_in_fractions_beside_a_part_in_pixels():
    person = openpose_person(face_keypoints_2d=[0.5, 0.25, 1.0] * 70)
    points = PoseSequence.from_json([frame(person)]).keypoints[0, 0]
    assert points[23, :2].tolist() == [320, 120] and points[0, :2].tolist() == [100, 50]


def test_people_are_followed_by_their_ids_where_all_have_one():
    a, b = openpose_person(x=10, person_id=[7]), openpose_person(x=20, person_id=[3])
    sequence = PoseSequence.from_json([frame(a, b), frame(b), frame(b, a)])
    assert sequence.keypoints[:, 0, 0, 0].tolist() == [20, 20, 20]
    assert sequence.keypoints[:, 1, 0, 0].tolist() == [10, 0, 10]
    unknown = [frame(openpose_person(x=10, person_id=[-1]), openpose_person(x=20, person_id=[-1]))]
    assert PoseSequence.from_json(unknown).keypoints[0, :, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize("ids", [([-1], [-1]), (None, None), ([0], [0]), ([4], None), (-1, -1), ("a", "b")])
@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_people_without_usable_ids_are_followed_by_where_they_are(ids, scale, caplog):
    """In any order of a frame's list, also in fractions of the canvas; one who is away for a while comes back."""
    frames = []
    for number in range(20):
        a, b = standing(200 + 3 * number, person_id=ids[0]), standing(800 - 3 * number, person_id=ids[1])
        people = [b] if 8 <= number < 11 else [a, b][:: 1 if number % 3 else -1]
        for person in people:
            body = np.reshape(person["pose_keypoints_2d"], (-1, 3)) * [scale, scale, 1]
            person["pose_keypoints_2d"] = body.ravel().tolist()
        frames.append(frame(*people, width=1000, height=1000))
    sequence = PoseSequence.from_json(frames, "pair.json")
    noses = np.where(sequence.keypoints[..., 0, 2] > 0, sequence.keypoints[..., 0, 0], np.nan)
    right, left = 800 - 3 * np.arange(20.0), 200 + 3 * np.arange(20.0)
    left[8:11] = np.nan
    assert np.allclose(noses, np.stack([right, left], axis=1), atol=0.1, equal_nan=True)
    assert "pair.json does not say who is who" in caplog.text


def test_a_frame_whose_people_are_null_holds_nobody():
    sequence = PoseSequence.from_json([frame(openpose_person()), {"people": None}, frame(openpose_person())])
    assert sequence.present()[:, 0].tolist() == [True, False, True]


@pytest.mark.parametrize("wrap", [lambda frames: [frames], lambda frames: [[each] for each in frames]])
def test_one_more_list_around_frames_is_fine(wrap):
    frames = [frame(openpose_person(x=100 + number)) for number in range(3)]
    assert same(PoseSequence.from_json(wrap(frames)), PoseSequence.from_json(frames))


@pytest.mark.parametrize("missing", [[np.nan, np.nan, 0], [None, None, 0], [np.inf, 3, 0], [np.nan] * 3, [None] * 3])
def test_a_missing_point_may_be_nan_or_null(missing):
    person = openpose_person()
    person["face_keypoints_2d"][9:12] = missing
    points = PoseSequence.from_json([frame(person)]).keypoints[0, 0, 23:91]
    assert points[3].tolist() == [0, 0, 0] and (points[[2, 4], 2] > 0).all()
    array = np.full((2, 133, 3), 9.0)
    array[1, 3] = [np.nan if value is None else value for value in missing]
    assert PoseSequence.from_json({"keypoints": array.tolist()}).keypoints[1, 0, 3].tolist() == [0, 0, 0]


def in_minus_1_to_1(points, width=640, height=480):
    values = np.reshape(points, (-1, 3)) / [width / 2, height / 2, 1] - [1, 1, 0]
    return np.where(values[:, 2:] > 0, values, 0).ravel().tolist()


def test_coordinates_from_minus_1_to_1_are_recognised_and_said(caplog):
    person = standing(320)
    person["pose_keypoints_2d"][12:15] = [0, 0, 0]
    person["hand_left_keypoints_2d"] = [400.0, 420.0, 1.0] * 21  # in the lower right, where nothing is negative
    centred = {key: in_minus_1_to_1(values) for key, values in person.items()}
    pixels, read = (PoseSequence.from_json(frame(each), "walk.json") for each in (person, centred))
    assert np.allclose(read.keypoints, pixels.keypoints, atol=0.01)
    assert "walk.json: many of its coordinates are negative" in caplog.text
    with pytest.raises(BadInput, match="fractions of a canvas"):
        PoseSequence.from_json({"people": [centred]})


def test_somebody_partly_off_a_canvas_of_0_to_1_is_not_taken_for_minus_1_to_1():
    points = np.reshape(standing(320)["pose_keypoints_2d"], (-1, 3)) / [640, 480, 1] - [0, 0.4, 0]
    assert (points[:, 1] < 0).sum() == 4  # the head
    read = PoseSequence.from_json(frame({"pose_keypoints_2d": points.ravel().tolist()}))
    assert read.keypoints[0, 0, 0, :2] == pytest.approx([320, 130 - 0.4 * 480], abs=0.1)


@pytest.mark.parametrize("shape", [(2, 18, 2), (36, 2)])
def test_the_editor_that_stores_18_points_without_scores_is_read(shape):
    bodies = np.arange(72.0).reshape(2, 18, 2)
    data = {"width": 512, "height": 768, "keypoints": bodies.reshape(shape).tolist()}
    sequence = PoseSequence.from_json(data)
    assert (len(sequence), sequence.people, sequence.width, sequence.height) == (1, 2, 512, 768)
    expected = [[*bodies[person, 4], 1] for person in (0, 1)]  # OpenPose 4: right wrist
    assert sequence.keypoints[0, :, 10].tolist() == expected
    assert (sequence.keypoints[0, :, 17:] == 0).all()


@pytest.mark.parametrize("name", ["fkunn_editor", "nested_list", "people_null", "point_nan_score0", "scale_minus1_1"])
def test_the_files_that_went_wrong_show_the_same_person(name):
    sequence = PoseSequence.load(CASES / "poses" / f"{name}.json")
    noses = sequence.keypoints[sequence.present()[:, 0], 0, 0, :2]
    assert np.allclose(noses, [256, 150], atol=0.01) and len(noses) >= len(sequence) - 1
    assert (sequence.width, sequence.height, sequence.people) == (512, 768, 1)


def test_the_two_who_changed_places_stay_where_they_are():
    noses = PoseSequence.load(CASES / "poses" / "two_swap.json").keypoints[:, :, 0, 0]
    assert np.ptp(noses, axis=0).max() < 40 and abs(noses[0, 0] - noses[0, 1]) > 300


def test_what_a_file_does_not_say_is_assumed_aloud(caplog):
    frames = [{"people": [openpose_person(x=99.5, y=200)]}] * 2
    sequence = PoseSequence.from_json(frames, "walk.json")
    assert (sequence.width, sequence.height, sequence.fps) == (100, 201, 30)
    assert "walk.json does not say its canvas size" in caplog.text
    assert "walk.json does not say its frame rate" in caplog.text

"""APD-body and CSIM on people whose places are known."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onetoall_cli.evaluation.pairs.people_measures import BodyDistance, FaceLikeness, PeopleInPairs, face_of
from onetoall_cli.pose import keypoints as kp

HEIGHT, WIDTH = 300, 400


class Known:
    """A detector that gives the people it was told of, for each picture in turn, and counts how often it looks."""

    def __init__(self, *people: np.ndarray) -> None:
        self.people, self.looks = people, 0

    def detect(self, images):
        self.looks += 1
        return list(self.people)


def person(x: float = 150, y: float = 60, size: float = 1.0) -> np.ndarray:
    points = np.random.default_rng(0).uniform(0, 80, (kp.COUNT, 2)) * size + (x, y)
    face = points[kp.FACE]
    centres = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)]) * size + (x, y)
    for part, centre in zip((slice(36, 42), slice(42, 48), 30, 48, 54), centres, strict=True):
        face[part] = centre
    return np.concatenate([points, np.ones((kp.COUNT, 1))], axis=1).astype(np.float32)


def shifted(who: np.ndarray, x: float, y: float) -> np.ndarray:
    return who + np.array([x, y, 0], np.float32)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)


def test_a_body_moved_by_three_and_four_pixels_is_five_away_over_the_diagonal(pictures):
    true = person()
    measure = BodyDistance(PeopleInPairs(Known(shifted(true, 3, 4)[None], true[None])))
    assert measure(*pictures) == pytest.approx(5 / 500, rel=1e-4)


def test_the_largest_person_of_the_truth_is_compared_with_the_nearest_in_the_result(pictures):
    small, large = person(20, 20, 0.4), person()
    made = np.stack([shifted(large, 200, 0), shifted(large, 0, 10), small])
    assert BodyDistance(PeopleInPairs(Known(made, np.stack([small, large]))))(*pictures) == pytest.approx(0.02)


def test_hidden_points_do_not_count_and_too_few_are_no_measure(pictures):
    true, made = person(), shifted(person(), 0, 10)
    made[kp.LEFT_ANKLE] = (0, 0, 0.1)
    assert BodyDistance(PeopleInPairs(Known(made[None], true[None])))(*pictures) == pytest.approx(0.02)
    made[kp.BODY, 2][3:] = 0.1
    assert np.isnan(BodyDistance(PeopleInPairs(Known(made[None], true[None])))(*pictures))
    assert np.isnan(BodyDistance(PeopleInPairs(Known(np.zeros((0, 133, 3)), true[None])))(*pictures))


def test_a_face_is_cut_out_upright_in_the_usual_place(pictures):
    """The face stands at twice the size, turned: its eyes come to where face embeddings want them."""
    who = person(0, 0, 1)
    turn = np.array([[0, -2], [2, 0]])
    turned = who.copy()
    turned[:, :2] = who[:, :2] @ turn.T + (350, 20)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x, y = np.round(turned[kp.FACE][36, :2]).astype(int)
    picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    face = face_of(picture, turned)
    bright = np.argwhere(face[..., 0] > 128).mean(axis=0)
    assert bright == pytest.approx([51.7, 38.3], abs=1)
    turned[kp.FACE, 2] = 0
    assert face_of(picture, turned) is None


@pytest.fixture
def embedding(tmp_path):
    """A network whose embedding of a face is its mean colour."""
    pool = helper.make_node("GlobalAveragePool", ["face"], ["mean"])
    flat = helper.make_node("Flatten", ["mean"], ["embedding"])
    graph = helper.make_graph(
        [pool, flat],
        "colour",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, ("n", 3, 112, 112))],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ("n", 3))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "face.onnx")
    return tmp_path / "face.onnx"


def test_csim_is_the_cosine_of_the_embeddings_and_the_people_are_sought_once(pictures, embedding):
    detector = Known(person()[None], person()[None])
    people = PeopleInPairs(detector)
    csim, body = FaceLikeness(people, embedding, "face", "cpu"), BodyDistance(people)
    red, yellow = (np.full((HEIGHT, WIDTH, 3), colour, np.uint8) for colour in ((200, 0, 0), (200, 200, 0)))
    assert csim(red, red) == pytest.approx(1)
    assert csim(red, yellow) == pytest.approx(1 / np.sqrt(2), abs=1e-6)
    assert body(red, yellow) == 0 and detector.looks == 2

"""The converter that made the package's networks: what is shipped is what it makes, and computes what LiteRT does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from make_detector import FOLDER, NETWORKS
from tflite_file import Network, Operator, Tensor, read_network
from tflite_to_onnx import DEQUANTIZE, PRELU, convert

RECROP = Path(__file__).parents[1] / "data" / "hand_recrop.tflite"
"""The smallest of MediaPipe's networks, from its wheel 0.10.21 (Apache-2.0)."""

LITERT = {
    0: [130.625519, 127.251549, 137.842636, 225.276443],
    1: [134.520859, 126.616112, 137.286682, 223.899277],
    2: [130.024155, 128.365707, 131.045410, 224.789902],
}
"""What LiteRT 2.3.0 computes with it from noise of these seeds: the middle of a hand and a point on its rim, pixels."""


def run(model, picture):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"picture": picture})


@pytest.fixture(scope="module")
def recrop():
    _, outputs = NETWORKS["hand_recrop"]
    return convert(read_network(RECROP), outputs, name="hand_recrop")


def test_the_shipped_network_is_what_is_made_from_the_wheel_s(recrop):
    assert onnx.load(FOLDER / "hand_recrop.onnx").graph == recrop.graph


def test_it_computes_what_litert_computes(recrop):
    pictures = [np.random.default_rng(seed).random((256, 256, 3), dtype=np.float32) for seed in LITERT]
    (points,) = run(recrop, np.stack(pictures).transpose(0, 3, 1, 2))
    np.testing.assert_allclose(points[..., 0, 0], list(LITERT.values()), atol=1e-3)


def small(operators, half):
    """A network of one pixel with two channels: picture, a constant, what is made of that, and the result."""
    shapes = [(1, 1, 1, 2), (1, 1, 2), (1, 1, 2), (1, 1, 1, 2)]
    tensors = [Tensor(*each) for each in zip(shapes, [None, half, None, None], strict=True)]
    return Network(tensors, operators, (0,), (3,))


def test_half_precision_constants_stay_half_and_are_widened_in_use():
    half = np.array([[[0.1, 0.25]]], np.float16)
    steps = [Operator(DEQUANTIZE, (1,), (2,), None), Operator(PRELU, (0, 2), (3,), None)]
    model = convert(small(steps, half), [(0, "result")], name="small")
    (stored,) = model.graph.initializer
    assert stored.data_type == onnx.TensorProto.FLOAT16
    (result,) = run(model, np.float32([[[[-1]], [[-4]]]]))
    np.testing.assert_allclose(result.ravel(), [-np.float32(half[0, 0, 0]), -1])


def test_an_operator_that_is_not_known_is_named():
    with pytest.raises(ValueError, match="operator 99"):
        convert(small([Operator(99, (0,), (3,), None)], None), [(0, "result")], name="small")

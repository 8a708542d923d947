"""Turns a network of TensorFlow Lite into ONNX: the same operators and constants, pictures as (batch, channels, height,
width).

Constants keep their precision: half-precision weights stay half, and are widened where they are used. Knows the
operators of MediaPipe's networks, and stops at any other.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tflite_file import Network, Operator, Table

OPSET, IR = 17, 8
"""Old enough for ONNX Runtime 1.18."""

# BuiltinOperator of TensorFlow Lite's schema
ADD, CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, DEPTH_TO_SPACE, DEQUANTIZE = 0, 2, 3, 4, 5, 6
FULLY_CONNECTED, LOGISTIC, MAX_POOL_2D, RELU, RESHAPE, RESIZE_BILINEAR = 9, 14, 17, 19, 22, 23
PAD, MEAN, STRIDED_SLICE, PRELU, DENSIFY = 34, 40, 45, 54, 124

_ACTIVATIONS = {1: ("Relu", ()), 3: ("Clip", (0.0, 6.0))}  # ActivationFunctionType, with further inputs
_FIRST = (0, 3, 1, 2)
"""From (batch, height, width, channels) to (batch, channels, height, width)."""
_LAST = (0, 2, 3, 1)


def convert(network: Network, outputs: Sequence[tuple[int, str]], *, name: str) -> onnx.ModelProto:
    """The network in ONNX.

    Args:
        network: From `tflite_file.read_network`, with one picture as input.
        outputs: Those to keep, each as its place among the network's and a name. What only others need is left out.
        name: The graph's.

    Returns:
        A model with the input `picture` (batch, 3, height, width). Outputs of four axes that hold more than one place
        are (batch, channels, height, width), too.

    Raises:
        ValueError: an operator is not known, or one is used in a way that is not.
    """
    return _Conversion(network).model(outputs, name)


class _Conversion:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._written: set[int] = set()
        self._makers = {operator.outputs[0]: operator for operator in network.operators}

    def model(self, outputs: Sequence[tuple[int, str]], name: str) -> onnx.ModelProto:
        (picture,) = self._network.inputs
        results = []
        for place, title in outputs:
            number = self._network.outputs[place]
            self._nodes.append(helper.make_node("Identity", [self._value(number)], [title]))
            results.append(self._described(title, number))
        graph = helper.make_graph(
            self._nodes, name, [self._described("picture", picture)], results, list(self._constants.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _described(self, name: str, number: int) -> onnx.ValueInfoProto:
        shape = self._network.tensors[number].shape
        shape = tuple(shape[axis] for axis in _FIRST) if len(shape) == 4 else shape
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape[1:]])

    def _value(self, number: int) -> str:
        """The name of a tensor that is computed, after writing what computes it."""
        if number in self._network.inputs:
            return "picture"
        if number not in self._written:
            self._written.add(number)
            self._write(self._makers[number])
        return f"t{number}"

    def _constant(self, number: int) -> NDArray | None:
        """The value of a constant tensor, through steps that only store it smaller; None: it is computed."""
        maker = self._makers.get(number)
        if maker is not None:
            return self._constant(maker.inputs[0]) if maker.kind in (DEQUANTIZE, DENSIFY) else None
        return self._network.tensors[number].value

    def _write(self, operator: Operator) -> None:
        write = {
            ADD: self._add,
            CONCATENATION: self._concatenation,
            CONV_2D: self._convolution,
            DEPTHWISE_CONV_2D: self._depthwise,
            DEPTH_TO_SPACE: self._depth_to_space,
            FULLY_CONNECTED: self._fully_connected,
            LOGISTIC: lambda each: self._node("Sigmoid", each),
            MAX_POOL_2D: self._max_pool,
            MEAN: self._mean,
            PAD: self._pad,
            PRELU: self._prelu,
            RELU: lambda each: self._node("Relu", each),
            RESHAPE: self._reshape,
            RESIZE_BILINEAR: self._resize,
            STRIDED_SLICE: self._slice,
        }.get(operator.kind)
        if write is None:
            raise ValueError(f"TensorFlow Lite's operator {operator.kind} is not known.")
        write(operator)

    def _node(
        self, kind: str, operator: Operator, *inputs: str, source: str | None = None, activation: int = 0, **attributes
    ) -> None:
        """One node: the operator's first input (or `source`), then `inputs`; then the activation fused into it."""
        output = f"t{operator.outputs[0]}"
        before = output + "_before" if activation else output
        first = self._value(operator.inputs[0]) if source is None else source
        self._nodes.append(helper.make_node(kind, [first, *inputs], [before], **attributes))
        if activation:
            function, limits = _ACTIVATIONS[activation]
            names = [self._stored(f"limit{limit:g}", np.float32(limit)) for limit in limits]
            self._nodes.append(helper.make_node(function, [before, *names], [output]))

    def _stored(self, name: str, value: NDArray | np.generic) -> str:
        """A constant of the model, as it is."""
        self._constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _weights(self, number: int, shape: tuple[int, ...] | None = None, axes: tuple[int, ...] | None = None) -> str:
        """A constant of the network as a float32 value, its axes moved and its shape changed."""
        value = self._constant(number)
        if value is None:
            raise ValueError("Weights are computed.")
        value = value if axes is None else value.transpose(axes)
        value = value if shape is None else value.reshape(shape)
        name = self._stored(f"w{number}", value)
        if value.dtype == np.float32:
            return name
        if not any(node.output[0] == name + "_wide" for node in self._nodes):
            self._nodes.append(helper.make_node("Cast", [name], [name + "_wide"], to=TensorProto.FLOAT))
        return name + "_wide"

    def _shape(self, number: int) -> tuple[int, ...]:
        return self._network.tensors[number].shape

    def _add(self, operator: Operator) -> None:
        second = operator.inputs[1]
        if self._constant(second) is not None:
            raise ValueError("A constant is added.")
        self._node("Add", operator, self._value(second), activation=_options(operator).number(0, "b"))

    def _concatenation(self, operator: Operator) -> None:
        if len(self._shape(operator.outputs[0])) != 3:
            raise ValueError("Pictures are joined.")
        rest = [self._value(number) for number in operator.inputs[1:]]
        self._node("Concat", operator, *rest, axis=_options(operator).number(0, "i"))

    def _convolution(self, operator: Operator) -> None:
        options = _options(operator)
        _, weights, bias = operator.inputs
        self._node(
            "Conv",
            operator,
            self._weights(weights, axes=_FIRST),
            self._weights(bias),
            activation=options.number(3, "b"),
            **self._window(operator, self._shape(weights)[1:3], options, 4),
        )

    def _depthwise(self, operator: Operator) -> None:
        options = _options(operator)
        picture, weights, bias = operator.inputs
        channels = self._shape(picture)[3]
        self._node(
            "Conv",
            operator,
            self._weights(weights, axes=(3, 0, 1, 2)),
            self._weights(bias),
            group=channels,
            activation=options.number(4, "b"),
            **self._window(operator, self._shape(weights)[1:3], options, 5),
        )

    def _max_pool(self, operator: Operator) -> None:
        options = _options(operator)
        window = (options.number(4, "i"), options.number(3, "i"))
        self._node("MaxPool", operator, activation=options.number(5, "b"), **self._window(operator, window, options, 9))

    def _window(self, operator: Operator, window: tuple[int, ...], options: Table, dilations: int) -> dict:
        """Strides, and padding: at its uneven pixel TensorFlow pads below and on the right."""
        strides = (options.number(2, "i"), options.number(1, "i"))
        if (options.number(dilations, "i", 1), options.number(dilations + 1, "i", 1)) != (1, 1):
            raise ValueError("A window is dilated.")
        lengths = self._shape(operator.inputs[0])[1:3]
        results = self._shape(operator.outputs[0])[1:3]
        over = [
            max(0, (result - 1) * stride + size - length)
            for length, result, stride, size in zip(lengths, results, strides, window, strict=True)
        ]
        before, after = [each // 2 for each in over], [each - each // 2 for each in over]
        return {"kernel_shape": list(window), "strides": list(strides), "pads": before + after}

    def _pad(self, operator: Operator) -> None:
        widths = self._numbers(operator.inputs[1])[list(_FIRST)].T
        self._node("Pad", operator, self._stored(f"c{operator.inputs[1]}", widths.ravel().astype(np.int64)))

    def _slice(self, operator: Operator) -> None:
        """From the first corner on; axes that are kept whole are not mentioned."""
        begin, end, step = (self._numbers(number)[list(_FIRST)] for number in operator.inputs[1:])
        lengths = np.array(self._shape(operator.inputs[0]))[list(_FIRST)]
        if begin.any() or (step != 1).any():
            raise ValueError("A slice does not begin at the corner.")
        (axes,) = np.nonzero((end != lengths) & (np.arange(4) > 0))
        names = [f"c{operator.outputs[0]}_{each}" for each in ("begin", "end", "axes")]
        values = (np.zeros(len(axes)), end[axes], axes)
        stored = [self._stored(name, value.astype(np.int64)) for name, value in zip(names, values, strict=True)]
        self._node("Slice", operator, *stored)

    def _prelu(self, operator: Operator) -> None:
        slopes = operator.inputs[1]
        self._node("PRelu", operator, self._weights(slopes, shape=(-1, 1, 1)))

    def _mean(self, operator: Operator) -> None:
        if self._numbers(operator.inputs[1]).tolist() != [1, 2]:
            raise ValueError("A mean is taken over other axes than a picture's two.")
        self._node("ReduceMean", operator, axes=[2, 3], keepdims=_options(operator).number(0, "b"))

    def _reshape(self, operator: Operator) -> None:
        """Of a picture to rows: its channels go last first, as they are in TensorFlow."""
        picture = operator.inputs[0]
        source = f"t{operator.outputs[0]}_turned"
        self._nodes.append(helper.make_node("Transpose", [self._value(picture)], [source], perm=list(_LAST)))
        shape = np.array([0, *self._shape(operator.outputs[0])[1:]], dtype=np.int64)
        self._node("Reshape", operator, self._stored(f"s{operator.outputs[0]}", shape), source=source)

    def _resize(self, operator: Operator) -> None:
        options = _options(operator)
        aligned, centred = options.number(2, "b"), options.number(3, "b")
        mode = "align_corners" if aligned else "half_pixel" if centred else "asymmetric"
        lengths, results = (np.array(self._shape(each)[1:3]) for each in (operator.inputs[0], operator.outputs[0]))
        zoom = np.concatenate([[1, 1], results / lengths]).astype(np.float32)
        scales = self._stored(f"s{operator.outputs[0]}", zoom)
        self._node("Resize", operator, "", scales, mode="linear", coordinate_transformation_mode=mode)

    def _depth_to_space(self, operator: Operator) -> None:
        self._node("DepthToSpace", operator, blocksize=_options(operator).number(0, "i"), mode="DCR")

    def _fully_connected(self, operator: Operator) -> None:
        _, weights, bias = operator.inputs
        activation = _options(operator).number(0, "b")
        self._node("Gemm", operator, self._weights(weights), self._weights(bias), transB=1, activation=activation)

    def _numbers(self, number: int) -> NDArray:
        value = self._constant(number)
        if value is None:
            raise ValueError("A shape is computed.")
        return value


def _options(operator: Operator) -> Table:
    if operator.options is None:
        raise ValueError("An operator has no options.")
    return operator.options

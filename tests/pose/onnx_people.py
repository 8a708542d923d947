"""Small ONNX networks with the detectors' real interfaces, which find painted people: the pictures, and the networks.

A "person" is a rectangle of a colour of their own with three markers on it. All colours are told apart only if the
channels arrive in the right order: seen as BGR, the red person is blue, whom the finders call a dog.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
MARKERS = {0: (255, 255, 0), 5: (0, 255, 255), 12: (255, 0, 255)}  # keypoint row (nose, shoulder, hip): colour
MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)


def paint(image, colour, box, marker=6):
    """A person in place; box is x1 y1 x2 y2 in whole pixels. Returns the markers' middles, {row: (x, y)}."""
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = colour
    places = {0: (0.5, 0.15), 5: (0.2, 0.4), 12: (0.75, 0.85)}
    middles = {}
    for row, (u, v) in places.items():
        x, y = round(x1 + u * (x2 - x1)), round(y1 + v * (y2 - y1))
        image[y - marker : y + marker + 1, x - marker : x + marker + 1] = MARKERS[row]
        middles[row] = (x, y)
    return middles


def backdrop(width, height, seed=0):
    """Grey noise: no colour that a person or marker has."""
    grey = np.random.default_rng(seed).integers(40, 130, (height, width, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


class Graph:
    """Collects nodes and constants; methods return the name of their result."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, kind, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def save(self, path, inputs, outputs, external=False):
        """Outputs are {name: (node, shape)}."""
        for name, (node, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [node], [name]))
        infos = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in each.items()]
            for each in (inputs, {name: shape for name, (_, shape) in outputs.items()})
        ]
        graph = helper.make_graph(self.nodes, "people", *infos, initializer=self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        path.parent.mkdir(parents=True, exist_ok=True)
        if external:
            onnx.save_model(
                model, str(path), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=64
            )
        else:
            onnx.save_model(model, str(path))
        return path


def coloured(graph, picture, channels, colour):
    """(n, 1, h, w): 1 where a picture 0..255 has the colour, each channel to within 60."""
    parts = []
    for channel, value in zip(channels, colour, strict=True):
        one = graph.add("Gather", picture, graph.constant([channel], np.int64), axis=1)
        off = graph.add("Abs", graph.add("Sub", one, graph.constant(value)))
        parts.append(graph.add("Cast", graph.add("Less", off, graph.constant(60)), to=TensorProto.FLOAT))
    return graph.add("Mul", graph.add("Mul", parts[0], parts[1]), parts[2])


def extent(graph, mask, axis, side):
    """First and last place of a mask along an axis (2: rows, 3: columns) as edges, (n, 1) each, and whether any."""
    other = 5 - axis
    line = graph.add("ReduceMax", mask, axes=[1, other], keepdims=0)  # (n, side)
    first = graph.add("Cast", graph.add("ArgMax", line, axis=1, keepdims=1), to=TensorProto.FLOAT)
    last = graph.add("ArgMax", line, axis=1, keepdims=1, select_last_index=1)
    last = graph.add("Add", graph.add("Cast", last, to=TensorProto.FLOAT), graph.constant(1))
    return first, last, graph.add("ReduceMax", line, axes=[1], keepdims=1)


# colour: (class, score); the finders' answer for each kind of person.
KINDS = {RED: (0, 0.9), GREEN: (0, 0.6), BLUE: (16, 0.95)}


def save_yolov10(path, batch="batch"):
    """YOLOv10's interface: images (n, 3, 640, 640) RGB 0..1, output0 (n, 300, 6)."""
    graph = Graph()
    picture = graph.add("Mul", "images", graph.constant(255))
    rows = []
    for colour, (kind, score) in KINDS.items():
        mask = coloured(graph, picture, (0, 1, 2), colour)
        x1, x2, seen = extent(graph, mask, 3, 640)
        y1, y2, _ = extent(graph, mask, 2, 640)
        values = [x1, y1, x2, y2, graph.add("Mul", seen, graph.constant(score))]
        values.append(graph.add("Add", graph.add("Mul", seen, graph.constant(0)), graph.constant(kind)))
        row = graph.add("Concat", *values, axis=1)  # (n, 6)
        rows.append(graph.add("Unsqueeze", row, graph.constant([1], np.int64)))
    found = graph.add("Concat", *rows, axis=1)
    padded = graph.add("Pad", found, graph.constant([0, 0, 0, 0, 300 - len(rows), 0], np.int64))
    return graph.save(path, {"images": [batch, 3, 640, 640]}, {"output0": (padded, [batch, 300, 6])})


def save_yolox(path, batch="batch"):
    """YOLOX's interface: images (n, 3, 640, 640) BGR 0..255, output (n, 8400, 85) raw; person i in cell i."""
    graph = Graph()
    rows = []
    for cell, (colour, (kind, score)) in enumerate(KINDS.items()):
        mask = coloured(graph, "images", (2, 1, 0), colour)
        x1, x2, seen = extent(graph, mask, 3, 640)
        y1, y2, _ = extent(graph, mask, 2, 640)
        values = []
        for low, high, corner in ((x1, x2, cell), (y1, y2, 0)):
            middle = graph.add("Div", graph.add("Add", low, high), graph.constant(2 * 8))
            values.append(graph.add("Sub", middle, graph.constant(corner)))
        for low, high in ((x1, x2), (y1, y2)):
            values.append(graph.add("Log", graph.add("Div", graph.add("Sub", high, low), graph.constant(8))))
        values.append(seen)
        classes = np.zeros((1, 80), dtype=np.float32)
        classes[0, kind] = score
        values.append(graph.add("Mul", seen, graph.constant(classes)))
        row = graph.add("Concat", *values, axis=1)  # (n, 85)
        rows.append(graph.add("Unsqueeze", row, graph.constant([1], np.int64)))
    found = graph.add("Concat", *rows, axis=1)
    padded = graph.add("Pad", found, graph.constant([0, 0, 0, 0, 8400 - len(rows), 0], np.int64))
    return graph.save(path, {"images": [batch, 3, 640, 640]}, {"output": (padded, [batch, 8400, 85])})


def gaussian(sigma, radius):
    return np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)).astype(np.float32)


def marker_masks(graph, name):
    """(n, 3, h, w): the markers of a picture normalised with ImageNet's mean and deviation, RGB."""
    picture = graph.add("Mul", name, graph.constant(STD.reshape(1, 3, 1, 1)))
    picture = graph.add("Add", picture, graph.constant(MEAN.reshape(1, 3, 1, 1)))
    return graph.add("Concat", *(coloured(graph, picture, (0, 1, 2), colour) for colour in MARKERS.values()), axis=1)


def spread(graph, maps, dimensions):
    """(n, 3, ...) maps as 133 channels, empty but for the markers' keypoints."""
    weights = np.zeros((133, 3, *[1] * dimensions), dtype=np.float32)
    for channel, row in enumerate(MARKERS):
        weights[row, channel] = 1
    return graph.add("Conv", maps, graph.constant(weights))


def save_vitpose(path, batch="batch", external=False):
    """ViTPose's interface: input (n, 3, 256, 192), output (n, 133, 64, 48); heatmap pixel i is input pixel 4 i."""
    graph = Graph()
    kernel = np.outer(gaussian(8, 16), gaussian(8, 16)) / 100
    weights = np.repeat(kernel[None, None], 3, axis=0)  # one map each, sigma 2 heatmap pixels
    maps = graph.add(
        "Conv", marker_masks(graph, "input"), graph.constant(weights), group=3, strides=[4, 4], pads=[16] * 4
    )
    return graph.save(
        path, {"input": [batch, 3, 256, 192]}, {"output": (spread(graph, maps, 2), [batch, 133, 64, 48])}, external
    )


def save_rtmpose(path, batch="batch"):
    """RTMPose's interface: input (n, 3, 384, 288), simcc_x (n, 133, 576), simcc_y (n, 133, 768)."""
    graph = Graph()
    masks = marker_masks(graph, "input")
    outputs = {}
    for name, across, length in (("simcc_x", 2, 576), ("simcc_y", 3, 768)):
        line = graph.add("ReduceMax", masks, axes=[across], keepdims=0)  # (n, 3, 288 or 384)
        weights = np.repeat(gaussian(6, 12)[None, None], 3, axis=0) / 15
        smooth = graph.add("Conv", line, graph.constant(weights), group=3, pads=[12, 12])
        twice = graph.add(
            "Resize",
            smooth,
            "",
            graph.constant([1, 1, 2]),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        outputs[name] = (spread(graph, twice, 1), [batch, 133, length])
    return graph.save(path, {"input": [batch, 3, 384, 288]}, outputs)


def save_all(folder: Path, **options) -> dict[str, Path]:
    """All four networks under their published names, ViTPose as a folder with external weights."""
    vitpose = folder / "vitpose_h_wholebody.onnx"
    save_vitpose(vitpose / "end2end.onnx", external=True, **options)
    return {
        "yolov10m": save_yolov10(folder / "yolov10m.onnx", **options),
        "vitpose_h_wholebody": vitpose,
        "yolox_l": save_yolox(folder / "yolox_l.onnx", **options),
        "dw-ll_ucoco_384": save_rtmpose(folder / "dw-ll_ucoco_384.onnx", **options),
    }

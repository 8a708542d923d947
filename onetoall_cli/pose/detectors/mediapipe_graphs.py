"""MediaPipe's graphs as two functions: where are the people of a picture, and what are one person's landmarks.

The stock Holistic solution reads one person, and in video mode smooths landmarks with a visible lag (on
`dance_far.mp4` wrists trail by 40 px at 418 px width). The wheel's own subgraphs, wired here without its smoothing
and with the region of interest as an input, read any number of people, each frame for itself.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.detectors.interface import Image
from onetoall_cli.pose.detectors.native_noise import without_native_noise

_FIND_PEOPLE = """
input_stream: "image"
output_stream: "detections"
node {
  calculator: "PoseDetectionCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:detections"
}
"""

# HolisticLandmarkCpu of the wheel with PoseLandmarkCpu (finds, tracks and smooths one person) replaced by its
# inner PoseLandmarkByRoiCpu.
_READ_PERSON = """
input_stream: "image"
input_stream: "region"
input_side_packet: "model_complexity"
input_side_packet: "segmentation"
input_side_packet: "refine_face"
output_stream: "body"
output_stream: "next_region_points"
output_stream: "left_hand"
output_stream: "right_hand"
output_stream: "face"
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  input_side_packet: "ENABLE_SEGMENTATION:segmentation"
  output_stream: "LANDMARKS:body"
  output_stream: "AUXILIARY_LANDMARKS:next_region_points"
}
node {
  calculator: "HandLandmarksLeftAndRightCpu"
  input_stream: "IMAGE:image"
  input_stream: "POSE_LANDMARKS:body"
  output_stream: "LEFT_HAND_LANDMARKS:left_hand"
  output_stream: "RIGHT_HAND_LANDMARKS:right_hand"
}
node {
  calculator: "SplitNormalizedLandmarkListCalculator"
  input_stream: "body"
  output_stream: "head_points"
  options { [mediapipe.SplitVectorCalculatorOptions.ext] { ranges { begin: 0 end: 11 } } }
}
node {
  calculator: "FaceLandmarksFromPoseCpu"
  input_stream: "IMAGE:image"
  input_stream: "FACE_LANDMARKS_FROM_POSE:head_points"
  input_side_packet: "REFINE_LANDMARKS:refine_face"
  output_stream: "FACE_LANDMARKS:face"
}
"""

_REGION_MARGIN = 1.25
"""PoseDetectionToRoi and PoseLandmarksToRoi enlarge the circle around a body by this."""


@dataclass(frozen=True)
class Region:
    """A turned square around a whole body, in pixels: what the landmark network looks at.

    Attributes:
        x, y: Centre, the middle of the hips.
        size: Side of the square.
        rotation: Radians, clockwise, by which the body leans.
    """

    x: float
    y: float
    size: float
    rotation: float

    @staticmethod
    def around(hips: tuple[float, float], rim: tuple[float, float]) -> "Region":
        """The square BlazePose derives from two points in pixels: the hips' middle and a point on the circle
        around the body, above the head."""
        dx, dy = rim[0] - hips[0], rim[1] - hips[1]
        size = 2 * math.hypot(dx, dy) * _REGION_MARGIN
        rotation = math.remainder(math.pi / 2 - math.atan2(-dy, dx), 2 * math.pi)
        return Region(hips[0], hips[1], size, rotation)

    def overlap(self, other: "Region") -> float:
        """Intersection over union of the two squares, as if neither were turned, 0..1."""
        reach = (self.size + other.size) / 2
        wide = max(0.0, min(self.size, other.size, reach - abs(self.x - other.x)))
        high = max(0.0, min(self.size, other.size, reach - abs(self.y - other.y)))
        return wide * high / (self.size**2 + other.size**2 - wide * high)


@dataclass(frozen=True)
class Find:
    """A person seen from afar.

    Attributes:
        region: Where to read them.
        chest: x, y px of the middle of their shoulders, which tells close neighbours apart.
        score: How sure the finder is, 0..1.
    """

    region: Region
    chest: tuple[float, float]
    score: float

    def mapped(self, left: float, top: float, zoom: float) -> "Find":
        """The same find, given in a part of a picture that begins at (left, top), in that picture enlarged."""
        chest = ((self.chest[0] + left) * zoom, (self.chest[1] + top) * zoom)
        x, y = (self.region.x + left) * zoom, (self.region.y + top) * zoom
        return replace(self, chest=chest, region=replace(self.region, x=x, y=y, size=self.region.size * zoom))


@dataclass(frozen=True)
class PersonLandmarks:
    """One person in pixels of the picture.

    Attributes:
        body: (33, 3): x, y, visibility 0..1, BlazePose order.
        face: (468, 2) face mesh, or None where no face was found.
        left_hand, right_hand: (21, 2), the person's own left and right, or None.
        next_region: Where to look for this person in the next frame.
    """

    body: NDArray[np.float32]
    face: NDArray[np.float32] | None
    left_hand: NDArray[np.float32] | None
    right_hand: NDArray[np.float32] | None
    next_region: Region

    def with_missing_from(self, other: "PersonLandmarks") -> "PersonLandmarks":
        """This reading, with face and hands that it lacks taken from another one of the same person."""
        return replace(
            self,
            face=other.face if self.face is None else self.face,
            left_hand=other.left_hand if self.left_hand is None else self.left_hand,
            right_hand=other.right_hand if self.right_hand is None else self.right_hand,
        )


class PeopleFinder:
    """BlazePose's person detector.

    Args:
        min_score: Detections below are dropped.
    """

    def __init__(self, min_score: float) -> None:
        limit = "posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh"
        with without_native_noise():
            self._graph = _open_graph(_FIND_PEOPLE, calculator_params={limit: min_score})
            self._graph.process({"image": _BLANK})

    def find(self, image: Image) -> list[Find]:
        """The people of a picture, highest score first."""
        height, width = image.shape[:2]
        finds = []
        for detection in self._graph.process({"image": image}).detections or []:
            points = [(point.x * width, point.y * height) for point in detection.location_data.relative_keypoints]
            hips, rim, chest = points[:3]
            finds.append(Find(Region.around(hips, rim), chest, float(detection.score[0])))
        return sorted(finds, key=lambda find: -find.score)

    def close(self) -> None:
        self._graph.close()


class PersonReader:
    """BlazePose, face mesh and hand networks on one person.

    The face and hand parts remember where they were in the picture before: give every followed person a reader of
    their own, and call `reset` before an unrelated picture.
    """

    def __init__(self) -> None:
        # Complexity 1 ("full") is the one body model the wheel ships. Refining the face with the attention mesh
        # costs a quarter more time and five times the memory for differences below a drawn point's radius.
        sides = {"model_complexity": 1, "segmentation": False, "refine_face": False}
        with without_native_noise():
            self._graph = _open_graph(_READ_PERSON, side_inputs=sides)
            self._warm_up()
        self._is_fresh = True

    def read(self, image: Image, region: Region) -> PersonLandmarks | None:
        """The landmarks of the person in `region`, or None where BlazePose finds no person there."""
        height, width = image.shape[:2]
        self._is_fresh = False
        result = self._graph.process({"image": image, "region": _rectangle(region, width, height)})
        if result.body is None:
            return None
        body = _pixels(result.body, width, height)
        visibility = np.array([[point.visibility] for point in result.body.landmark], dtype=np.float32)
        hips, rim = _pixels(result.next_region_points, width, height)[:2]
        return PersonLandmarks(
            body=np.hstack([body, visibility]),
            face=None if result.face is None else _pixels(result.face, width, height),
            left_hand=None if result.left_hand is None else _pixels(result.left_hand, width, height),
            right_hand=None if result.right_hand is None else _pixels(result.right_hand, width, height),
            next_region=Region.around(hips, rim),
        )

    def reset(self) -> None:
        """Forget the picture before."""
        if self._is_fresh:
            return
        with without_native_noise():
            self._graph.reset()
            self._warm_up()
        self._is_fresh = True

    def close(self) -> None:
        self._graph.close()

    def _warm_up(self) -> None:
        """Run a picture without a person: the graph's threads open its networks, and say so, only then."""
        self._graph.process({"image": _BLANK, "region": _rectangle(Region(32, 32, 64, 0), 64, 64)})


_BLANK = np.zeros((64, 64, 3), dtype=np.uint8)


def _rectangle(region: Region, width: int, height: int) -> Any:
    from mediapipe.framework.formats.rect_pb2 import NormalizedRect

    return NormalizedRect(
        x_center=region.x / width,
        y_center=region.y / height,
        width=region.size / width,
        height=region.size / height,
        rotation=region.rotation,
    )


def _pixels(landmarks: Any, width: int, height: int) -> NDArray[np.float32]:
    """A list of normalised landmarks as (n, 2) pixels."""
    return np.array([(point.x * width, point.y * height) for point in landmarks.landmark], dtype=np.float32)


def _open_graph(text: str, **options: Any) -> Any:
    """A running `SolutionBase` graph of the wheel's calculators."""
    from google.protobuf import text_format
    from mediapipe.calculators.core import split_vector_calculator_pb2  # noqa: F401 (option type named in the text)
    from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
    from mediapipe.python.solution_base import SolutionBase

    return SolutionBase(graph_config=text_format.Parse(text, CalculatorGraphConfig()), **options)

"""From frames to a `PoseSequence`: opens a detector by name, runs it over a clip and tells the people apart."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.pose.appearance import look_of
from onetoall_cli.pose.detectors.cuts import CutFinder
from onetoall_cli.pose.detectors.interface import Detector, Image
from onetoall_cli.pose.detectors.table import DETECTORS, DetectorRow
from onetoall_cli.pose.sequence import PoseSequence
from onetoall_cli.pose.tracking import Tracker

Locate = Callable[[str], Path | None]
"""Finds an ONNX file, or the folder that holds it, by the name it is published under, such as "yolov10m"."""

_EVEN = 0.002
"""Seconds by which frames of a constant rate may be off it: containers round times to milliseconds."""


def installed_detectors(locate: Locate | None = None) -> tuple[str, ...]:
    """The names of the detectors that can be opened now, the best first."""
    return tuple(row.name for row in DETECTORS if all(map(locate or _locate_fetched, row.files)))


def detector_identity(name: str, locate: Locate | None = None) -> tuple[str, ...]:
    """What tells a detector from others, without opening it: its name, and its files with their sizes and times.

    Args:
        name, locate: As `open_detector` takes them.
    """
    locate = locate or _locate_fetched
    name = installed_detectors(locate)[0] if name == "auto" else name
    rows = [row for row in DETECTORS if row.name == name]
    places = [place for row in rows for place in map(locate, row.files) if place is not None]
    files = [file for place in places for file in (sorted(place.iterdir()) if place.is_dir() else [place])]
    described = [(str(file), file.stat()) for file in files if file.is_file()]
    return (name, *(f"{file} {status.st_size} {status.st_mtime_ns}" for file, status in described))


def open_detector(name: str = "auto", *, device: str = "auto", locate: Locate | None = None) -> Detector:
    """Open a pose detector; its `description` says which it is and where it runs.

    Args:
        name: One of the table's (`detectors.table.DETECTORS`), or "auto" for the best that is installed.
        device: "auto", "cpu", "cuda" or "cuda:N"; `builtin` always runs on the CPU.
        locate: Where ONNX files are; None asks the model manager what has been fetched.

    Raises:
        ModelMissing: It is not installed, or a file of it is broken.
        BadInput: There is no detector of that name.
    """
    locate = locate or _locate_fetched
    name = installed_detectors(locate)[0] if name == "auto" else name
    row = next((row for row in DETECTORS if row.name == name), None)
    if row is None:
        raise BadInput(f"There is no detector {name}.", f"Use auto, {', '.join(row.name for row in DETECTORS)}.")
    return row.open([_need(file, row, locate) for file in row.files], device)


def find_people(
    frames: Iterable[tuple[Image, float]],
    detector: Detector,
    *,
    width: int,
    height: int,
    fps: float,
    progress: Callable[[int, int | None], None] | None = None,
    total: int | None = None,
) -> PoseSequence:
    """The people of a clip, told apart: a person is the same index of the second axis in every frame.

    Frames are read as they come, and no more than the detector's batch is held.

    Args:
        frames: Pictures with their times in seconds, in order. One of another size than the canvas is taken as
            the canvas scaled.
        detector: From `open_detector`.
        width, height: The canvas, in pixels.
        fps: Frames per second, on average.
        progress: Told (frames done, `total`) after each.
        total: Number of frames if known, passed on to `progress`.

    Returns:
        Everyone seen for more than a moment, the longest seen first; where nobody is found at all, one person absent
        throughout. The times are kept unless they are those of the constant rate.

    Raises:
        BadInput: There are no frames.
        ModelMissing, OutOfResources: As `Detector.detect`.
    """
    waiting: deque[tuple[Image, float]] = deque()

    def images() -> Iterator[Image]:
        for image, time in frames:
            waiting.append((image, time))
            yield image

    tracker, cuts = Tracker(), CutFinder()
    times: list[float] = []
    for people in detector.follow(images()):
        image, time = waiting.popleft()
        looks = [look_of(image, person) for person in people]
        size = np.array([width / image.shape[1], height / image.shape[0], 1], dtype=np.float32)
        tracker.add(people * size, looks, cut=cuts.is_cut(image))
        times.append(time)
        if progress is not None:
            progress(len(times), total)
    if not times:
        raise BadInput("The motion has no frames.", "Choose another file, or another part with --start/--duration.")
    return PoseSequence(tracker.sightings(), width, height, fps, _uneven(np.array(times), fps))


def _uneven(times: NDArray[np.float64], fps: float) -> NDArray[np.float64] | None:
    """The times, or None if they are those of the constant rate."""
    even = np.abs(times - np.arange(len(times)) / fps).max() <= _EVEN
    return None if even else times


def _need(file: str, row: DetectorRow, locate: Locate) -> Path:
    path = locate(file)
    if path is None:
        raise ModelMissing(
            f"The detector {row.name} is not installed ({file}.onnx is missing).",
            f"Fetch it with `onetoall fetch {row.fetch}`, or use --detector auto.",
        )
    return path


def _locate_fetched(file: str) -> Path | None:
    from onetoall_cli.hub import component_path

    return component_path(file)

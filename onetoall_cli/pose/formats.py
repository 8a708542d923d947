"""Pose files: our JSON, and the OpenPose, ComfyUI and 133-point array files of other tools.

Ours is `{"format": "onetoall-pose", "version": 1, "fps": 30.0, "person_count": 1, "frames": [...]}`. Each frame is an
OpenPose frame in pixels (`openpose_json.py`), with its `time` in seconds if the frame rate varies. So `frames` is a
ComfyUI POSE_KEYPOINT list, and one frame of it an OpenPose file. Every value reads back exactly.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.files import whole_file, whole_folder
from onetoall_cli.files.documents import parse_json
from onetoall_cli.files.outputs import LONGEST_DEFAULT, shortened
from onetoall_cli.files.streams import as_file, input_ending
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.arrays import Facts, array_to_keypoints, read_array
from onetoall_cli.pose.file_errors import FORMATS_ADVICE, MAX_CANVAS, MAX_FILE_BYTES, fault
from onetoall_cli.pose.frame_folders import folder_frames
from onetoall_cli.pose.openpose_json import (
    canvas_of,
    checked_numbers,
    checked_side,
    editor_keypoints,
    frame_to_json,
    frames_from_json,
)
from onetoall_cli.pose.sightings import Sightings

if TYPE_CHECKING:
    from onetoall_cli.pose.sequence import PoseSequence

FORMAT = "onetoall-pose"
VERSION = 1
DEFAULT_FPS = 30.0  # what phones film at; only for files that do not say, and of more than one frame
OPENPOSE_VERSION = 1.3  # of OpenPose 1.5 to 1.7
# A part whose points lie within this of the origin is in 0..1 coordinates, some of it off the canvas: no body part
# fits in 2 px of a picture.
NORMALISED_LIMIT = 2.0
# Fractions go from -1 to 1 (OpenPose's keypoint_scale 4) where the points' median lies before the first number, or a
# quarter of them before the second: in 0..1 that would be a person at or over the left or upper edge all the time.
CENTRED_MEDIAN, CENTRED_QUARTER = 0.05, -0.1
# Editors show every point with a score as surely seen and drop scores below 1, so points this sure are exported as 1.
# 0.3 is where hands and faces are drawn.
EXPORT_THRESHOLD = 0.3

_log = logging.getLogger(__name__)


class Parsed(NamedTuple):
    """What a pose file holds: the arguments of `PoseSequence`, which reads its files here."""

    keypoints: NDArray[np.float32] | Sightings
    width: int
    height: int
    fps: float
    times: NDArray[np.float64] | None = None


def load_poses(path: Path, *, fps: float | None = None, size: tuple[int, int] | None = None) -> Parsed:
    """Read a motion or a single pose.

    Args:
        path: A file, a pipe (`-`: standard input) or a folder: `onetoall-pose` JSON; an OpenPose file; a folder of
            OpenPose files, one a frame, in the natural order of their names (frame2 before frame10); a ComfyUI
            POSE_KEYPOINT list; nested lists of 133 points in JSON, alone or as `{"keypoints": ..., "width": ...,
            "height": ..., "fps": ...}`, or there the 18 x (x, y) of each person of one picture (openpose-editor); an
            array (133, 3), (frames, 133, 3) or (frames, people, 133, 3) in .npy or .npz. In an .npz of several,
            `poses.npz:NAME` chooses; `NAME_size` or `size` holds (width, height), `NAME_fps` or `fps` the rate.
            Bodies may have 18 (COCO) or 25 (BODY_25) points; hands, face and feet may be missing, also single points
            (score 0, NaN, null). Coordinates in 0..1 or -1..1 are recognised where the canvas is known. People of an
            OpenPose file without usable `person_id`s are told apart as detected ones are.
        fps: Frame rate for a file that does not say; without it 30.
        size: Canvas (width, height) in px for a file that does not say; without it the extent of the keypoints.

    Raises:
        BadInput: Naming file, frame, person and field at fault.
    """
    given = Facts(size, fps)
    file, _, name = str(path).partition(".npz:") if not path.exists() else ("", "", "")
    if name:
        return _from_array(*read_array(Path(file + ".npz"), name), given)
    if path.is_dir():
        return _from_frames(folder_frames(path, _read_json), str(path), given)
    if input_ending(path) in (".npy", ".npz"):
        return _from_array(*read_array(path), given)
    return from_json(_read_json(path), str(path), fps=fps, size=size)


def from_json(data: Any, source: str, *, fps: float | None = None, size: tuple[int, int] | None = None) -> Parsed:
    """Read parsed JSON of any format that `load_poses` reads; `source` names it in errors.

    Raises:
        BadInput: Naming source, frame, person and field at fault.
    """
    given = Facts(size, fps)
    if isinstance(data, dict):
        if data.get("format") == FORMAT:
            return _from_ours(data, source)
        if "people" in data or "animals" in data:
            return _from_frames([(source, data)], source, given)
        if "keypoints" in data:
            return _from_keypoints(f"{source}, keypoints", data["keypoints"], _stated(data, source).otherwise(given))
    if isinstance(data, list):
        if not data:
            fault(source, "it holds no frames")
        if all(isinstance(each, list) and each and isinstance(each[0], dict) for each in data):
            data = [frame for each in data for frame in each]  # one more list around the frames
        if isinstance(data[0], dict):
            return _from_frames(_numbered(source, data), source, given)
        if isinstance(data[0], list):
            return _from_keypoints(source, data, given)
    fault(source, "this JSON is not a pose", FORMATS_ADVICE)


def to_json(sequence: "PoseSequence") -> dict[str, Any]:
    """`sequence` as JSON-ready data in our format; lossless."""
    return _head(sequence) | {"frames": list(_our_frames(sequence))}


def save_poses(sequence: "PoseSequence", path: Path) -> None:
    """Write our JSON, one line a frame, whole or not at all. The same sequence gives the same bytes."""
    with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(json.dumps(_head(sequence))[:-1] + ', "frames": [')
        for number, frame in enumerate(_our_frames(sequence)):
            file.write((",\n" if number else "\n") + json.dumps(frame, separators=(",", ":")))
        file.write("\n]}\n")


def _head(sequence: "PoseSequence") -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "fps": sequence.fps, "person_count": sequence.people}


def _our_frames(sequence: "PoseSequence") -> Iterator[dict[str, Any]]:
    times = [] if sequence.times is None else sequence.times.tolist()
    for number, everyone in enumerate(sequence.by_frame()):
        frame = frame_to_json(everyone, sequence.width, sequence.height)
        yield {"time": times[number]} | frame if times else frame


def export_openpose(sequence: "PoseSequence", path: Path) -> None:
    """Write the poses for editors, which know no scores between 0 and 1: points seen with 0.3 get 1, others 0, 0, 0.

    Args:
        sequence: What to write; not lossless (use `save_poses` for that).
        path: `NAME.json`: a ComfyUI POSE_KEYPOINT list (of one frame: an OpenPose file). Any other name: a folder of
            OpenPose files, `NAME_000000000000_keypoints.json` and so on.
    """
    texts = (json.dumps(frame) for frame in _editor_frames(sequence))
    if path.suffix.lower() == ".json":
        begin, end = ("[", "]") if len(sequence) > 1 else ("", "")
        with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
            file.write(begin)
            for number, text in enumerate(texts):
                file.write((", " if number else "") + text)
            file.write(end)
        return
    with whole_folder(path, "OpenPose files") as folder:
        stem = shortened(path.name, LONGEST_DEFAULT)
        for number, text in enumerate(texts):
            (folder / f"{stem}_{number:012d}_keypoints.json").write_text(text, encoding="ascii")


def _editor_frames(sequence: "PoseSequence") -> Iterator[dict[str, Any]]:
    for everyone in sequence.by_frame():
        seen = everyone[..., 2:] >= EXPORT_THRESHOLD
        keypoints = np.where(seen, everyone, np.float32(0))
        keypoints[..., 2] = seen[..., 0]
        yield {"version": OPENPOSE_VERSION} | frame_to_json(keypoints, sequence.width, sequence.height)


def _from_ours(data: dict[str, Any], source: str) -> Parsed:
    if data.get("version") != VERSION:
        problem = f"it has version {data.get('version')!r} of the format, and this program reads version {VERSION}"
        fault(f"{source}, version", problem, "Update onetoall, or make the file again with `onetoall pose`.")
    frames = data.get("frames")
    if not isinstance(frames, list) or not frames:
        fault(f"{source}, frames", "it holds no frames")
    named = _numbered(source, frames)
    slots = data.get("person_count")
    if slots is not None and (not isinstance(slots, int) or isinstance(slots, bool) or slots < 1):
        fault(f"{source}, person_count", "must be a whole number from 1")
    keypoints, _ = frames_from_json(named, slots)
    size = canvas_of(named)
    if size is None:
        fault(source, "no frame states `canvas_width` and `canvas_height`")
    fps = _checked_fps(source, data.get("fps"))
    return Parsed(keypoints, *size, fps, _times_of(named))


def _stated(data: dict[str, Any], source: str) -> Facts:
    """The size and rate beside nested lists of keypoints."""
    has_size = "width" in data or "height" in data
    return Facts(
        (checked_side(source, data, "width"), checked_side(source, data, "height")) if has_size else None,
        _checked_fps(source, data["fps"]) if "fps" in data else None,
    )


def _from_frames(frames: list[tuple[str, Any]], source: str, given: Facts) -> Parsed:
    keypoints, told_apart = frames_from_json(frames)
    return _finished(keypoints, source, Facts(canvas_of(frames)).otherwise(given), told_apart=told_apart)


def _from_keypoints(place: str, values: Any, facts: Facts) -> Parsed:
    """Nested lists: 133 points of each person and frame, or an editor's 18 of each person of a picture."""
    array = checked_numbers(place, values)
    keypoints = editor_keypoints(array)
    return _finished(array_to_keypoints(place, array) if keypoints is None else keypoints, place, facts)


def _from_array(place: str, array: NDArray, stated: Facts, given: Facts) -> Parsed:
    return _finished(array_to_keypoints(place, array), place, stated.otherwise(given))


def _finished(keypoints: NDArray[np.float32], source: str, facts: Facts, *, told_apart: bool = True) -> Parsed:
    """The sequence of a foreign file, with what nobody said filled in."""
    if not (keypoints[..., 2] > 0).any():
        fault(source, "no frame holds a person", "Choose a file in which somebody was detected.")
    keypoints = _in_pixels(keypoints, facts.size, source)
    size = facts.size or _extent(keypoints, source)
    if not told_apart:
        _log.warning("%s does not say who is who: people are told apart by where they are", source)
    if facts.fps is None and len(keypoints) > 1:
        _log.warning("%s does not say its frame rate: %g assumed", source, DEFAULT_FPS)
    if told_apart:
        return Parsed(keypoints, *size, facts.fps or DEFAULT_FPS)
    from onetoall_cli.pose.tracking import tracked  # brings OpenCV, for which reading a file should not wait

    return Parsed(tracked(keypoints), *size, facts.fps or DEFAULT_FPS)


def _in_pixels(keypoints: NDArray[np.float32], canvas: tuple[int, int] | None, source: str) -> NDArray[np.float32]:
    """Parts in fractions of the canvas scaled to it. Which are is decided for each part over the whole file: some
    writers mix spaces between parts, and single points of such a part may lie outside the canvas."""
    parts = (slice(kp.BODY.start, kp.FEET.stop), kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND)
    in_fractions = [part for part in parts if _is_in_fractions(keypoints[..., part, :])]
    if not in_fractions:
        return keypoints
    if canvas is None:
        problem = "its coordinates are fractions of a canvas whose size it does not say"
        fault(source, problem, "Add canvas_width and canvas_height.")
    centred = _is_centred(keypoints[..., in_fractions[0], :])
    if centred:
        _log.warning("%s: many of its coordinates are negative: taken as from -1 to 1 over the canvas", source)
    scaled = keypoints.copy()
    for part in in_fractions:
        points = keypoints[..., part, :]
        stored = points.any(axis=-1, keepdims=True)  # 0, 0, 0 is no place but a missing point
        fractions = (points[..., :2] + 1) / 2 if centred else points[..., :2]
        scaled[..., part, :2] = np.where(stored, fractions * np.array(canvas, np.float32), 0)
    return scaled


def _is_centred(points: NDArray[np.float32]) -> bool:
    """Whether fractions count from the middle of the canvas, from -1 to 1."""
    seen = points[points[..., 2] > 0][:, :2]
    before = np.quantile(seen.min(axis=1), 0.25) < CENTRED_QUARTER
    return bool(before or np.median(seen, axis=0).min() < CENTRED_MEDIAN)


def _is_in_fractions(points: NDArray[np.float32]) -> bool:
    seen = points[points[..., 2] > 0]
    return len(seen) > 0 and bool(np.median(np.abs(seen[:, :2]).max(axis=1)) <= NORMALISED_LIMIT)


def _extent(keypoints: NDArray[np.float32], source: str) -> tuple[int, int]:
    """The smallest canvas from 0, 0 that holds every seen point."""
    seen = keypoints[keypoints[..., 2] > 0]
    width, height = (int(side) + 1 for side in np.maximum(seen[:, :2].max(axis=0), 0))
    if max(width, height) > MAX_CANVAS:
        fault(source, f"the keypoints reach {max(width, height)} px, beyond any picture")
    _log.warning(
        "%s does not say its canvas size: %d x %d, the extent of its keypoints, assumed", source, width, height
    )
    return width, height


def _numbered(source: str, frames: list[Any]) -> list[tuple[str, Any]]:
    return [(f"{source}, frame {i}", frame) for i, frame in enumerate(frames)]


def _read_json(path: Path) -> Any:
    try:
        file = as_file(path)
        if (size := file.stat().st_size) > MAX_FILE_BYTES:
            fault(str(path), f"it has {size / 1e9:.1f} GB, and pose files of up to 1 GB are read", "Split it.")
        return parse_json(file.read_bytes(), source=str(path), advice=FORMATS_ADVICE, max_bytes=MAX_FILE_BYTES)
    except OSError as error:
        fault(str(path), f"cannot be read: {error.strerror}", "Check the name and the permissions.")


def _checked_fps(source: str, value: Any) -> float:
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    if not valid or not 0 < value <= 1e4:
        fault(f"{source}, fps", "must be a number of frames per second above 0")
    return float(value)


def _times_of(frames: list[tuple[str, dict[str, Any]]]) -> NDArray[np.float64] | None:
    """The frames' `time`s, or None if no frame has one."""
    if not any("time" in frame for _, frame in frames):
        return None
    times: list[float] = []
    for place, frame in frames:
        time: Any = frame.get("time")
        valid = isinstance(time, int | float) and not isinstance(time, bool)
        if not valid or not 0 <= time < 1e9 or (times and time <= times[-1]):
            fault(f"{place}, time", "must be the seconds from 0, each frame's greater than the one before")
        times.append(time)
    return np.array(times, np.float64)

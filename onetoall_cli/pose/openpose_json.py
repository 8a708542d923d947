"""OpenPose's frame objects, `{"people": [...], "canvas_width", "canvas_height"}`, to and from 133 keypoints.

A written frame follows OpenPose `doc/02_output.md`, "COCO" body model, as the editors of ComfyUI and sd-webui
expect it: `pose_keypoints_2d` 18 x (x, y, score), `face_keypoints_2d` 70, `hand_left_keypoints_2d` and
`hand_right_keypoints_2d` 21, `person_id` the person's index. What OpenPose has and the 133 do not is derived or left
unseen: the neck is the middle of two seen shoulders, the two pupils are 0, 0, 0. What the 133 have and that body has
not, the feet, travels in `foot_keypoints_2d` (6: left big toe, small toe, heel, then right), a key other tools use too.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.file_errors import MAX_CANVAS, MAX_COORDINATE, MAX_PERSON_FRAMES, fault

Floating = TypeVar("Floating", np.float32, np.float64)

_BODY_LAYOUTS = {len(layout) * 3: layout for layout in (kp.OPENPOSE_BODY, kp.OPENPOSE_BODY_25)}
_PARTS = {
    # key: (rows of the 133, accepted numbers of points; points beyond the rows are dropped)
    "face_keypoints_2d": (kp.FACE, (70, 68)),  # 70: two pupils at the end
    "hand_left_keypoints_2d": (kp.LEFT_HAND, (21,)),
    "hand_right_keypoints_2d": (kp.RIGHT_HAND, (21,)),
    "foot_keypoints_2d": (kp.FEET, (6,)),
}
_PERSON_KEYS = ("pose_keypoints_2d", *_PARTS)

# Both ways between rows of the 133 and points of the two body models (neck and middle of the hips left out).
_BODY_ROWS = {
    length: np.array([(row, point) for point, row in enumerate(layout) if row is not None])
    for length, layout in _BODY_LAYOUTS.items()
}


def frame_to_json(keypoints: NDArray[np.float32], width: int, height: int) -> dict[str, Any]:
    """Keypoints (people, 133, 3) as an OpenPose frame; a person that is all zero is left out."""
    there = np.flatnonzero(keypoints.any(axis=(1, 2)))
    parts = _parts_of(keypoints[there])
    ends = np.cumsum([points.shape[1] for points in parts.values()])[:-1]
    written = np.split(_shortest(np.concatenate(list(parts.values()), axis=1)), ends, axis=1)
    people = [
        {"person_id": [int(index)]}
        | {key: numbers[row].ravel().tolist() for key, numbers in zip(parts, written, strict=True)}
        for row, index in enumerate(there)
    ]
    return {"people": people, "canvas_width": width, "canvas_height": height}


def _parts_of(keypoints: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The arrays of written people, each (people, points, 3)."""
    body = np.zeros((len(keypoints), len(kp.OPENPOSE_BODY), 3), np.float32)
    rows, points = _BODY_ROWS[3 * len(kp.OPENPOSE_BODY)].T
    body[..., points, :] = keypoints[..., rows, :]
    shoulders = keypoints[..., [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :]
    both = np.asarray((shoulders[..., 2] > 0).all(axis=-1))
    body[..., kp.OPENPOSE_NECK, :] = np.where(both[..., None], shoulders.mean(axis=-2), 0)
    pupils = np.zeros((len(keypoints), 2, 3), np.float32)
    return {
        "pose_keypoints_2d": body,
        "face_keypoints_2d": np.concatenate([keypoints[..., kp.FACE, :], pupils], axis=-2),
        "hand_left_keypoints_2d": keypoints[..., kp.LEFT_HAND, :],
        "hand_right_keypoints_2d": keypoints[..., kp.RIGHT_HAND, :],
        "foot_keypoints_2d": keypoints[..., kp.FEET, :],
    }


def _shortest(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The float64 of the shortest decimals that read back as the same float32: 0.1, not 0.10000000149011612."""
    exact = values.ravel().astype(np.float64)
    short = exact.copy()
    left = np.arange(exact.size)
    for digits in range(13):
        rounded = np.round(exact[left], digits)
        same = rounded.astype(np.float32) == exact[left]
        short[left[same]] = rounded[same]
        left = left[~same]
    return short.reshape(values.shape)


def frames_from_json(frames: list[tuple[str, Any]], slots: int | None = None) -> tuple[NDArray[np.float32], bool]:
    """Parse OpenPose frames into float32 (frames, people, 133, 3), and whether a person is one index throughout.

    Args:
        frames: (place, frame object) pairs; the place names the frame in errors.
        slots: Number of people, each at the index its `person_id` says. None: people are told apart by `person_id`
            where all have one (in the order of the ids), else they are in the order of each frame's list.

    Raises:
        BadInput: Naming the frame, person and field at fault.
    """
    parsed = [_people_of(place, frame) for place, frame in frames]
    indices, count, told_apart = _identities(frames, parsed, slots)
    if len(frames) * count > MAX_PERSON_FRAMES:
        fault(
            frames[0][0], f"there are {len(frames)} frames of {count} people, more than can be held", "Split the file."
        )
    keypoints = np.zeros((len(frames), count, kp.COUNT, 3), np.float32)
    for i, people in enumerate(parsed):
        for index, (_, person) in zip(indices[i], people, strict=True):
            keypoints[i, index] = person
    return keypoints, told_apart


def editor_keypoints(points: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """The people of one picture as openpose-editor stores them, 18 body points (x, y) each, as (1, people, 133, 3).

    Args:
        points: (people, 18, 2) or, person after person, (18 * people, 2); NaN where one is missing. Any other shape is
            not the editor's: None.
    """
    body_points = len(kp.OPENPOSE_BODY)
    flat = points.ndim == 2 and len(points) % body_points == 0
    if not points.size or points.shape[-1] != 2 or not (flat or (points.ndim == 3 and points.shape[1] == body_points)):
        return None
    bodies = points.reshape(-1, body_points, 2)
    keypoints = np.zeros((1, len(bodies), kp.COUNT, 3), np.float32)
    rows, columns = _BODY_ROWS[3 * body_points].T
    seen = np.isfinite(bodies).all(axis=-1, keepdims=True)
    keypoints[0][:, rows] = np.concatenate([np.where(seen, bodies, 0), seen], axis=-1)[:, columns]
    return keypoints


def canvas_of(frames: list[tuple[str, Any]]) -> tuple[int, int] | None:
    """The canvas size (width, height) the frames state; None if none does.

    Raises:
        BadInput: A size is no size, or frames differ.
    """
    found: tuple[str, tuple[int, int]] | None = None
    for place, frame in frames:
        if frame.get("canvas_width") is None and frame.get("canvas_height") is None:
            continue
        size = (checked_side(place, frame, "canvas_width"), checked_side(place, frame, "canvas_height"))
        found = found or (place, size)
        if size != found[1]:
            mixed = f"the canvas is {size[0]} x {size[1]} here but {found[1][0]} x {found[1][1]} in {found[0]}"
            fault(place, mixed, "All frames of one motion must share one canvas size.")
    return found and found[1]


def checked_side(place: str, data: dict[str, Any], key: str) -> int:
    """`data[key]` as a canvas side in pixels, 1 to 65536 (whole numbers, also written as 512.0)."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MAX_CANVAS or value % 1:
        fault(f"{place}, {key}", f"{_shown(value)} is not a size in pixels")
    return int(value)


def _people_of(place: str, frame: Any) -> list[tuple[int | None, NDArray[np.float64]]]:
    """The people of one frame: (person_id or None, keypoints (133, 3))."""
    if not isinstance(frame, dict):
        fault(place, f"a frame must be an object with `people`, not {_shown(frame)}")
    if "animals" in frame and "people" not in frame:
        fault(place, "it holds animals", "Only human poses can drive a character.")
    people = frame.get("people", "nothing")
    if people is None:  # how some writers say that nobody was found
        return []
    if not isinstance(people, list):
        fault(f"{place}, people", f"must be a list, not {_shown(people)}")
    return [_person(f"{place}, person {i}", person) for i, person in enumerate(people)]


def _person(place: str, person: Any) -> tuple[int | None, NDArray[np.float64]]:
    if not isinstance(person, dict) or not any(key in person for key in _PERSON_KEYS):
        fault(place, f"a person must be an object with `pose_keypoints_2d`, not {_shown(person)}")
    keypoints = np.zeros((kp.COUNT, 3))
    body = _points(place, person, "pose_keypoints_2d", tuple(_BODY_LAYOUTS))
    if body is not None:
        rows, points = _BODY_ROWS[body.size].T
        keypoints[rows] = body[points]
    for key, (rows_of_part, counts) in _PARTS.items():
        part = _points(place, person, key, tuple(3 * count for count in counts))
        if part is not None:
            keypoints[rows_of_part] = part[: rows_of_part.stop - rows_of_part.start]
    return _person_id(person), keypoints


def _points(place: str, person: dict[str, Any], key: str, lengths: tuple[int, ...]) -> NDArray[np.float64] | None:
    """`person[key]` as (points, 3); flat or nested lists; None where it is missing, null or empty."""
    values = person.get(key)
    if values is None or values == []:
        return None
    where = f"{place}, {key}"
    if not isinstance(values, list):
        fault(where, f"must be a list of numbers, not {_shown(values)}")
    numbers = checked_numbers(where, values).ravel()
    if numbers.size not in lengths:
        wanted = " or ".join(str(length) for length in lengths)
        fault(where, f"has {numbers.size} numbers, not {wanted} (x, y and score of each point)")
    return check_points(where, numbers.reshape(-1, 3))


def checked_numbers(place: str, values: list[Any]) -> NDArray[np.float64]:
    """Nested lists of JSON numbers as an array; null, which JSON has in place of NaN, becomes NaN.

    Raises:
        BadInput: Something in it is not a number, or the nesting is uneven.
    """
    try:
        array = np.asarray(values)
        if array.dtype == object and array.ndim:
            array = np.asarray(np.where(array == None, np.nan, array).tolist())  # noqa: E711 (of each element)
    except ValueError:
        fault(place, "the lists in it differ in length")
    if array.dtype.kind not in "iuf":
        fault(place, "holds something that is not a number")
    return array.astype(np.float64)


def check_points(place: str, points: NDArray[Floating]) -> NDArray[Floating]:
    """`points` (..., 3) if every one is finite and within reach; missing ones (score 0, or all NaN) become 0, 0, 0.

    Raises:
        BadInput: Naming the first point at fault by its indices.
    """
    unknown = ~np.isfinite(points)
    missing = unknown.any(axis=-1) & ((points[..., 2] == 0) | np.isnan(points).all(axis=-1))
    if missing.any():
        points = np.where(missing[..., None], 0, points)
    bad = ~np.isfinite(points).all(axis=-1)
    wild = (np.abs(points) > MAX_COORDINATE).any(axis=-1) & ~bad
    for wrong, what in ((bad, "NaN or infinite"), (wild, f"more than {MAX_COORDINATE:.0f} px away")):
        if wrong.any():
            index = ", ".join(str(i) for i in np.argwhere(wrong)[0])
            fault(place, f"point {index} is {what}")
    return points


def _person_id(person: dict[str, Any]) -> int | None:
    """OpenPose's tracking id, `[n]` with -1 for none; some writers leave the brackets out."""
    identity = person.get("person_id")
    if isinstance(identity, list) and len(identity) == 1:
        identity = identity[0]
    valid = isinstance(identity, int) and not isinstance(identity, bool) and identity >= 0
    return identity if valid else None


def _identities(
    frames: list[tuple[str, Any]], parsed: list[list[tuple[int | None, Any]]], slots: int | None
) -> tuple[list[list[int]], int, bool]:
    """For each person of each frame their index in the sequence; the number of people; whether it is theirs."""
    ids = [[identity for identity, _ in people] for people in parsed]
    told_apart = all(None not in row and len(set(row)) == len(row) for row in ids)
    if slots is not None:
        for (place, _), row in zip(frames, ids, strict=True):
            if not told_apart or any(identity is not None and identity >= slots for identity in row):
                fault(place, f"its people need a `person_id` each, all different and below {slots} (`person_count`)")
        return [[identity for identity in row if identity is not None] for row in ids], slots, True
    if told_apart:
        order = {identity: i for i, identity in enumerate(sorted({i for row in ids for i in row if i is not None}))}
        rows = [[order[identity] for identity in row if identity is not None] for row in ids]
        return rows, max(1, len(order)), True
    people = max(1, *(len(row) for row in ids))
    return [list(range(len(row))) for row in ids], people, people == 1 or len(frames) == 1


def _shown(value: Any) -> str:
    """A short rendering of a JSON value for an error message."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

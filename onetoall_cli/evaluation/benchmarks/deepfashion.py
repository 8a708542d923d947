"""DeepFashion's pose transfer set as its literature has it: a list of pairs, body points of every picture, pictures."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.benchmarks.sets import Clip
from onetoall_cli.evaluation.pairs.clip_features import ClipFeatures
from onetoall_cli.evaluation.pairs.pairing import scaled
from onetoall_cli.files.documents import parse_json
from onetoall_cli.media import read_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.openpose_json import editor_keypoints

PAIRS, POINTS = "fasion-resize-pairs-test.csv", "fasion-resize-annotation-test.csv"  # (sic)
PICTURES, TRAINING = "test_highres", "train_highres"
WIDTH, HEIGHT = 176, 256  # pixels of the pictures that the body points were found in
_MISSING = -1  # coordinate of a point that was not found
_FARTHEST = 1e5  # pixels from the corner that a point may lie
_BODY_POINTS = 18  # OpenPose's, in its order

Vectors = NDArray[np.float32]
Tick = Callable[[int, int | None], None]

_ADVICE = f"The folder needs {PAIRS}, {POINTS} and the pictures in {PICTURES}/."


def clips_of_pairs(folder: Path, poses: Path | None) -> list[Clip]:
    """The pairs of the test list.

    Args:
        folder: With the list, the points and the pictures.
        poses: Where the points are written as pose files, those that are not there yet; None: poses are to be detected.

    Raises:
        BadInput: A file is missing or is not of that form.
    """
    rows = _rows(folder / PAIRS, ",")
    if rows and [field.strip() for field in rows[0][1]] == ["from", "to"]:
        rows = rows[1:]
    wanted: dict[str, tuple[str, str]] = {}
    for number, row in rows:
        if len(row) != 2 or not all(Path(name).name == name and name for name in row):
            raise BadInput(f"{folder / PAIRS}, line {number}, does not name two pictures.", _ADVICE)
        made, true = row
        wanted[f"{Path(made).stem}_to_{Path(true).stem}"] = (made, true)
    if not wanted:
        raise BadInput(f"{folder / PAIRS} names no pairs.", _ADVICE)
    names = sorted({name for pair in wanted.values() for name in pair})
    missing = [name for name in names if not (folder / PICTURES / name).is_file()]
    if missing:
        raise BadInput(f"{len(missing)} pictures are missing: {folder / PICTURES / missing[0]}.", _ADVICE)
    files = {} if poses is None else _written(folder / POINTS, names, poses)
    return [
        Clip(
            name=name,
            reference=folder / PICTURES / made,
            motion=files.get(true, folder / PICTURES / true),
            truth=folder / PICTURES / true,
            ref_pose=files.get(made),
        )
        for name, (made, true) in wanted.items()
    ]


@torch.no_grad()
def training_vectors(folder: Path, collector: ClipFeatures, size: tuple[int, int], tick: Tick) -> Vectors | None:
    """The vectors of all training pictures, against which the set's literature takes its FID; None: there are none.

    Args:
        folder: As for `clips_of_pairs`.
        collector: Of the FID.
        size: Width and height to which they are scaled.
        tick: Told (pictures done, pictures in all).
    """
    pictures = sorted((folder / TRAINING).glob("*.jpg"))
    for number, path in enumerate(pictures, 1):
        collector.add(scaled(read_picture(path), size))
        tick(number, len(pictures))
    return collector.vectors() if pictures else None


def _written(points: Path, names: list[str], folder: Path) -> dict[str, Path]:
    """The pose file of each picture."""
    found = {row[0]: (number, row[1:]) for number, row in _rows(points, ":")}
    files = {name: folder / f"{Path(name).stem}.json" for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        if name not in found:
            raise BadInput(f"{points} has no line for {name}.", _ADVICE)
        if not file.exists():  # a file that is written anew counts as changed, and its pictures would be made again
            number, fields = found[name]
            _pose(fields, f"{points}, line {number}").save(file)
    return files


def _pose(fields: list[str], place: str) -> PoseSequence:
    """The body points of one picture, from two lists of numbers: y, then x."""
    lists = [parse_json(field, source=place, advice=_ADVICE) for field in fields]
    try:
        y, x = (np.array(values, np.float64) for values in lists)
        points = np.stack([x, y], axis=-1).reshape(1, _BODY_POINTS, 2)
        if not (np.abs(points) <= _FARTHEST).all():
            raise ValueError("a point lies nowhere near the picture")
    except (ValueError, TypeError) as error:
        raise BadInput(f"{place}, holds no {_BODY_POINTS} points in two lists.", _ADVICE) from error
    keypoints = editor_keypoints(np.where((points == _MISSING).any(axis=-1, keepdims=True), np.nan, points))
    assert keypoints is not None  # for these are 18 points
    return PoseSequence(keypoints, WIDTH, HEIGHT)


def _rows(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    return list(_read_rows(path, delimiter))


def _read_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a list that are not empty, with their numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            yield from ((number, row) for number, row in enumerate(csv.reader(stream, delimiter=delimiter), 1) if row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read ({error}).", _ADVICE) from error

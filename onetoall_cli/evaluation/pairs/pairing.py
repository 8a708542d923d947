"""Which results belong to which truth: files, folders and lists of them, checked before anything is measured."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from onetoall_cli.errors import BadInput, OnetoallError
from onetoall_cli.evaluation.pairs.picture_measures import Picture
from onetoall_cli.evaluation.pairs.protocols import Protocol
from onetoall_cli.files.names import MOVIE_SUFFIXES, PICTURE_SUFFIXES, natural_order
from onetoall_cli.media import Video, open_video

_SHOWN = 5  # faults in one message
_HEADER = ["result", "truth"]


@dataclass(frozen=True)
class Pair:
    """A result and its truth, each a video, a folder of frames or a picture; `name` is what tables call it."""

    name: str
    result: Path
    truth: Path


@dataclass(frozen=True)
class OpenPair:
    """A pair whose files can be read and fit together.

    Attributes:
        name: What tables call it.
        result, truth: Opened.
        frames: How many are compared.
        size: Width and height at which they are compared, pixels.
    """

    name: str
    result: Video
    truth: Video
    frames: int
    size: tuple[int, int]

    @property
    def scaled(self) -> bool:
        """Whether the result is scaled to that size."""
        return (self.result.width, self.result.height) != self.size

    @property
    def fps(self) -> Fraction:
        return self.truth.fps

    def __iter__(self) -> Iterator[tuple[Picture, Picture]]:
        """Frames of result and truth in that size, uint8 (H, W, 3); one pair of them in memory at a time."""
        frames = zip(self.result, self.truth, strict=False)
        for number, (made, true) in enumerate(frames):
            if number == self.frames:
                return
            yield scaled(made.image, self.size), scaled(true.image, self.size)


def scaled(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture at another width and height: bicubic, with antialiasing."""
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def find_pairs(result: Path, truth: Path, *, pictures: bool = False) -> list[Pair]:
    """Pair two files, or the members of two folders by their names without endings.

    Members are the videos and folders in it; else, a folder of pictures is one clip.

    Args:
        pictures: A folder of pictures is not a clip, but holds pictures of their own.

    Raises:
        BadInput: Something is missing, or has no partner.
    """
    made, true = _members(result, pictures), _members(truth, pictures)
    if made is None and true is None:
        return [Pair(result.stem if result.is_file() else result.name, result, truth)]
    if made is None or true is None:
        one, many = (result, truth) if made is None else (truth, result)
        raise BadInput(f"{one} is one clip, and {many} holds several.", "Give two clips, or two folders of clips.")
    alone = sorted(set(made) ^ set(true))
    if alone:
        name = alone[0]
        there, missing = (result, truth) if name in made else (truth, result)
        raise BadInput(
            f"{len(alone)} of the names stand on one side only: {name} is in {there}, but not in {missing}.",
            "Rename or remove them, or give a CSV file of pairs.",
        )
    return [Pair(name, made[name], true[name]) for name in sorted(made, key=lambda name: natural_order(Path(name)))]


def pairs_with_truth(results: Mapping[str, Path], truth: Path, *, pictures: bool = False) -> list[Pair]:
    """Pair results with the clip, or with the clips of a folder, that has their names; others there count for nothing.

    Raises:
        BadInput: The truth of one is missing.
    """
    true = _members(truth, pictures)
    if true is None and len(results) == 1:
        return [Pair(name, path, truth) for name, path in results.items()]
    missing = [name for name in results if true is None or name not in true]
    if true is None or missing:
        raise BadInput(f"{truth} holds no truth named {missing[0]}.", f"There are {', '.join(list(results)[:5])}.")
    return [Pair(name, path, true[name]) for name, path in results.items()]


def _members(path: Path, pictures: bool) -> dict[str, Path] | None:
    """The clips or pictures in a folder by name; None if `path` is itself one.

    Raises:
        BadInput: There is no such file, or the folder holds nothing of the kind, or two of one name.
    """
    if not path.exists():
        raise BadInput(f"{path} does not exist.", "Check the name.")
    if not path.is_dir():
        return None
    inside = sorted((each for each in path.iterdir() if not each.name.startswith(".")), key=natural_order)
    still = [each for each in inside if each.suffix.lower() in PICTURE_SUFFIXES and each.is_file()]
    clips = [each for each in inside if each.is_dir() or each.suffix.lower() in MOVIE_SUFFIXES]
    chosen = still if pictures else clips
    if not chosen and still:
        return None
    if not chosen:
        raise BadInput(f"The folder {path} holds no videos or pictures.", "Give a folder that does.")
    names: dict[str, Path] = {}
    for each in chosen:
        name = each.name if each.is_dir() else each.stem
        if name in names:
            raise BadInput(f"{names[name]} and {each} have the same name.", "Rename one, or give a CSV file of pairs.")
        names[name] = each
    return names


def read_pairs(path: Path) -> list[Pair]:
    """Read a CSV file of pairs: result and truth a line, relative to the file's folder; a header line may be there.

    Raises:
        BadInput: It cannot be read, has no line, or a line without just two fields.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows = [(number, row) for number, row in enumerate(csv.reader(stream), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as CSV ({error}).", "Give a text file: result,truth a line.") from error
    rows = [(number, [field.strip() for field in row]) for number, row in rows]
    if rows and [field.lower() for field in rows[0][1]] == _HEADER:
        rows = rows[1:]
    if not rows:
        raise BadInput(f"{path} names no pairs.", "Write a result and its truth a line, with a comma between.")
    pairs = []
    for number, row in rows:
        if len(row) != 2 or not all(row) or "\0" in "".join(row):
            raise BadInput(f"{path}, line {number}, has not just two fields.", "Write result,truth.")
        made, true = (path.parent / field for field in row)
        pairs.append(Pair(row[0], made, true))
    return pairs


def open_pairs(pairs: list[Pair], protocol: Protocol, size: tuple[int, int] | None = None) -> list[OpenPair]:
    """Open all pairs and check that they fit.

    Args:
        pairs: Files and folders.
        protocol: How they will be measured.
        size: Width and height at which they are compared; None: those of each truth.

    Raises:
        BadInput: Files that cannot be read, are too small, or differ in length where the protocol does not cut; the
            message names up to five.
    """
    opened, faults = [], []
    for pair in pairs:
        try:
            opened.append(_open(pair, protocol, size))
        except OnetoallError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        more = f" And {len(faults) - _SHOWN} more." if len(faults) > _SHOWN else ""
        problem = " ".join(error.problem for error in faults[:_SHOWN])
        raise BadInput(f"{len(faults)} of {len(pairs)} pairs cannot be measured: {problem}{more}", faults[0].advice)
    return opened


def _open(pair: Pair, protocol: Protocol, size: tuple[int, int] | None) -> OpenPair:
    result, truth = open_video(pair.result), open_video(pair.truth)
    made, true = result.frames_estimate, truth.frames_estimate
    if made != true and not protocol.cuts:
        raise BadInput(
            f"{pair.result} has {made} frames, and its truth {pair.truth} has {true}.",
            "Give clips of one length, or cut to the shorter with --protocol disco.",
        )
    size = size or (truth.width, truth.height)
    if min(size) < protocol.least_side:
        raise BadInput(
            f"{pair.truth} is {size[0]} x {size[1]} pixels.",
            f"The metrics need {protocol.least_side} or more on the short side.",
        )
    return OpenPair(pair.name, result, truth, min(made, true), size)

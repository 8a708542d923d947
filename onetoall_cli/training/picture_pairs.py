"""Pairs of pictures of one person as a source of training samples of one frame."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.media import read_picture
from onetoall_cli.pose import PoseSequence, find_people, open_detector
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.recipe import nearest_aspect
from onetoall_cli.training.sources import ClipSource, TrainingClip, draw_alike
from onetoall_cli.training.videos import cache_name, fit_picture, fitted, shows_person

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
# Words in a caption that say that it is drawn: what a detector finds in drawn faces is no guide (released training).
_DRAWN = ("cartoon", "anime")
_FPS = 1.0  # a picture has none; pose files must name one


@dataclass(frozen=True)
class Pair:
    """A reference and a picture to make of it.

    Attributes:
        reference, target: Files.
        is_drawn: Whether it is a cartoon.
    """

    reference: Path
    target: Path
    is_drawn: bool = False


class PictureSource:
    """Picture pairs; a clip is one frame."""

    def __init__(
        self,
        pairs: Path,
        *,
        aspects: tuple[float, ...],
        cache: Path,
        latents: LatentCache | None,
        pool: PosePool,
        detector: str = "auto",
        progress: Callable[[int, int | None], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Read the pairs, and detect the poses of new pictures.

        Args:
            pairs: A CSV or a folder, see `read_pairs`.
            aspects: Aspects (width / height) of the size buckets.
            cache: Folder for the detected poses.
            latents: Cache of encoded pictures.
            pool: Poses to borrow faces from.
            detector: Name of the pose detector.
            progress: Called with (pictures done, all pictures).
            note: Called with a line about pictures in which nobody is seen.

        Raises:
            BadInput: There are no pairs, or a picture is missing.
        """
        found = read_pairs(pairs)
        self.latents, self.pool = latents, pool
        files = sorted({file for pair in found for file in (pair.reference, pair.target)})
        self._poses = _poses_of(files, cache / "poses", detector, progress)
        self.pairs = [pair for pair in found if {pair.reference, pair.target} <= self._poses.keys()]
        if note and len(self._poses) < len(files):
            note(f"{len(files) - len(self._poses)} of {len(files)} pictures show nobody and are left out.")
        if not self.pairs:
            raise BadInput(f"No pair in {pairs} shows a person in both pictures.", "Add other pictures.")
        shown = [self._poses[pair.target] for pair in self.pairs]
        self._aspects = [nearest_aspect(pose.width / pose.height, aspects) for pose in shown]

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
        return draw_alike(rng, self._aspects, count)

    def clip(
        self,
        number: int,
        *,
        width: int,
        height: int,
        frames: int,
        rng: np.random.Generator,
        first_frame: bool,
        cached: bool = True,
    ) -> TrainingClip:
        pair = self.pairs[number]
        reference = pair.target if first_frame else pair.reference
        key = f"{cache_name(pair.target)}-{width}x{height}"
        stored = self.latents.get(key) if self.latents and cached else None
        return TrainingClip(
            frames=None if stored else fit_picture(read_picture(pair.target), width, height)[None],
            latents=stored.latents if stored else None,
            motion=fitted(self._poses[pair.target], width, height),
            reference=fit_picture(read_picture(reference), width, height),
            reference_pose=fitted(self._poses[reference], width, height),
            key=key if self.latents and cached else None,
            same_picture=reference == pair.target,
            has_driving_face=not pair.is_drawn,
        )


class VideosAndPictures:
    """Windows of videos, and picture pairs where single pictures are wanted."""

    def __init__(self, videos: ClipSource, pictures: PictureSource) -> None:
        self.videos, self.pictures, self.pool = videos, pictures, videos.pool

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
        return self._source(frames).draw(rng, count, frames)

    def clip(
        self,
        number: int,
        *,
        width: int,
        height: int,
        frames: int,
        rng: np.random.Generator,
        first_frame: bool,
        cached: bool = True,
    ) -> TrainingClip:
        return self._source(frames).clip(
            number, width=width, height=height, frames=frames, rng=rng, first_frame=first_frame, cached=cached
        )

    def _source(self, frames: int) -> ClipSource:
        return self.pictures if frames == 1 else self.videos


def read_pairs(source: Path) -> list[Pair]:
    """Pairs of a CSV or of a folder.

    Args:
        source: A CSV with the columns `from` and `to` (as DeepFashion's lists of pairs) and perhaps `caption`, paths
            relative to it; or a folder with a folder for each person, of whose pictures any two are a pair (a single
            one with itself).

    Raises:
        BadInput: It cannot be read, lacks a column, holds no pair, or names a picture that is not there.
    """
    pairs = _pairs_in_folder(source) if source.is_dir() else _pairs_in_list(source)
    if not pairs:
        raise BadInput(f"{source} holds no pairs of pictures.", "See `data.pairs` in the manual of training.")
    for pair in pairs:
        for file in (pair.reference, pair.target):
            if not file.is_file():
                raise BadInput(f"{source} names {file}, which is not there.", "Paths are relative to the list.")
    return pairs


def _pairs_in_folder(folder: Path) -> list[Pair]:
    pairs = []
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        pictures = sorted(path for path in person.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        others = [(a, b) for a in pictures for b in pictures if a != b]
        pairs += [Pair(*each) for each in others or [(picture, picture) for picture in pictures]]
    return pairs


def _pairs_in_list(file: Path) -> list[Pair]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            missing = {"from", "to"} - set(reader.fieldnames or ())
            if missing:
                raise BadInput(f"{file} has no column '{min(missing)}'.", "The first line names the columns: from,to")
            rows = [row for row in reader if row["from"] and row["to"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{file} cannot be read as a list of pairs: {error}.", "Give a CSV or a folder.") from error
    return [
        Pair(
            file.parent / row["from"],
            file.parent / row["to"],
            any(word in (row.get("caption") or "").lower() for word in _DRAWN),
        )
        for row in rows
    ]


def _poses_of(
    files: list[Path], cache: Path, detector: str, progress: Callable[[int, int | None], None] | None
) -> dict[Path, PoseSequence]:
    """The pose of the largest person of each picture that shows one."""
    cache.mkdir(parents=True, exist_ok=True)
    places = {file: cache / f"{cache_name(file)}.json" for file in files}
    missing = [file for file in files if not places[file].exists()]
    if missing:
        with open_detector(detector) as opened:
            for done, file in enumerate(missing):
                picture: NDArray[np.uint8] = read_picture(file)
                height, width = picture.shape[:2]
                found = find_people([(picture, 0.0)], opened, width=width, height=height, fps=_FPS)
                found.person(int(found.body_sizes().argmax())).save(places[file])
                if progress:
                    progress(done + 1, len(missing))
    poses = {file: PoseSequence.load(place).person(0) for file, place in places.items()}
    return {file: pose for file, pose in poses.items() if shows_person(pose).any()}

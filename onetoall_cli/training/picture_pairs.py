"""Pairs of pictures of one person as a source of training samples of one frame."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.media import read_picture
from onetoall_cli.pose import PoseSequence, find_people, open_detector
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.fitting import fit_picture, fitted
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.preparation import Progress, share_work
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.sources import FolderSource, Pictures, Place, TrainingClip, Window
from onetoall_cli.training.videos import VideoSource, cache_name, shows_person

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
# Words in a caption that say that it is drawn: what a detector finds in drawn faces is no guide (released training).
_DRAWN = ("cartoon", "anime")
_PORTION = 64  # pictures whose poses one process finds in a row
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


class PictureSource(FolderSource):
    """Picture pairs; a clip is one frame."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        poses: Mapping[Path, PoseSequence],
        settings: TrainingSettings,
        latents: LatentCache | None,
        pool: PosePool,
    ) -> None:
        names, shown = [cache_name(pair.target) for pair in pairs], [poses[pair.target] for pair in pairs]
        super().__init__(names, shown, (1,), settings, latents)
        self.pairs, self._poses, self.pool = tuple(pairs), poses, pool

    def clip(self, number: int, window: Window, rng: np.random.Generator) -> TrainingClip:
        pair, width, height = self.pairs[number], window.width, window.height
        reference = pair.target if window.first_frame else pair.reference
        key = self._name(number, window)
        stored = self.stored(key, window)
        return TrainingClip(
            frames=None if stored else fit_picture(read_picture(pair.target), width, height)[None],
            latents=stored.latents if stored else None,
            motion=fitted(self._poses[pair.target], width, height),
            reference=fit_picture(read_picture(reference), width, height),
            reference_pose=fitted(self._poses[reference], width, height),
            key=self.key(key, window),
            same_picture=reference == pair.target,
            has_driving_face=not pair.is_drawn,
        )

    def places(self, number: int, window: Window) -> Iterator[Place]:
        target = self.pairs[number].target

        def read() -> tuple[Pictures, PoseSequence]:
            picture = fit_picture(read_picture(target), window.width, window.height)
            return picture[None], fitted(self._poses[target], window.width, window.height)

        yield Place(self._name(number, window), read)

    def _name(self, number: int, window: Window) -> str:
        return f"{self.names[number]}-{window.width}x{window.height}"


class VideosAndPictures:
    """Windows of videos, and picture pairs where single pictures are wanted."""

    def __init__(self, videos: VideoSource, pictures: PictureSource) -> None:
        self.videos, self.pictures, self.pool = videos, pictures, videos.pool

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
        return self._source(frames).draw(rng, count, frames)

    def clip(self, number: int, window: Window, rng: np.random.Generator) -> TrainingClip:
        return self._source(window.frames).clip(number, window, rng)

    def _source(self, frames: int) -> VideoSource | PictureSource:
        return self.pictures if frames == 1 else self.videos


def open_pictures(
    settings: TrainingSettings,
    latents: LatentCache | None,
    pool: PosePool,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> PictureSource:
    """Read the pairs of `data.pairs`, and find the poses of new pictures.

    Args:
        settings: The run's settings.
        latents: Cache of encoded pictures.
        pool: Poses to borrow faces from.
        progress: Called with (portions of the pictures done, all portions).
        note: Called with a line about pictures in which nobody is seen.

    Raises:
        BadInput: There are no pairs, or a picture is missing.
    """
    assert settings.data.pairs is not None
    found = read_pairs(settings.data.pairs)
    files = sorted({file for pair in found for file in (pair.reference, pair.target)})
    poses = _poses_of(files, settings, progress)
    pairs = [pair for pair in found if {pair.reference, pair.target} <= poses.keys()]
    if note and len(poses) < len(files):
        note(f"{len(files) - len(poses)} of {len(files)} pictures show nobody and are left out.")
    if not pairs:
        raise BadInput(f"No pair in {settings.data.pairs} shows a person in both pictures.", "Add other pictures.")
    return PictureSource(pairs, poses, settings, latents, pool)


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


def _poses_of(files: list[Path], settings: TrainingSettings, progress: Progress | None) -> dict[Path, PoseSequence]:
    """The pose of the largest person of each picture that shows one."""
    cache = settings.cache / "poses"
    cache.mkdir(parents=True, exist_ok=True)
    places = {file: cache / f"{cache_name(file)}.json" for file in files}

    def work(portion: list[Path]) -> None:
        with open_detector(settings.data.detector) as opened:
            for file in portion:
                if not places[file].exists():
                    picture: NDArray[np.uint8] = read_picture(file)
                    height, width = picture.shape[:2]
                    found = find_people([(picture, 0.0)], opened, width=width, height=height, fps=_FPS)
                    found.person(int(found.body_sizes().argmax())).save(places[file])

    portions = [files[start : start + _PORTION] for start in range(0, len(files), _PORTION)]
    share_work(
        {f"pictures-{cache_name(portion[0])}": portion for portion in portions},
        work,
        is_done=lambda portion: all(places[file].exists() for file in portion),
        locks=settings.cache / "locks",
        progress=progress,
    )
    poses = {file: PoseSequence.load(place).person(0) for file, place in places.items()}
    return {file: pose for file, pose in poses.items() if shows_person(pose).any()}

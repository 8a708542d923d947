"""A folder of videos as a source of training clips: poses are detected once, windows lie on a fixed grid."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.files.forms import Form, json_text, read_form
from onetoall_cli.files.names import MOVIE_SUFFIXES
from onetoall_cli.media import open_video, read_picture
from onetoall_cli.pose import PoseSequence, find_people, open_detector
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.cuts import CutFinder
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.preparation import Finding, Preparation
from onetoall_cli.training.recipe import nearest_aspect, own_rate
from onetoall_cli.training.sources import TrainingClip, draw_alike

_SEEN = 0.3
_PRESENT = 0.8  # share of a window's frames in which the person must be visible
# A second person counts who is there in this share of the frames, and at least this large beside the first.
_COMPANY, _COMPANY_SIZE = 0.1, 0.5


class _Cuts(Form):
    """Where the shots of a video begin, beside its poses in the cache."""

    cuts: tuple[float, ...]
    """Seconds."""


@dataclass(frozen=True, eq=False)
class _Recording:
    """A video, with the motion of its person at the training's frame rate."""

    path: Path
    name: str  # prefix of its cache entries
    motion: PoseSequence
    windows: dict[int, list[int]]  # window length -> first frames of windows that show the person
    ignored: NDArray[np.bool_] | None  # what the loss leaves out, of the video's size

    @property
    def fps(self) -> float:
        return self.motion.fps


class VideoSource:
    """Windows of the videos in a folder and its subfolders; none spans a cut."""

    def __init__(
        self,
        folder: Path,
        *,
        frames: int,
        fps: float | None,
        aspects: tuple[float, ...],
        cache: Path,
        latents: LatentCache | None,
        pool: PosePool,
        detector: str = "auto",
        ignore: Path | None = None,
        strict: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Detect the poses of new videos, then list the usable windows.

        Args:
            folder: The folder of videos.
            frames: Frames of a window; single pictures are windows too.
            fps: Frame rate of the windows; None takes every n-th frame of each video (see `own_rate`).
            aspects: Aspects (width / height) of the size buckets.
            cache: Folder for the detected poses.
            latents: Cache of encoded windows.
            pool: Poses to borrow faces from.
            detector: Name of the pose detector.
            ignore: Folder of pictures named like the videos, white where the loss is not to look.
            strict: Whether anything wrong with a video is an error.
            progress: Called with (videos done, all videos).
            note: Called with each line of a table of what is wrong with which video.

        Raises:
            BadInput: There is no video, none that shows a person, or with `strict` one that cannot be used wholly.
        """
        files = video_files(folder)
        self.latents, self.pool = latents, pool
        self.recordings: list[_Recording] = []
        findings = []
        for index, file in enumerate(files):
            try:
                recording, finding = _record(file, cache, detector, frames, fps)
            except BadInput as error:
                findings.append(Finding(file.name, 0, 0, (error.problem,)))
                continue
            findings.append(finding)
            if finding.windows:
                self.recordings.append(replace(recording, ignored=_mask_of(file, folder, ignore)))
            if progress:
                progress(index + 1, len(files))
        preparation = Preparation(folder, tuple(findings))
        if note:
            for line in preparation.lines():
                note(line)
        preparation.check(strict=strict)
        motions = [recording.motion for recording in self.recordings]
        self._aspects = [nearest_aspect(motion.width / motion.height, aspects) for motion in motions]

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
        recording = self.recordings[number]
        starts = recording.windows[frames]
        start = starts[int(rng.integers(len(starts)))]
        outside = [i for i in recording.windows[1] if i < start or i >= start + frames]
        same = first_frame or not outside
        chosen = start if same else int(rng.choice(outside))
        key = f"{recording.name}-{recording.fps:g}-{start}-{width}x{height}x{frames}"
        stored = self.latents.get(key) if self.latents and cached else None
        (reference,) = _read(recording, chosen, 1, width, height)
        return TrainingClip(
            frames=None if stored else np.stack(_read(recording, start, frames, width, height)),
            latents=stored.latents if stored else None,
            motion=fitted(recording.motion[start : start + frames], width, height),
            reference=reference,
            reference_pose=fitted(recording.motion.frame(chosen), width, height),
            key=key if self.latents and cached else None,
            same_picture=same,
            ignored=None if recording.ignored is None else fit_mask(recording.ignored, width, height),
        )


def video_files(folder: Path) -> list[Path]:
    """The videos of a folder and its subfolders.

    Raises:
        BadInput: There is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MOVIE_SUFFIXES)
    if not files:
        raise BadInput(f"{folder} holds no videos.", f"Put files in it: {', '.join(sorted(MOVIE_SUFFIXES))}.")
    return files


def cache_name(file: Path) -> str:
    """The name of a file's entries in the cache; another one once the file changes."""
    status = file.stat()
    digest = hashlib.sha256(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    return f"{file.stem[:40]}-{digest}"


def _record(file: Path, cache: Path, detector: str, length: int, fps: float | None) -> tuple[_Recording, Finding]:
    name = cache_name(file)
    poses, cuts = _prepared(file, cache / "poses" / name, detector)
    motion = poses.person(0)
    motion = motion.resampled(fps or own_rate(motion.fps))
    present = shows_person(motion)
    borders = [0, *(int(np.ceil(cut * motion.fps - 1e-6)) for cut in cuts), len(motion)]
    windows = {size: _windows(present, size, motion.fps, borders) for size in {1, length}}
    faults = []
    if len(motion) == 1:
        faults.append("one frame")
    elif not present.any():
        faults.append("nobody is seen")
    elif len(motion) < length:
        faults.append(f"too short: {len(motion)} frames at {motion.fps:g} fps, {length} are needed")
    elif not windows[length]:
        faults.append("nobody is seen long enough without a cut")
    if _has_company(poses):
        faults.append("two people: the one seen longest is followed")
    if len(borders) > 2:
        faults.append(f"{len(borders) - 2} cuts: no window spans one")
    usable = len(windows[length]) if windows[1] else 0
    return _Recording(file, name, motion, windows, None), Finding(file.name, len(motion), usable, tuple(faults))


def _prepared(file: Path, place: Path, detector: str) -> tuple[PoseSequence, tuple[float, ...]]:
    """Poses and cuts of a video: from the cache, or found and put there."""
    poses, cuts = place.with_name(f"{place.name}.json"), place.with_name(f"{place.name}.cuts.json")
    if not (poses.exists() and cuts.exists()):
        place.parent.mkdir(parents=True, exist_ok=True)
        found, where = _detect(file, detector)
        with whole_file(cuts) as temporary:
            temporary.write_text(json_text(_Cuts(cuts=where)), encoding="utf-8")
        found.save(poses)
    return PoseSequence.load(poses), read_cuts(cuts)


def read_cuts(file: Path) -> tuple[float, ...]:
    """The seconds at which the shots of a video begin, from the cache.

    Raises:
        BadInput: The file is damaged.
    """
    return read_form(_Cuts, file, advice="Delete it: it is then made again.").cuts


def _detect(file: Path, detector: str) -> tuple[PoseSequence, tuple[float, ...]]:
    video = open_video(file)
    finder, cuts = CutFinder(), []

    def frames() -> Iterator[tuple[NDArray[np.uint8], float]]:
        for frame in video:
            if finder.is_cut(frame.image):
                cuts.append(float(frame.time))
            yield frame.image, frame.time

    with open_detector(detector) as opened:
        poses = find_people(frames(), opened, width=video.width, height=video.height, fps=float(video.fps))
    return poses, tuple(cuts)


def _has_company(poses: PoseSequence) -> bool:
    """Whether somebody else is seen beside the first person, not much smaller."""
    seen, sizes = poses.present(), poses.body_sizes()
    return any(
        (seen[:, 0] & seen[:, other]).mean() >= _COMPANY and sizes[other] >= _COMPANY_SIZE * sizes[0]
        for other in range(1, poses.people)
    )


def _read(recording: _Recording, start: int, count: int, width: int, height: int) -> list[NDArray[np.uint8]]:
    """`count` frames from frame `start` (at the training's frame rate), at the bucket's size."""
    fps = recording.fps
    first, last = start / fps, (start + count - 1) / fps
    video = open_video(recording.path, start=first, duration=last - first + 1.5 / fps)
    wanted = [index / fps for index in range(count)]
    shown = [fit_picture(picture, width, height) for picture in _on_screen(iter(video), wanted)]
    return shown + shown[-1:] * (count - len(shown))  # the last frame stays to the end


def _on_screen(frames: Iterator, wanted: list[float]) -> Iterator[NDArray[np.uint8]]:
    """The picture shown at each of the `wanted` times (seconds, rising)."""
    current = next(frames)
    upcoming = next(frames, None)
    for time in wanted:
        while upcoming is not None and upcoming.time <= time + 1e-6:
            current, upcoming = upcoming, next(frames, None)
        yield current.image


def _mask_of(file: Path, folder: Path, ignore: Path | None) -> NDArray[np.bool_] | None:
    """What the loss leaves out of a video: the white of the picture named like it, in the same subfolder."""
    if ignore is None:
        return None
    if not ignore.is_dir():
        raise BadInput(f"{ignore} is no folder.", "Set data.ignore to a folder of masks named like the videos.")
    picture = (ignore / file.relative_to(folder)).with_suffix(".png")
    return np.asarray(read_picture(picture)[..., 0] >= 128) if picture.exists() else None


def shows_person(motion: PoseSequence) -> NDArray[np.bool_]:
    """Whether both shoulders and the nose are visible, (frames,)."""
    scores = motion.keypoints[:, 0, [kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], 2]
    return np.asarray((scores >= _SEEN).all(axis=1))


def _windows(present: NDArray[np.bool_], length: int, fps: float, borders: list[int]) -> list[int]:
    """First frames of the windows that show the person, every half window (single pictures: every half second).

    Each lies between two neighbours of `borders`.
    """
    step = max(1, length // 2) if length > 1 else max(1, round(fps / 2))
    return [
        start
        for first, end in pairwise(borders)
        for start in range(first, end - length + 1, step)
        if present[start : start + length].mean() >= _PRESENT
    ]


def _cover(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int, int, int]:
    """Size after scaling so that the target is covered, and the offset of the centred crop."""
    scale = max(to_width / width, to_height / height)
    wide, high = max(to_width, round(width * scale)), max(to_height, round(height * scale))
    return wide, high, (wide - to_width) // 2, (high - to_height) // 2


def fit_picture(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture (H, W, 3) so that it covers width x height, and crop the middle."""
    wide, high, left, top = _cover(picture.shape[1], picture.shape[0], width, height)
    method = cv2.INTER_AREA if wide < picture.shape[1] else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, (wide, high), interpolation=method)
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], np.uint8)


def fit_mask(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """A mask (H, W) moved like pictures of `fit_picture`."""
    return fit_picture(np.repeat(mask[..., None], 3, axis=-1).astype(np.uint8) * 255, width, height)[..., 0] >= 128


def fitted(poses: PoseSequence, width: int, height: int) -> PoseSequence:
    """Keypoints moved like pictures of `fit_picture`; those cut off get score 0."""
    wide, high, left, top = _cover(poses.width, poses.height, width, height)
    points = poses.keypoints * np.array([wide / poses.width, high / poses.height, 1.0]) - np.array([left, top, 0.0])
    inside = (points[..., 0] >= 0) & (points[..., 0] < width) & (points[..., 1] >= 0) & (points[..., 1] < height)
    points[..., 2] *= inside
    return replace(poses, keypoints=points.astype(np.float32), width=width, height=height)

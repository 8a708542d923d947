"""A folder of videos as a source of training clips: poses are detected once, windows lie on a fixed grid."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.files.names import MOVIE_SUFFIXES
from onetoall_cli.media import open_video
from onetoall_cli.pose import PoseSequence, find_people, open_detector
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.recipe import nearest_aspect
from onetoall_cli.training.sources import TrainingClip

_log = logging.getLogger(__name__)

_SEEN = 0.3
_PRESENT = 0.8  # share of a window's frames in which the person must be visible
_POOL_SIZE = 200


@dataclass(frozen=True, eq=False)
class _Recording:
    """A video, with the motion of its person at the training's frame rate."""

    path: Path
    name: str  # prefix of its cache entries
    motion: PoseSequence
    windows: dict[int, list[int]]  # window length -> first frames of windows that show the person


class VideoSource:
    """Windows of the videos in a folder and its subfolders."""

    def __init__(
        self,
        folder: Path,
        *,
        lengths: tuple[int, ...],
        fps: float,
        aspects: tuple[float, ...],
        cache: Path,
        latents: LatentCache | None,
        detector: str = "auto",
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Detect the poses of new videos, then list the usable windows.

        Args:
            folder: The folder of videos.
            lengths: Lengths of the windows in frames.
            fps: Frame rate of the windows.
            aspects: Aspects (width / height) of the size buckets.
            cache: Folder for the detected poses.
            latents: Cache of encoded windows.
            detector: Name of the pose detector.
            progress: Called with (videos done, all videos).

        Raises:
            BadInput: There is no video, or none that shows a person.
        """
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MOVIE_SUFFIXES)
        if not files:
            raise BadInput(f"{folder} holds no videos.", f"Put files in it: {', '.join(sorted(MOVIE_SUFFIXES))}.")
        self.fps, self.aspects, self.latents = fps, aspects, latents
        self.recordings: list[_Recording] = []
        for index, file in enumerate(files):
            recording = self._record(file, cache, detector, lengths)
            if all(recording.windows.values()):
                self.recordings.append(recording)
            else:
                _log.warning("%s is left out: no window of %d frames shows a person.", file, max(lengths))
            if progress:
                progress(index + 1, len(files))
        if not self.recordings:
            raise BadInput(f"No video in {folder} shows a person for {max(lengths) / fps:.1f} s.", "Add other videos.")
        self.pool = self._make_pool()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[list[int], float | None]:
        first = int(rng.integers(len(self.recordings)))
        aspect = self._aspect(first)
        alike = [number for number in range(len(self.recordings)) if self._aspect(number) == aspect]
        rest = [alike[int(rng.integers(len(alike)))] for _ in range(count - 1)]
        return [first, *rest], aspect

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
        chosen = start if first_frame or not outside else int(rng.choice(outside))
        key = f"{recording.name}-{start}-{width}x{height}x{frames}" if cached and self.latents else None
        stored = self.latents.get(key) if self.latents and key else None
        (reference,) = self._read(recording, chosen, 1, width, height)
        return TrainingClip(
            frames=None if stored else np.stack(self._read(recording, start, frames, width, height)),
            latents=stored.latents if stored else None,
            motion=fitted(recording.motion[start : start + frames], width, height),
            reference=reference,
            reference_pose=fitted(recording.motion.frame(chosen), width, height),
            key=key,
        )

    def _aspect(self, number: int) -> float:
        motion = self.recordings[number].motion
        return nearest_aspect(motion.width / motion.height, self.aspects)

    def _record(self, file: Path, cache: Path, detector: str, lengths: tuple[int, ...]) -> _Recording:
        status = file.stat()
        digest = hashlib.sha256(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
        name = f"{file.stem}-{digest}"
        poses = cache / "poses" / f"{name}.json"
        if not poses.exists():
            poses.parent.mkdir(parents=True, exist_ok=True)
            _detect(file, detector).save(poses)
        motion = PoseSequence.load(poses).person(0).resampled(self.fps)
        present = shows_person(motion)
        windows = {length: _windows(present, length, self.fps) for length in {1, *lengths}}
        return _Recording(file, name, motion, windows)

    def _read(self, recording: _Recording, start: int, count: int, width: int, height: int) -> list[NDArray[np.uint8]]:
        """`count` frames from frame `start` (at the training's frame rate), at the bucket's size."""
        first, last = start / self.fps, (start + count - 1) / self.fps
        video = open_video(recording.path, start=first, duration=last - first + 1.5 / self.fps)
        wanted = [index / self.fps for index in range(count)]
        shown = [fit_picture(picture, width, height) for picture in _on_screen(iter(video), wanted)]
        return shown + shown[-1:] * (count - len(shown))  # the last frame stays to the end

    def _make_pool(self) -> PosePool:
        rng = np.random.default_rng(0)
        poses = []
        for _ in range(_POOL_SIZE):
            recording = self.recordings[int(rng.integers(len(self.recordings)))]
            poses.append(recording.motion.frame(int(rng.choice(recording.windows[1]))))
        return PosePool(poses)


def _detect(file: Path, detector: str) -> PoseSequence:
    video = open_video(file)
    frames = ((frame.image, frame.time) for frame in video)
    with open_detector(detector) as opened:
        return find_people(frames, opened, width=video.width, height=video.height, fps=float(video.fps))


def _on_screen(frames: Iterator, wanted: list[float]) -> Iterator[NDArray[np.uint8]]:
    """The picture shown at each of the `wanted` times (seconds, rising)."""
    current = next(frames)
    upcoming = next(frames, None)
    for time in wanted:
        while upcoming is not None and upcoming.time <= time + 1e-6:
            current, upcoming = upcoming, next(frames, None)
        yield current.image


def shows_person(motion: PoseSequence) -> NDArray[np.bool_]:
    """Whether both shoulders and the nose are visible, (frames,)."""
    scores = motion.keypoints[:, 0, [kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], 2]
    return np.asarray((scores >= _SEEN).all(axis=1))


def _windows(present: NDArray[np.bool_], length: int, fps: float) -> list[int]:
    """First frames of the windows that show the person, every half window (single pictures: every half second)."""
    step = max(1, length // 2) if length > 1 else max(1, round(fps / 2))
    starts = range(0, len(present) - length + 1, step)
    return [start for start in starts if present[start : start + length].mean() >= _PRESENT]


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


def fitted(poses: PoseSequence, width: int, height: int) -> PoseSequence:
    """Keypoints moved like pictures of `fit_picture`; those cut off get score 0."""
    wide, high, left, top = _cover(poses.width, poses.height, width, height)
    points = poses.keypoints * np.array([wide / poses.width, high / poses.height, 1.0]) - np.array([left, top, 0.0])
    inside = (points[..., 0] >= 0) & (points[..., 0] < width) & (points[..., 1] >= 0) & (points[..., 1] < height)
    points[..., 2] *= inside
    return replace(poses, keypoints=points.astype(np.float32), width=width, height=height)

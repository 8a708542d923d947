"""A folder of videos as a source of training clips: poses are found once, windows lie on a fixed grid."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.files.forms import Form, json_text, read_form
from onetoall_cli.files.names import MOVIE_SUFFIXES
from onetoall_cli.media import Video, open_video, read_picture
from onetoall_cli.pose import PoseSequence, find_people, open_detector
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.detectors.cuts import CutFinder
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.fitting import fit_mask, fit_picture, fitted
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.preparation import Finding, Preparation, Progress, share_work
from onetoall_cli.training.recipe import TrainingSettings, own_rate
from onetoall_cli.training.sources import FolderSource, Pictures, Place, TrainingClip, Window

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

    def key(self, start: int, window: Window) -> str:
        """The key of a window's latents in the cache."""
        return f"{self.name}-{self.fps:g}-{start}-{window.width}x{window.height}x{window.frames}"


class VideoSource(FolderSource):
    """Windows of videos; none spans a cut."""

    def __init__(
        self, recordings: Sequence[_Recording], settings: TrainingSettings, latents: LatentCache | None, pool: PosePool
    ) -> None:
        names, motions = [each.name for each in recordings], [each.motion for each in recordings]
        has_pictures = settings.video_share < 1 and settings.data.pairs is None
        lengths = {settings.frames} | ({1} if has_pictures else set())
        super().__init__(names, motions, lengths, settings, latents)
        self.recordings, self.pool = tuple(recordings), pool
        self._settings = settings

    def split(self) -> tuple["VideoSource", "VideoSource"]:
        """The videos to train on, and those evenly spread among them that are held out.

        Raises:
            BadInput: There is but one video.
        """
        count = len(self.recordings)
        held = max(1, round(self._settings.data.hold_out * count))
        if count <= held:
            raise BadInput("No video can be held out, for there is but one.", "Add videos, or set validate_every: 0.")
        numbers = {(2 * index + 1) * count // (2 * held) for index in range(held)}
        parts = ([each for number, each in enumerate(self.recordings) if (number in numbers) == out] for out in (0, 1))
        trained, validated = (VideoSource(part, self._settings, self._latents, self.pool) for part in parts)
        return trained, validated

    def clip(self, number: int, window: Window, rng: np.random.Generator) -> TrainingClip:
        recording, width, height = self.recordings[number], window.width, window.height
        starts = recording.windows[window.frames]
        start = starts[int(rng.integers(len(starts)))]
        end = start + window.frames
        outside = [i for i in recording.windows[1] if i < start or i >= end]
        same = window.first_frame or not outside
        chosen = start if same else int(rng.choice(outside))
        key = recording.key(start, window)
        stored = self.stored(key, window)
        (reference,) = _read(recording, chosen, 1, width, height)
        return TrainingClip(
            frames=None if stored else np.stack(_read(recording, start, window.frames, width, height)),
            latents=stored.latents if stored else None,
            motion=fitted(recording.motion[start:end], width, height),
            reference=reference,
            reference_pose=fitted(recording.motion.frame(chosen), width, height),
            key=self.key(key, window),
            same_picture=same,
            ignored=None if recording.ignored is None else fit_mask(recording.ignored, width, height),
        )

    def places(self, number: int, window: Window) -> Iterator[Place]:
        recording, width, height = self.recordings[number], window.width, window.height
        for start in recording.windows[window.frames]:

            def read(start: int = start) -> tuple[Pictures, PoseSequence]:
                frames = _read(recording, start, window.frames, width, height)
                return np.stack(frames), fitted(recording.motion[start : start + window.frames], width, height)

            yield Place(recording.key(start, window), read)


def open_videos(
    settings: TrainingSettings,
    latents: LatentCache | None,
    pool: PosePool,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> VideoSource:
    """Open the videos of `data.folder` and its subfolders. Their poses are found first, or imported (`data.poses`).

    Args:
        settings: The run's settings.
        latents: Cache of encoded windows.
        pool: Poses to borrow faces from.
        progress: Called with (videos done, all videos).
        note: Called with each line of a table of what is wrong with which video.

    Raises:
        BadInput: There is no video, none that shows a person, or with `data.strict` one that cannot be used wholly.
    """
    folder = settings.data.folder
    assert folder is not None
    files = video_files(folder)
    failed = _find_poses(files, settings, progress)
    recordings, findings = [], []
    for file in files:
        try:
            if file in failed:
                raise failed[file]
            recording, finding = _record(file, settings)
        except BadInput as error:
            findings.append(Finding(file.name, 0, 0, (error.problem,)))
            continue
        findings.append(finding)
        if finding.windows:
            recordings.append(recording)
    preparation = Preparation(folder, tuple(findings))
    if note:
        for line in preparation.lines():
            note(line)
    preparation.check(strict=settings.data.strict)
    return VideoSource(recordings, settings, latents, pool)


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


def _find_poses(files: list[Path], settings: TrainingSettings, progress: Progress | None) -> dict[Path, BadInput]:
    """Find poses and cuts of all videos, together with other processes that do so; returns what failed."""
    failed: dict[Path, BadInput] = {}

    def work(file: Path) -> None:
        poses, cuts = _places(file, settings)
        cuts.parent.mkdir(parents=True, exist_ok=True)
        try:
            if settings.data.poses is None:
                found, where = _detect(file, settings.data.detector)
                found.save(poses)
            else:
                where = _cuts_in(file)
        except BadInput as error:
            failed[file] = error
            return
        with whole_file(cuts) as temporary:
            temporary.write_text(json_text(_Cuts(cuts=where)), encoding="utf-8")

    def is_done(file: Path) -> bool:
        poses, cuts = _places(file, settings)
        return file in failed or (cuts.exists() and (settings.data.poses is not None or poses.exists()))

    share_work(
        {cache_name(file): file for file in files},
        work,
        is_done=is_done,
        locks=settings.cache / "locks",
        progress=progress,
    )
    return failed


def _places(file: Path, settings: TrainingSettings) -> tuple[Path, Path]:
    """Files of a video's poses, in `data.poses` or in the cache, and of its cuts, which are written after them."""
    cached = settings.cache / "poses" / cache_name(file)
    poses = _beside(file, settings, settings.data.poses, ".json")
    return poses or Path(f"{cached}.json"), Path(f"{cached}.cuts.json")


def _beside(file: Path, settings: TrainingSettings, folder: Path | None, suffix: str) -> Path | None:
    """The file of `folder` that is named like a video, in the same subfolder.

    Raises:
        BadInput: There is no such folder.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder.", "Name a folder of files named like the videos.")
    assert settings.data.folder is not None
    return (folder / file.relative_to(settings.data.folder)).with_suffix(suffix)


def _record(file: Path, settings: TrainingSettings) -> tuple[_Recording, Finding]:
    length = settings.frames
    poses_file, cuts_file = _places(file, settings)
    poses = PoseSequence.load(poses_file)
    if settings.data.poses is not None:
        _check_imported(poses, file)
    motion = poses.person(0)
    motion = motion.resampled(settings.fps or own_rate(motion.fps))
    present = shows_person(motion)
    borders = [0, *(int(np.ceil(cut * motion.fps - 1e-6)) for cut in read_cuts(cuts_file)), len(motion)]
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
    mask = _beside(file, settings, settings.data.ignore, ".png")
    ignored = np.asarray(read_picture(mask)[..., 0] >= 128) if mask is not None and mask.exists() else None
    recording = _Recording(file, cache_name(file), motion, windows, ignored)
    return recording, Finding(file.name, len(motion), usable, tuple(faults))


def _check_imported(poses: PoseSequence, file: Path) -> None:
    """Refuse the poses of another video: of another aspect, or longer."""
    video = open_video(file)
    if poses.width * video.height != poses.height * video.width:
        sizes = f"of {poses.width} x {poses.height} pixels, the video of {video.width} x {video.height}"
        raise BadInput(f"its poses are {sizes}", "Give the poses of this video.")
    if video.duration is not None and poses.duration > float(video.duration) + 1.5 / poses.fps:
        raise BadInput(f"its poses last {poses.duration:.1f} s, the video less", "Give the poses of this video.")


def read_cuts(file: Path) -> tuple[float, ...]:
    """The seconds at which the shots of a video begin, from the cache.

    Raises:
        BadInput: The file is damaged.
    """
    return read_form(_Cuts, file, advice="Delete it: it is then made again.").cuts


def _detect(file: Path, detector: str) -> tuple[PoseSequence, tuple[float, ...]]:
    video = open_video(file)
    cuts: list[float] = []
    with open_detector(detector) as opened:
        frames = _watched(video, cuts)
        poses = find_people(frames, opened, width=video.width, height=video.height, fps=float(video.fps))
    return poses, tuple(cuts)


def _cuts_in(file: Path) -> tuple[float, ...]:
    cuts: list[float] = []
    deque(_watched(open_video(file), cuts), maxlen=0)
    return tuple(cuts)


def _watched(video: Video, cuts: list[float]) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """The frames of a video with their times; the times of its cuts are put into `cuts`."""
    finder = CutFinder()
    for frame in video:
        if finder.is_cut(frame.image):
            cuts.append(float(frame.time))
        yield frame.image, frame.time


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

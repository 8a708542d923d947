"""What a run takes in, from files or as values: the reference with its pose, and the driving motion with its sound."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onetoall_cli.animator.pose_cache import keep_poses, kept_poses, key_of
from onetoall_cli.animator.progress import DETECTING, Listener
from onetoall_cli.animator.settings import MotionSettings
from onetoall_cli.errors import BadInput
from onetoall_cli.files.digest import content_digest
from onetoall_cli.media import Audio, Video, open_video, read_picture, video_of_frames
from onetoall_cli.pose import (
    PoseSequence,
    detector_identity,
    fill_gaps,
    find_people,
    missing_frames,
    select_person,
    smooth,
)
from onetoall_cli.pose.cropping import cut, on_canvas
from onetoall_cli.pose.detectors.interface import Detector
from onetoall_cli.pose.frame_folders import is_pose_file

Picture: TypeAlias = Path | str | NDArray[np.uint8] | Image.Image
"""A picture: a file, uint8 (H, W, 3) RGB, or a Pillow picture."""

Motion: TypeAlias = Path | str | PoseSequence | Video | NDArray[np.uint8]
"""A motion: a video, a folder of pictures or a pose file, poses, an opened video, or frames uint8 (T, H, W, 3)."""

Found = TypeVar("Found", PoseSequence, PoseSequence | None)

DEFAULT_RATE = 25.0  # frames a second of what has no clock of its own, as for folders of pictures


@dataclass(frozen=True)
class Driving:
    """A motion of one person, and the sound that goes with it (None: silent)."""

    motion: PoseSequence
    audio: Audio | None


class LazyDetector:
    """The pose detector of one run: opened when first needed, announced once, closed before generation.

    Args:
        settings: Which one, and whether what it found before is used again.
        device: As `pose.open_detector` takes it.
        listener: Told which detector it is, and how far it has come.
    """

    def __init__(self, settings: MotionSettings, device: str = "auto", listener: Listener = Listener()) -> None:
        self._settings, self._device, self._listener = settings, device, listener

    def __enter__(self) -> "LazyDetector":
        return self

    def __exit__(self, *_: object) -> None:
        if "_detector" in self.__dict__:  # it was needed
            self._detector.close()

    @cached_property
    def _detector(self) -> Detector:
        from onetoall_cli.pose import open_detector  # ONNX Runtime loads only where it is needed

        detector = open_detector(self._settings.detector, device=self._device)
        self._listener.note(f"Detecting poses with {detector.description}.")
        return detector

    def people_in_video(self, video: Video) -> PoseSequence:
        """Everyone in `video`, tracked."""
        if not video.path.exists():  # frames in memory
            return self._look_at_video(video)
        part = (content_digest(video.path), video.start, video.duration, video.fps)
        return self._kept(part, lambda: self._look_at_video(video))

    def people_in_picture(self, image: NDArray[np.uint8]) -> PoseSequence | None:
        """Everyone in a picture, as a sequence of one frame; None if nobody is found."""
        pixels = (hashlib.sha256(image.tobytes()).hexdigest(), image.shape)
        return self._kept(pixels, lambda: self._look_at_picture(image))

    def _kept(self, what: tuple[object, ...], find: Callable[[], Found]) -> Found:
        """What was found before in `what`, or is found now."""
        if not self._settings.pose_cache:
            return find()
        key = key_of(*what, *detector_identity(self._settings.detector), self._device)
        kept = kept_poses(key)
        if kept is not None:
            return kept  # type: ignore[return-value]
        found = find()
        if found is not None:
            keep_poses(key, found)
        return found

    def _look_at_video(self, video: Video) -> PoseSequence:
        return find_people(
            ((frame.image, frame.time) for frame in video),
            self._detector,
            width=video.width,
            height=video.height,
            fps=float(video.fps),
            progress=self._listener.counter(DETECTING),
            total=video.frames_estimate,
        )

    def _look_at_picture(self, image: NDArray[np.uint8]) -> PoseSequence | None:
        (people,) = self._detector.detect([image])
        height, width = image.shape[:2]
        return PoseSequence(people[None], width, height) if len(people) else None


def name_of(source: object) -> str:
    """How an input is called in messages and records: a file by its name as given, a value by its kind."""
    if not isinstance(source, (str, Path)):
        return f"<{type(source).__name__}>"
    name = str(source)
    return f"./{name}" if name.startswith("-") and name != "-" else name  # not an option


def as_picture(picture: Picture) -> NDArray[np.uint8]:
    """Any picture as uint8 (H, W, 3) RGB.

    Raises:
        BadInput: The file cannot be read, or the array is not of that form.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    pixels = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise BadInput(f"The picture is {pixels.dtype} {pixels.shape}.", "Give uint8 (height, width, 3) RGB.")
    return pixels


def read_reference(
    picture: Picture, ref_pose: Path | str | PoseSequence | None, detector: LazyDetector
) -> tuple[NDArray[np.uint8], PoseSequence]:
    """The reference picture, uint8 (H, W, 3), and the pose of its most prominent person in its pixels.

    Raises:
        BadInput: It cannot be read, or nobody is found in it and no pose was given.
    """
    image = as_picture(picture)
    if ref_pose is not None:
        poses = ref_pose if isinstance(ref_pose, PoseSequence) else PoseSequence.load(Path(ref_pose))
        pose = select_person(poses.frame(0), "auto")
        return image, on_canvas(pose, image.shape[1], image.shape[0], name_of(ref_pose))
    people = detector.people_in_picture(image)
    if people is None:
        raise BadInput(
            f"No person was found in {name_of(picture)}.", "Give the pose of the person in it with --ref-pose FILE."
        )
    return image, select_person(people, "auto")


def read_driving(source: Motion, settings: MotionSettings, listener: Listener, detector: LazyDetector) -> Driving:
    """The motion of `source`: the part asked for, one person, at the frame rate asked for.

    What a detector finds is filled and smoothed in time; poses are taken as they are.

    Args:
        source: The motion.
        settings: Which part and how.
        listener: Told about frames without the person.
        detector: Finds the poses of pictures.

    Raises:
        BadInput: It cannot be read, or nobody is in it.
    """
    people, audio = read_people(source, settings, detector)
    motion = select_person(people, settings.person)
    if not motion.present().any():
        raise BadInput(
            f"No person was found in {name_of(source)}.",
            "Choose a part with --start/--duration, or give a pose file.",
        )
    if not holds_poses(source):
        motion = steadied(motion, settings, listener)
    return Driving(motion.resampled(settings.fps) if settings.fps else motion, audio)


def read_people(source: Motion, settings: MotionSettings, detector: LazyDetector) -> tuple[PoseSequence, Audio | None]:
    """Everyone in the asked-for part of `source`, as detected or as in the pose file, and the part's sound."""
    if holds_poses(source):
        return _pose_part(source, settings), None
    video = open_driving(source, settings)
    return detector.people_in_video(video), video.audio


def holds_poses(source: Motion) -> bool:
    """Whether `source` is poses and not pictures; of a file its name tells, of a folder what is in it."""
    return isinstance(source, PoseSequence) or (isinstance(source, (str, Path)) and is_pose_file(Path(source)))


def open_driving(source: Motion, settings: MotionSettings) -> Video:
    """The asked-for part of a video. What has no rate of its own (a folder, frames) takes it from `fps`."""
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray):
        return video_of_frames(source, settings.fps or DEFAULT_RATE, settings.start, settings.duration)
    assert not isinstance(source, PoseSequence)
    rate = settings.fps if Path(source).is_dir() else None
    return open_video(source, start=settings.start, duration=settings.duration, fps=rate)


def _pose_part(source: Motion, settings: MotionSettings) -> PoseSequence:
    poses = source if isinstance(source, PoseSequence) else PoseSequence.load(Path(source))  # type: ignore[arg-type]
    return cut(poses, settings.start, settings.duration, name_of(source))


def frame_size(source: Motion, settings: MotionSettings) -> tuple[int, int]:
    """The (width, height) of the motion's frame, without detecting anything."""
    part = _pose_part(source, settings) if holds_poses(source) else open_driving(source, settings)
    return part.width, part.height


def count_frames(source: Motion, settings: MotionSettings) -> int:
    """How many frames the motion will have, without detecting anything."""
    if holds_poses(source):
        part = _pose_part(source, settings)
        return len(part.resampled(settings.fps) if settings.fps else part)
    video = open_driving(source, settings)
    if settings.fps:
        return max(1, round(video.duration * settings.fps))
    return video.frames_estimate or sum(1 for _ in video)


def steadied(motion: PoseSequence, settings: MotionSettings, listener: Listener) -> PoseSequence:
    """A detected motion with short gaps filled and, if asked for, smoothed; long gaps are reported."""
    motion = smooth(motion) if settings.smooth else fill_gaps(motion)
    for person in range(motion.people):
        who = f"person {person}" if motion.people > 1 else "person"
        for first, last in missing_frames(motion, person):
            listener.note(f"Frames {first}-{last}: no {who}.")
    return motion


def detect_poses(
    source: Motion,
    *,
    settings: MotionSettings = MotionSettings(),
    device: str = "auto",
    listener: Listener = Listener(),
) -> PoseSequence:
    """The people of a video, a folder of pictures, frames or a picture, told apart over time and steadied.

    Args:
        source: What to look at; poses are cut to the part asked for and otherwise left as they are.
        settings: Which part, whom ("auto" keeps everyone), with which detector, and whether to smooth.
        device: Where the detector runs: "auto", "cpu", "cuda" or "cuda:N".
        listener: Told of choices and progress.

    Returns:
        Everyone, the longest seen first; a person is the same index in every frame.

    Raises:
        BadInput: It cannot be read, or nobody is in it.
        ModelMissing: The detector is not installed.
    """
    with LazyDetector(settings, device, listener) as detector:
        people, _ = read_people(source, settings, detector)
    if settings.person != "auto":
        people = select_person(people, settings.person)
    if not people.present().any():
        raise BadInput(f"No person was found in {name_of(source)}.", "Choose a part with --start/--duration.")
    return people if holds_poses(source) else steadied(people, settings, listener)

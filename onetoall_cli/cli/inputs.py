"""What a command takes in: the reference with its pose, and the driving motion with its clock and sound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.cli.options import MotionOptions
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.streams import input_ending

if TYPE_CHECKING:
    import numpy as np

    from onetoall_cli.media import Audio, Video
    from onetoall_cli.pose import PoseSequence

POSE_SUFFIXES = (".json", ".npz", ".npy")


@dataclass(frozen=True)
class Driving:
    """A motion of one person, and the sound that goes with it (None: silent)."""

    motion: PoseSequence
    audio: Audio | None


class Eyes:
    """The detector of one command run: opened when first needed, announced once, closed before generation."""

    def __init__(self, name: str, device: str, report: Report) -> None:
        self._name, self._device, self._report = name, device, report

    def __enter__(self) -> Eyes:
        return self

    def __exit__(self, *_: object) -> None:
        if "_detector" in self.__dict__:  # it was needed
            self._detector.close()

    @cached_property
    def _detector(self) -> Any:
        from onetoall_cli.pose import open_detector

        detector = open_detector(self._name, device=self._device)
        self._report.note(f"Detecting poses with {detector.description}.")
        return detector

    def people_in_video(self, video: Video) -> PoseSequence:
        """Everyone in `video`, tracked; with a progress bar."""
        from onetoall_cli.pose import detect_poses

        detector = self._detector
        with self._report.progress() as progress:
            task = progress.add_task("Detecting poses", total=video.frames_estimate)
            return detect_poses(
                ((frame.image, frame.time) for frame in video),
                detector,
                width=video.width,
                height=video.height,
                fps=float(video.fps),
                progress=lambda done, total: progress.update(task, completed=done),
                total=video.frames_estimate,
            )

    def people_in_frames(self, frames: list[np.ndarray], fps: float) -> PoseSequence:
        """Everyone in a few consecutive frames, uint8 (H, W, 3) each, tracked."""
        from onetoall_cli.pose import detect_poses

        timed = ((frame, index / fps) for index, frame in enumerate(frames))
        height, width = frames[0].shape[:2]
        return detect_poses(timed, self._detector, width=width, height=height, fps=fps)

    def people_in_picture(self, image: np.ndarray) -> PoseSequence | None:
        """Everyone in a picture, as a sequence of one frame; None if nobody is found."""
        from onetoall_cli.pose import PoseSequence

        (people,) = self._detector.detect([image])
        height, width = image.shape[:2]
        return PoseSequence(people[None], width, height) if len(people) else None


def read_driving(path: Path, options: MotionOptions, report: Report, eyes: Eyes) -> Driving:
    """The motion of `path`: the part asked for, one person, at the frame rate asked for.

    Args:
        path: Video, GIF, folder of pictures, or pose file. What a detector finds is filled and smoothed in time; a
            pose file is taken as it is.
        options: Which part and how.
        report: Told about frames without the person.
        eyes: Finds the poses of a video.

    Raises:
        BadInput: it cannot be read, or nobody is in it.
    """
    from onetoall_cli.pose import select_person

    people, audio = read_people(path, options, eyes)
    motion = select_person(people, options.person)
    if not motion.present().any():
        raise BadInput(f"No person was found in {path}.", "Choose a part with --start/--duration, or give a pose file.")
    if not is_pose_file(path):
        motion = steadied(motion, options, report)
    return Driving(motion.resampled(options.fps) if options.fps else motion, audio)


def read_people(path: Path, options: MotionOptions, eyes: Eyes) -> tuple[PoseSequence, Audio | None]:
    """Everyone in the asked-for part of `path`, as detected or as in the pose file, and the part's sound."""
    if is_pose_file(path):
        return read_pose_part(path, options), None
    video = open_driving(path, options)
    return eyes.people_in_video(video), video.audio


def open_driving(path: Path, options: MotionOptions) -> Video:
    """The asked-for part of a video. A folder of pictures has no rate of its own: `--fps` is the folder's."""
    from onetoall_cli.media import open_video

    rate = options.fps if path.is_dir() else None
    return open_video(path, start=options.start, duration=options.duration, fps=rate)


def read_pose_part(path: Path, options: MotionOptions) -> PoseSequence:
    """The asked-for part of a pose file."""
    from onetoall_cli.pose import PoseSequence
    from onetoall_cli.pose.parts import cut

    return cut(PoseSequence.load(path), options.start, options.duration, path)


def count_frames(driving: Path, motion: MotionOptions) -> int:
    """How many frames the motion will have, without detecting anything."""
    if is_pose_file(driving):
        sequence = read_pose_part(driving, motion)
        return len(sequence.resampled(motion.fps) if motion.fps else sequence)
    video = open_driving(driving, motion)
    if motion.fps:
        return max(1, round(video.duration * motion.fps))
    return video.frames_estimate or sum(1 for _ in video)


def steadied(motion: PoseSequence, options: MotionOptions, report: Report) -> PoseSequence:
    """A detected motion with short gaps filled, smoothed unless `--no-smooth`; long gaps are reported."""
    from onetoall_cli.pose import fill_gaps, missing_frames, smooth

    motion = smooth(motion) if options.smooth else fill_gaps(motion)
    for person in range(motion.people):
        who = f"person {person}" if motion.people > 1 else "person"
        for first, last in missing_frames(motion, person):
            report.note(f"Frames {first}-{last}: no {who}.")
    return motion


def read_reference(path: Path, ref_pose: Path | None, eyes: Eyes) -> tuple[np.ndarray, PoseSequence]:
    """The reference picture, uint8 (H, W, 3), and the pose of its most prominent person in its pixels.

    Raises:
        BadInput: it cannot be read, or nobody is found in it and no pose file was given.
    """
    from onetoall_cli.media import read_picture
    from onetoall_cli.pose import PoseSequence, select_person
    from onetoall_cli.pose.parts import on_canvas

    image = read_picture(path)
    if ref_pose is not None:
        pose = select_person(PoseSequence.load(ref_pose).frame(0), "auto")
        return image, on_canvas(pose, image.shape[1], image.shape[0], ref_pose)
    people = eyes.people_in_picture(image)
    if people is None:
        raise BadInput(
            f"No person was found in {path}.",
            "Give the pose of the person in it with --ref-pose FILE (any OpenPose editor writes one).",
        )
    return image, select_person(people, "auto")


def is_pose_file(path: Path) -> bool:
    """Whether `path` holds poses and not pictures, going by its name (a folder: by what is in it)."""
    if path.is_dir():
        return any(each.suffix.lower() == ".json" for each in path.iterdir())
    return input_ending(path) in POSE_SUFFIXES

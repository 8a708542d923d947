"""A motion as a value: per frame up to n people, each 133 whole-body keypoints in pixels of one canvas.

What detectors return, alignment reads and rewrites, drawing draws, and `pose.json` holds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onetoall_cli.pose import formats
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.pose.sightings import Keypoints, Sightings


@dataclass(frozen=True, eq=False, init=False)
class PoseSequence:
    """Keypoints of a clip or of one picture. Immutable: the arrays are read-only, methods return new values.

    Only what is seen is held (`sightings`): the array of all frames and people is made when it is asked for.

    Attributes:
        keypoints: Float32 (frames, people, 133, 3): x px, y px, score 0..1, COCO-WholeBody order (17 body, 6 feet,
            68 face, 21 left hand, 21 right hand). A point that was not seen has score 0; points outside the
            canvas keep their coordinates. At least one frame and one person; a person's index is their identity.
            Scores are clipped to 0..1 (network outputs overshoot 1 a little).
        width: Canvas width in pixels.
        height: Canvas height in pixels.
        fps: Frames per second; the average for a variable frame rate.
        times: Float64 (frames,): seconds, strictly increasing, for a variable frame rate; None means `index / fps`.

    Raises:
        ValueError: On values that break the above, such as NaN.
    """

    keypoints: Keypoints
    width: int
    height: int
    fps: float = 30.0
    times: NDArray[np.float64] | None = None
    sightings: Sightings = field(init=False, repr=False)

    def __init__(
        self,
        keypoints: ArrayLike | Sightings,
        width: int,
        height: int,
        fps: float = 30.0,
        times: ArrayLike | None = None,
    ) -> None:
        set_field = object.__setattr__  # the way past `frozen`
        set_field(self, "sightings", _checked_sightings(keypoints))
        set_field(self, "width", int(width))
        set_field(self, "height", int(height))
        set_field(self, "fps", float(fps))
        set_field(self, "times", None)
        if self.width < 1 or self.height < 1:
            raise ValueError(f"the canvas is {self.width} x {self.height} px, which must be positive")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}, which must be a positive number")
        if times is not None:
            set_field(self, "times", _checked_times(times, len(self)))

    def __len__(self) -> int:
        """Number of frames."""
        return self.sightings.frames

    @property
    def people(self) -> int:
        """Number of people (rows of the second axis; some frames may lack some of them)."""
        return self.sightings.people

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last one's end; the last frame counts as `1 / fps` long."""
        if self.times is None:
            return len(self) / self.fps
        return float(self.times[-1] - self.times[0]) + 1 / self.fps

    def clock(self) -> NDArray[np.float64]:
        """The time of each frame in seconds, (frames,)."""
        return np.arange(len(self)) / self.fps if self.times is None else self.times

    def present(self) -> NDArray[np.bool_]:
        """Whether any keypoint of a person is seen, (frames, people)."""
        held = self.sightings
        result = np.zeros((held.frames, held.people), bool)
        result[held.frame, held.person] = (held.keypoints[..., 2] > 0).any(axis=-1)
        return result

    def body_sizes(self) -> NDArray[np.float64]:
        """How large each person is, (people,): the median diagonal of the box around the seen body points, px; 0 if no
        two are ever seen."""
        body = self.sightings.keypoints[:, kp.BODY]
        seen = body[..., 2:] > 0
        low = np.where(seen, body[..., :2], np.inf).min(axis=1)
        high = np.where(seen, body[..., :2], -np.inf).max(axis=1)
        measured = seen.sum(axis=(1, 2)) > 1
        diagonals, whose = np.linalg.norm((high - low)[measured], axis=-1), self.sightings.person[measured]
        own = np.split(diagonals, np.searchsorted(whose, np.arange(1, self.people)))
        return np.array([np.median(each) if len(each) else 0.0 for each in own], dtype=np.float64)

    def person(self, index: int) -> "PoseSequence":
        """The motion of one person, as a sequence of one person."""
        return self.holding(self.sightings.of_person(range(self.people)[index]))

    def frame(self, index: int) -> "PoseSequence":
        """One frame, as a sequence of one frame (a pose for `transfer`)."""
        index = range(len(self))[index]
        return self[index : index + 1]

    def __getitem__(self, part: slice) -> "PoseSequence":
        """Frames a to b as `sequence[a:b]`; their clock starts where this one's does."""
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise TypeError("a PoseSequence is cut by sequence[a:b]; one frame is sequence.frame(i)")
        start, stop, _ = part.indices(len(self))
        stop = max(start, stop)
        times = self.times
        if times is not None and stop > start:
            times = times[part] - times[start] + times[0]
        return PoseSequence(self.sightings.between(start, stop), self.width, self.height, self.fps, times)

    def holding(self, sightings: Sightings) -> "PoseSequence":
        """Others on the same canvas and clock."""
        return PoseSequence(sightings, self.width, self.height, self.fps, self.times)

    def by_frame(self) -> Iterator[Keypoints]:
        """Everyone in each frame in turn, (people, 133, 3): `keypoints` without holding it."""
        return self.sightings.by_frame()

    def each_person(self, change: Callable[["PoseSequence"], "PoseSequence"]) -> "PoseSequence":
        """What `change` makes of each person, who comes to it alone; all results are of one clock."""
        changed = [change(self.person(index)) for index in range(self.people)]
        every = Sightings.joined(len(changed[0]), [[each.sightings] for each in changed])
        return changed[0].holding(every)

    def resampled(self, fps: float) -> "PoseSequence":
        """The same motion at another constant frame rate, of the same duration to within half a frame.

        A keypoint seen in both neighbouring frames is interpolated linearly; one seen in only one of them is taken
        from the nearer frame, so that nothing moves towards a point that was never there.
        """
        if self.times is None and fps == self.fps:
            return self
        clock = self.clock() - self.clock()[0]
        wanted = np.arange(max(1, round(self.duration * fps))) / fps
        after = np.clip(np.searchsorted(clock, wanted, side="right"), 1, max(1, len(self) - 1))
        after = np.minimum(after, len(self) - 1)
        before = np.maximum(after - 1, 0)
        span = np.where(after > before, clock[after] - clock[before], 1.0)
        weight = np.clip((wanted - clock[before]) / span, 0.0, 1.0)

        def blended(one: PoseSequence) -> PoseSequence:
            return replace(one, keypoints=_blend(one.keypoints, before, after, weight), fps=fps, times=None)

        return self.each_person(blended)

    def to_json(self) -> dict[str, Any]:
        """The sequence as JSON-ready data, format `onetoall-pose` (see `onetoall_cli.pose.formats`)."""
        return formats.to_json(self)

    @staticmethod
    def from_json(data: Any, source: str = "The pose data", **known: Any) -> "PoseSequence":
        """Read parsed JSON of any known pose format; keywords as for `load`.

        Raises:
            BadInput: It is none of them, naming `source`, frame and field.
        """
        return PoseSequence(*formats.from_json(data, source, **known))

    @staticmethod
    def load(path: Path | str, **known: Any) -> "PoseSequence":
        """Read a pose file or folder of any known format (see `onetoall_cli.pose.formats.load_poses`).

        Raises:
            BadInput: It cannot be read, naming file, frame and field.
        """
        return PoseSequence(*formats.load_poses(Path(path), **known))

    def save(self, path: Path | str) -> None:
        """Write the sequence as `onetoall-pose` JSON. The same sequence always gives the same bytes."""
        formats.save_poses(self, Path(path))


def _checked_sightings(values: ArrayLike | Sightings) -> Sightings:
    """`values` with read-only float32 keypoints, finite, scores within 0..1."""
    held = values if isinstance(values, Sightings) else _sightings_of(values)
    if 0 in (held.frames, held.people):
        raise ValueError(f"keypoints hold {held.frames} frames of {held.people} people, which must be one at least")
    if held.keypoints.flags.writeable:  # else a view of another sequence, already checked
        if not np.isfinite(held.keypoints).all():
            raise ValueError("keypoints hold NaN or infinity")
        np.clip(held.keypoints[..., 2], 0.0, 1.0, out=held.keypoints[..., 2])
        held.keypoints.flags.writeable = False
    return held


def _sightings_of(values: ArrayLike) -> Sightings:
    """Those of an array (frames, people, 133, 3), which stays the caller's own."""
    array: Keypoints = np.asarray(values, dtype=np.float32)
    if array.ndim != 4 or array.shape[2:] != (kp.COUNT, 3) or 0 in array.shape:
        raise ValueError(f"keypoints have shape {array.shape}, not (frames, people, {kp.COUNT}, 3)")
    held = Sightings.of(array)
    if array.flags.writeable and np.may_share_memory(held.keypoints, array):
        return replace(held, keypoints=held.keypoints.copy())
    return held


def _checked_times(values: Any, frames: int) -> NDArray[np.float64]:
    times = np.array(values, dtype=np.float64)
    if times.shape != (frames,):
        raise ValueError(f"times have shape {times.shape}, not ({frames},)")
    if not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError("times must be finite, not negative and strictly increasing")
    times.flags.writeable = False
    return times


def _dense(sequence: PoseSequence) -> Keypoints:
    return sequence.sightings.dense()


# A property under the name of the field, so that `replace(sequence, keypoints=...)` goes on to work.
PoseSequence.keypoints = property(_dense)  # type: ignore[assignment]


def _blend(
    keypoints: Keypoints, before: NDArray[np.int64], after: NDArray[np.int64], weight: NDArray[np.float64]
) -> Keypoints:
    """Keypoints between frames `before` and `after` at `weight` 0..1, (n, people, 133, 3)."""
    a, b = keypoints[before], keypoints[after]
    w = weight.astype(np.float32)[:, None, None, None]
    both = (a[..., 2:] > 0) & (b[..., 2:] > 0)
    return np.where(both, a + w * (b - a), np.where(w < 0.5, a, b)).astype(np.float32)

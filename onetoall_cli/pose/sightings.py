"""What a `PoseSequence` is made of: the keypoints of who is seen, and nothing for who is not.

A long video with many people is mostly absences: memory goes by what is seen, not by frames times people.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp

Keypoints = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sightings:
    """Who is seen when, person by person and each in order of time.

    Attributes:
        frames: Number of frames of the clip.
        people: Number of people.
        frame: Int64 (n,): the frame of each sighting.
        person: Int64 (n,): whose it is; ascending.
        keypoints: Float32 (n, 133, 3), as in `PoseSequence.keypoints`.
    """

    frames: int
    people: int
    frame: NDArray[np.int64]
    person: NDArray[np.int64]
    keypoints: Keypoints

    @staticmethod
    def of(keypoints: Keypoints) -> "Sightings":
        """Those in an array (frames, people, 133, 3), where absent people are all 0. One person who is always there is
        not copied."""
        frames, people = keypoints.shape[:2]
        there = np.asarray(keypoints.any(axis=(2, 3)))
        person, frame = np.nonzero(there.T)
        if people == 1 and there.all():
            return Sightings(frames, people, frame, person, keypoints[:, 0])
        return Sightings(frames, people, frame, person, keypoints[frame, person])

    @staticmethod
    def joined(frames: int, parts: list[list["Sightings"]]) -> "Sightings":
        """People from their sightings: of each person the parts, each of one person, in order of time."""
        every = [part for own in parts for part in own]
        if len(parts) == len(every) == 1:
            return replace(every[0], frames=frames)
        people = [index for index, own in enumerate(parts) for part in own for _ in part.frame]
        keypoints = np.empty((len(people), kp.COUNT, 3), np.float32)
        end = 0
        for part in every:
            keypoints[end : (end := end + len(part.frame))] = part.keypoints
        frame = np.concatenate([np.zeros(0, np.int64), *(part.frame for part in every)])
        return Sightings(frames, len(parts), frame, np.array(people, np.int64), keypoints)

    def dense(self) -> Keypoints:
        """All of it as an array (frames, people, 133, 3), read-only."""
        if self.people == 1 and len(self.frame) == self.frames:
            return self.keypoints[:, None]
        result = np.zeros((self.frames, self.people, kp.COUNT, 3), np.float32)
        result[self.frame, self.person] = self.keypoints
        result.flags.writeable = False
        return result

    def by_frame(self) -> Iterator[Keypoints]:
        """Everyone in each frame in turn, (people, 133, 3)."""
        order = np.argsort(self.frame, kind="stable")
        ends = np.searchsorted(self.frame[order], np.arange(self.frames + 1))
        for start, stop in pairwise(ends.tolist()):
            here = order[start:stop]
            everyone = np.zeros((self.people, kp.COUNT, 3), np.float32)
            everyone[self.person[here]] = self.keypoints[here]
            yield everyone

    def of_person(self, index: int) -> "Sightings":
        """One person's, as of a clip with nobody else."""
        own = slice(*np.searchsorted(self.person, [index, index + 1]))
        alone = np.zeros_like(self.person[own])
        return replace(self, people=1, frame=self.frame[own], person=alone, keypoints=self.keypoints[own])

    def between(self, start: int, stop: int) -> "Sightings":
        """Those in frames `start` to before `stop`, as of a clip of these frames."""
        inside = (self.frame >= start) & (self.frame < stop)
        kept = slice(*np.searchsorted(self.frame, [start, stop])) if self.people == 1 else inside
        return Sightings(stop - start, self.people, self.frame[kept] - start, self.person[kept], self.keypoints[kept])

    def shifted(self, frames: int) -> "Sightings":
        """The same later by some frames; the clip is as much longer."""
        return replace(self, frames=self.frames + frames, frame=self.frame + frames)

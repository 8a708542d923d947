"""What every pose detector offers: pictures in, the people of each picture out as whole-body keypoints.

A detector knows nothing of clips, clocks or identities; `onetoall_cli.pose.detect` adds those.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp

Image = NDArray[np.uint8]
"""(height, width, 3) RGB, 0..255."""

People = NDArray[np.float32]
"""(people, 133, 3): x px, y px of the picture, score 0..1; COCO-WholeBody order; no people is a valid answer."""

MAX_PEOPLE = 6
"""People read per picture, the most prominent first: each costs a network pass, and one of them is animated."""


def nobody() -> People:
    """The answer for a picture without people, (0, 133, 3)."""
    return np.zeros((0, kp.COUNT, 3), dtype=np.float32)


class Detector(ABC):
    """Finds people and their 133 whole-body keypoints. Use as a context manager, or call `close`.

    Attributes:
        name: What `--detector` calls it.
        description: Name and where it runs, for people: "vitpose (CUDA)".
        batch_size: Pictures that go through the networks together.
    """

    name: str
    description: str
    batch_size: int = 1

    @abstractmethod
    def detect(self, images: Sequence[Image]) -> list[People]:
        """The people of unrelated pictures, each on its own: the answer for one never depends on the others.

        Args:
            images: Pictures of any, also different, sizes.

        Returns:
            One (people, 133, 3) array per picture, in pixels of that picture.

        Raises:
            ModelMissing: The networks' files turn out broken or of the wrong kind, naming the file.
            OutOfResources: The device has not enough memory.
        """

    def follow(self, frames: Iterable[Image]) -> Iterator[People]:
        """The people of consecutive frames of one clip, read as they come; at most a batch is held in memory.

        A detector that can use the frame before overrides this; here frames are only batched.
        """
        frames = iter(frames)
        while batch := list(islice(frames, self.batch_size)):
            yield from self.detect(batch)

    @abstractmethod
    def close(self) -> None:
        """Free the networks. The detector cannot be used after."""

    def __enter__(self) -> "Detector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

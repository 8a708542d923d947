"""A uniform scale and a shift of the plane: the only map that alignment applies to pictures and whole poses.

Coordinates are pixels with the origin at the picture's top left corner, so pixel i covers i to i + 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Similarity:
    """The map p -> scale * p + (dx, dy), in pixels. `scale` is positive; there is no rotation."""

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0

    @staticmethod
    def pinning(point: NDArray, target: NDArray, scale: float) -> "Similarity":
        """The map with `scale` that takes `point` (x, y) onto `target` (x, y)."""
        dx, dy = np.asarray(target, float)[:2] - scale * np.asarray(point, float)[:2]
        return Similarity(float(scale), float(dx), float(dy))

    def then(self, after: "Similarity") -> "Similarity":
        """This map followed by `after`."""
        return Similarity(after.scale * self.scale, after.scale * self.dx + after.dx, after.scale * self.dy + after.dy)

    def inverse(self) -> "Similarity":
        return Similarity(1 / self.scale, -self.dx / self.scale, -self.dy / self.scale)

    def points(self, xy: NDArray) -> NDArray:
        """Map points (..., 2)."""
        return self.scale * xy + np.array([self.dx, self.dy])

    def keypoints(self, keypoints: NDArray) -> NDArray:
        """Map keypoints (..., 3) of x, y, score; unseen ones (score 0) stay (0, 0, 0)."""
        mapped = np.concatenate([self.points(keypoints[..., :2]), keypoints[..., 2:]], axis=-1)
        return np.where(keypoints[..., 2:] > 0, mapped, 0.0)

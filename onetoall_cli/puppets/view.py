"""Cameras, and one frame of a puppet as a camera sees it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.puppets.skeleton import Joints

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """An orthographic camera: it shows a world point at `world * scale + (shift_x, shift_y)` pixels."""

    scale: float
    shift_x: float
    shift_y: float

    def place(self, points: Array) -> Array:
        """World points (..., 2 or 3) to pixels; z is scaled alike."""
        shift = (self.shift_x, self.shift_y, 0.0)[: points.shape[-1]]
        return points * self.scale + shift

    def then(self, scale: float, shift_x: float, shift_y: float) -> "Camera":
        """The camera of the same picture after it was scaled and then shifted."""
        return Camera(self.scale * scale, self.shift_x * scale + shift_x, self.shift_y * scale + shift_y)


@dataclass(frozen=True, eq=False)
class View:
    """One frame of a puppet in pixels (z too); `scale` is how many pixels one world unit is."""

    points: Array  # (133, 3), COCO-WholeBody order
    pelvis: Array  # (3,)
    neck: Array  # (3,)
    head_centre: Array  # (3,)
    head_rotation: Array  # (3, 3)
    front: Array  # (3,) unit vector out of the chest
    scale: float

    @classmethod
    def of(cls, joints: Joints, frame: int, camera: Camera) -> "View":
        """Frame number `frame` of `joints` as `camera` sees it."""
        return cls(
            camera.place(joints.keypoints[frame]),
            camera.place(joints.pelvis[frame]),
            camera.place(joints.neck[frame]),
            camera.place(joints.head_centre[frame]),
            joints.head_rotation[frame],
            joints.front[frame],
            camera.scale,
        )

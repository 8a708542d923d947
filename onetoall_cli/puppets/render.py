"""Rendering of puppets: pictures, exact keypoints with visibility, and foreground masks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import figure
from onetoall_cli.puppets.backdrop import Backdrop, paint_backdrop
from onetoall_cli.puppets.canvas import Canvas
from onetoall_cli.puppets.identity import Identity
from onetoall_cli.puppets.skeleton import Joints
from onetoall_cli.puppets.view import Camera, View

# Scores of a keypoint that is seen, and of one hidden behind the puppet itself; outside the picture it is 0.
SEEN, HIDDEN = 1.0, 0.5


@dataclass(frozen=True, eq=False)
class Clip:
    """A rendered puppet with its ground truth.

    Attributes:
        frames: Pictures, uint8 (frames, height, width, 3) RGB.
        poses: The exact keypoints. Scores are `SEEN`, `HIDDEN` or 0 (outside the picture).
        masks: Coverage by the puppet, uint8 (frames, height, width); 255 is full coverage.
    """

    frames: NDArray[np.uint8]
    poses: PoseSequence
    masks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.frames)


def render_clip(
    identity: Identity,
    joints: Joints,
    backdrop: Backdrop,
    camera: Camera,
    width: int,
    height: int,
    *,
    fps: float,
    backdrop_camera: Camera | None = None,
    supersample: int = 3,
) -> Clip:
    """Paint every frame of `joints`.

    Args:
        identity: The look. `joints` may come from another body, but face and head size should be this identity's.
        camera: Sees the puppet.
        backdrop_camera: Sees the backdrop; by default `camera` does.
        supersample: Subpixels along each side of a pixel; 3 is smooth, 2 is faster.
    """
    behind = paint_backdrop(backdrop, backdrop_camera or camera, width, height)
    frames = np.empty((len(joints), height, width, 3), np.uint8)
    masks = np.empty((len(joints), height, width), np.uint8)
    points = np.empty((len(joints), 1, kp.COUNT, 3), np.float32)
    for index in range(len(joints)):
        canvas = Canvas(width, height, supersample)
        view = View.of(joints, index, camera)
        figure.paint_puppet(canvas, view, identity)
        frames[index], masks[index] = canvas.over(behind)
        points[index, 0] = _observed(view, canvas)
    return Clip(frames, PoseSequence(points, width, height, fps), masks)


def observe(joints: Joints, camera: Camera, width: int, height: int, *, fps: float) -> PoseSequence:
    """Keypoints without painting: score 1 inside the picture (nothing counts as hidden), 0 outside."""
    points = camera.place(joints.keypoints)
    inside = _inside(points, width, height)
    values = np.concatenate([points[..., :2], inside[..., None]], axis=-1)
    return PoseSequence(values[:, None].astype(np.float32), width, height, fps)


def _inside(points: NDArray, width: int, height: int) -> NDArray[np.bool_]:
    x, y = points[..., 0], points[..., 1]
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


def _owners_table() -> NDArray[np.bool_]:
    """Whether a keypoint stays visible when a part is painted last over it, (keypoints, parts)."""
    seen = np.zeros((kp.COUNT, 7), bool)
    seen[:, 0] = True
    everything_head = [*range(kp.NOSE, kp.RIGHT_EAR + 1), *range(kp.FACE.start, kp.FACE.stop)]
    seen[everything_head, figure.HEAD] = True
    for side, (arm, leg) in enumerate(((figure.LEFT_ARM, figure.LEFT_LEG), (figure.RIGHT_ARM, figure.RIGHT_LEG))):
        hand = kp.LEFT_HAND if side == 0 else kp.RIGHT_HAND
        rows = [kp.LEFT_SHOULDER + side, kp.LEFT_ELBOW + side, kp.LEFT_WRIST + side, *range(hand.start, hand.stop)]
        seen[rows, arm] = True
        seen[kp.LEFT_SHOULDER + side, figure.TORSO] = True
        feet = range(kp.LEFT_BIG_TOE + 3 * side, kp.LEFT_BIG_TOE + 3 * side + 3)
        seen[[kp.LEFT_HIP + side, kp.LEFT_KNEE + side, kp.LEFT_ANKLE + side, *feet], leg] = True
        # Hips and knees under a skirt count as visible.
        seen[[kp.LEFT_HIP + side, kp.LEFT_KNEE + side], figure.TORSO] = True
    return seen


_SEEN_UNDER = _owners_table()
# Points further behind the head's middle than this (in head heights) are on its far side.
_FAR_FACE, _FAR_EAR = -0.03, -0.08


def _observed(view: View, canvas: Canvas) -> NDArray[np.float32]:
    """Keypoints (133, 3) in pixels with their visibility as the score."""
    points = view.points
    owner = canvas.owner(points[:, :2])
    seen = _SEEN_UNDER[np.arange(kp.COUNT), owner]
    # Landmarks on the far side of the head are hidden by the head itself.
    rows = [kp.NOSE, kp.LEFT_EYE, kp.RIGHT_EYE, *range(kp.FACE.start, kp.FACE.stop)]
    depth = points[:, 2] - view.head_centre[2]
    chin = points[kp.FACE.start + 8] - view.head_centre
    head_height = 2 * float(np.linalg.norm(chin))
    ears = [kp.LEFT_EAR, kp.RIGHT_EAR]
    seen[rows] &= depth[rows] > _FAR_FACE * head_height
    seen[ears] &= depth[ears] > _FAR_EAR * head_height
    score = np.where(seen, SEEN, HIDDEN) * _inside(points, canvas.width, canvas.height)
    return np.concatenate([points[:, :2], score[:, None]], axis=1).astype(np.float32)

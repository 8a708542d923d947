"""Scenes of several puppets on one canvas, with exact keypoints: for tests of tracking, and of hard cases."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import Motion, sample_scene
from onetoall_cli.puppets.backdrop import paint_backdrop, sample_backdrop
from onetoall_cli.puppets.canvas import Canvas
from onetoall_cli.puppets.render import HIDDEN
from onetoall_cli.puppets.skeleton import unit
from onetoall_cli.puppets.view import Camera

_FULL_COVER = 128


@dataclass(frozen=True, eq=False)
class Cutout:
    """A puppet without its surroundings.

    Attributes:
        frames: Uint8 (frames, side, side, 3).
        masks: Uint8 (frames, side, side): coverage, 255 is full.
        keypoints: Float32 (frames, 133, 3) px.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    keypoints: NDArray[np.float32]

    def rotated(self, quarters: int) -> "Cutout":
        """Turned to the left by quarters: lying, on the head."""
        points, side = self.keypoints.copy(), self.frames.shape[1]
        for _ in range(quarters % 4):
            points[..., :2] = np.stack([points[..., 1], side - 1 - points[..., 0]], axis=-1)
        turned = (np.ascontiguousarray(np.rot90(each, quarters, axes=(1, 2))) for each in (self.frames, self.masks))
        return Cutout(*turned, points)

    def mirrored(self) -> "Cutout":
        """As in a mirror: what was the left arm is a right one. Points beyond the body keep their names."""
        points = self.keypoints.copy()
        points[..., 0] = self.frames.shape[2] - 1 - points[..., 0]
        points[:, 1 : kp.BODY.stop] = (
            points[:, 1 : kp.BODY.stop].reshape(len(points), -1, 2, 3)[:, :, ::-1].reshape(len(points), -1, 3)
        )
        return Cutout(self.frames[:, :, ::-1], self.masks[:, :, ::-1], points)

    def scaled(self, factor: float) -> "Cutout":
        """Larger or smaller."""
        side = round(self.frames.shape[1] * factor)
        frames, masks = (
            np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in layer])
            for layer in (self.frames, self.masks)
        )
        return Cutout(frames, masks, (self.keypoints * [factor, factor, 1]).astype(np.float32))


def cutout(
    seed: int,
    *,
    side: int,
    frames: int,
    first: int = 0,
    turn: float = 0.0,
    seated: bool = False,
    in_a_dress: bool = False,
) -> Cutout:
    """The puppet number `seed` in full, dancing.

    Args:
        frames: Number of frames, from frame `first` of its dance.
        turn: Radians by which its whole body is turned about the vertical: pi / 2 shows its side, pi its back.
        seated: Thighs towards the viewer and to the side, shins down.
        in_a_dress: Long and wide, so that only the feet show of the legs.
    """
    scene = sample_scene("test", seed, width=side, height=side, frames=first + frames, framing="full").cut(
        slice(first, None)
    )
    motion = _turned(_seated(scene.motion) if seated else scene.motion, turn)
    identity = scene.identity
    if in_a_dress:
        look = replace(identity.look, top="dress", bottom="long_skirt", bottom_colour=identity.look.top_colour)
        identity = replace(identity, look=look)
    own = type(scene)(identity, motion, scene.backdrop, scene.camera, side, side)
    points = own.joints().keypoints[..., :2]  # the camera must see all of the other movement too
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1)) + 0.03
    low[1] -= 0.15  # hair, hats
    scale = 0.94 * side / float((high - low).max())
    shift = side / 2 - (low + high) / 2 * scale
    clip = type(scene)(identity, motion, scene.backdrop, Camera(scale, *shift), side, side).film(supersample=2)
    return Cutout(clip.frames, clip.masks, clip.poses.keypoints[:, 0])


def _turned(motion: Motion, angle: float) -> Motion:
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    head = motion.head + np.array([angle, 0, 0])
    return type(motion)(motion.directions @ turn.T, head, motion.root, motion.fingers, motion.expression, motion.fps)


def _seated(motion: Motion) -> Motion:
    from onetoall_cli.puppets.skeleton import SHINS, SPINE, THIGHS

    directions = motion.directions.copy()
    directions[:, SPINE] = unit(np.array([0.05, -1, 0.1]))
    for side, outward in zip((0, 1), (0.45, -0.45), strict=True):
        directions[:, THIGHS[side]] = unit(np.array([outward, 0.25, 0.85]))
        directions[:, SHINS[side]] = (0, 1, 0)
    return type(motion)(directions, motion.head, motion.root, motion.fingers, motion.expression, motion.fps)


def stage(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """A place without anybody, uint8 (height, width, 3)."""
    camera = Camera(height / 1.6, width / 2, 0.9 * height)
    return Canvas(width, height, 1).over(paint_backdrop(sample_backdrop("test", seed), camera, width, height))[0]


def compose(
    behind: NDArray[np.uint8], actors: list[tuple[Cutout, NDArray]]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Puppets put on a picture, the last in front.

    Args:
        behind: Uint8 (height, width, 3).
        actors: Each with the x, y in pixels of its left upper corner in each frame, (frames, 2).

    Returns:
        The frames, and keypoints (frames, people, 133, 3): score 0 outside the picture, `HIDDEN` behind somebody.
    """
    height, width = behind.shape[:2]
    frames, truth = [], np.zeros((len(actors[0][1]), len(actors), kp.COUNT, 3), np.float32)
    for index in range(len(truth)):
        picture = behind.copy()
        for person, (actor, path) in enumerate(actors):
            x, y = (int(each) for each in path[index])
            number = index % len(actor.frames)
            covered = _paste(picture, actor.frames[number], actor.masks[number], x, y)
            _hide(truth[index, :person], covered)
            points = actor.keypoints[number] + np.array([x, y, 0], np.float32)
            inside = ((points[:, :2] >= 0) & (points[:, :2] < (width, height))).all(axis=1)
            points[:, 2] *= inside
            truth[index, person] = points
        frames.append(picture)
    return frames, truth


def _paste(picture: NDArray[np.uint8], image: NDArray, mask: NDArray, x: int, y: int) -> NDArray[np.bool_]:
    """Paint `image` at x, y in place; where it covers the picture, (height, width)."""
    height, width = picture.shape[:2]
    covered = np.zeros((height, width), bool)
    left, top = max(0, x), max(0, y)
    right, bottom = min(width, x + image.shape[1]), min(height, y + image.shape[0])
    if right > left and bottom > top:
        part = slice(top - y, bottom - y), slice(left - x, right - x)
        there = picture[top:bottom, left:right]
        share = mask[part][..., None] / 255
        there[:] = np.round(there * (1 - share) + image[part] * share)
        covered[top:bottom, left:right] = mask[part] > _FULL_COVER
    return covered


def _hide(people: NDArray[np.float32], covered: NDArray[np.bool_]) -> None:
    """Lower the score of points that have just been covered, in place."""
    height, width = covered.shape
    x, y = (people[..., axis].astype(int) for axis in range(2))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    hidden = inside & covered[y.clip(0, height - 1), x.clip(0, width - 1)]
    people[..., 2] = np.where(hidden, np.minimum(people[..., 2], HIDDEN), people[..., 2])

"""Where training clips come from: what a source offers, and the puppet world as one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets import Motion, Scene, Split, sample_other_motion, sample_scene
from onetoall_cli.puppets.render import observe
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.latents import LatentCache

Pictures = NDArray[np.uint8]

_ENDLESS = 2**31
# Frames before and after a puppet's training window, from which some references are taken.
_ROUND = 8
# The others are of another dance before the same camera, as far from the window as frames of a long recording are:
# the reference a user gives never is a moment away from what it is to do.
_FAR = 0.75
_FAR_FRAMES = 48


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """A training window with a reference from the same clip.

    Attributes:
        frames: Uint8 (T, H, W, 3); None when `latents` are there.
        latents: Float16 (16, n, h, w), normalised, from the cache.
        motion: The person's keypoints in the window, pixels of the frames.
        reference: Uint8 (H, W, 3), another frame, of the same camera and size.
        reference_pose: Its keypoints, one frame.
        key: Under which the window's latents can be cached; None when it will not come again.
    """

    frames: Pictures | None
    latents: NDArray[np.float16] | None
    motion: PoseSequence
    reference: Pictures
    reference_pose: PoseSequence
    key: str | None


class ClipSource(Protocol):
    """Training clips, and other people's poses to borrow faces from."""

    pool: PosePool

    def draw(self, rng: np.random.Generator, count: int) -> tuple[list[int], float | None]:
        """Numbers of `count` clips for one batch, and the aspect (width / height) they share; None if any will do."""

    def clip(
        self,
        number: int,
        *,
        width: int,
        height: int,
        frames: int,
        rng: np.random.Generator,
        first_frame: bool,
        cached: bool = True,
    ) -> TrainingClip:
        """A window of a clip at a size.

        Args:
            first_frame: The reference is the window's first frame instead of one outside the window.
            cached: Latents from the cache will do; otherwise the frames are needed. Draws from `rng` the same way.
        """
        ...


class PuppetSource:
    """Puppets of one split, performing sampled dances and, if there are any, real motions."""

    def __init__(
        self,
        *,
        clips: int = 0,
        fps: float = 16.0,
        motions: Sequence[PoseSequence] = (),
        motion_share: float = 0.3,
        cache: LatentCache | None = None,
        split: Split = "train",
    ) -> None:
        """Args: clips: how many different ones there are; 0 is endless, and then nothing is cached."""
        self.clips, self.fps, self.motions, self.motion_share = clips, fps, motions, motion_share
        self.cache, self.split = cache, split
        self.pool = puppet_pool(split)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[list[int], float | None]:
        return [int(number) for number in rng.integers(self.clips or _ENDLESS, size=count)], None

    def clip(
        self,
        number: int,
        *,
        width: int,
        height: int,
        frames: int,
        rng: np.random.Generator,
        first_frame: bool,
        cached: bool = True,
    ) -> TrainingClip:
        key = f"{self.split}-{number}-{width}x{height}x{frames}" if cached and self.clips and self.cache else None
        scene = self._scene(number, width, height, frames + 2 * _ROUND)
        # A real motion may be shorter than asked for: the window is in the middle of what there is.
        around = max(0, len(scene) - frames) // 2
        window = np.minimum(np.arange(frames) + around, len(scene) - 1)
        outside = [index for index in range(len(scene)) if index < window[0] or index > window[-1]]
        chosen = int(window[0]) if first_frame or not outside else int(rng.choice(outside))
        still = scene.cut(slice(chosen, chosen + 1))
        if not first_frame and rng.random() < _FAR:
            still = replace(still, motion=self._another_moment(number, rng))
        reference = still.film(supersample=2)
        stored = self.cache.get(key) if self.cache and key else None
        if stored is not None:
            motion = PoseSequence(stored.keypoints[:, None], width, height, self.fps)
            return TrainingClip(None, stored.latents, motion, reference.frames[0], reference.poses, key)
        film = replace(scene, motion=scene.motion[window]).film(supersample=2)
        return TrainingClip(film.frames, None, film.poses, reference.frames[0], reference.poses, key)

    def _another_moment(self, number: int, rng: np.random.Generator) -> Motion:
        """One frame of the puppet's other dance."""
        moment = int(rng.integers(_FAR_FRAMES))
        return sample_other_motion(self.split, number, frames=_FAR_FRAMES)[moment : moment + 1]

    def _scene(self, number: int, width: int, height: int, frames: int) -> Scene:
        choice = np.random.default_rng([number, len(self.motions)])
        real = bool(self.motions) and choice.random() < self.motion_share
        motion = self.motions[int(choice.integers(len(self.motions)))] if real else None
        return sample_scene(self.split, number, width=width, height=height, frames=frames, motion=motion, fps=self.fps)


def puppet_pool(split: Split, count: int = 24) -> PosePool:
    """Poses of many puppets, half of them on portrait canvases and half on landscape ones."""
    poses = []
    for seed in range(count):
        width, height = ((256, 384), (384, 256))[seed % 2]
        scene = sample_scene(split, seed + 900_000, width=width, height=height, frames=1)
        poses.append(observe(scene.joints(), scene.camera, width, height, fps=scene.motion.fps))
    return PosePool(poses)


def load_motions(folder: Path) -> list[PoseSequence]:
    """The first person of every pose file (`*.json`) of a folder.

    Raises:
        BadInput: There is none, or one cannot be read.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise BadInput(f"{folder} holds no pose files (*.json).", "Write some with `onetoall pose`.")
    return [PoseSequence.load(file).person(0) for file in files]

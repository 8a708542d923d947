"""Sources of training clips: the protocol, and the puppet world as a source."""

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

PUPPET_FPS = 16.0
_ENDLESS = 2**31
# Some references come from these many frames before and after a puppet's training window.
_ROUND = 8
# The others, with this probability, come from another dance before the same camera: a user's reference is not a moment
# away from the motion either.
_FAR = 0.75
_FAR_FRAMES = 48


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """A training window with a reference from the same clip, or a pair of pictures of one person.

    Attributes:
        frames: Pictures, uint8 (T, H, W, 3); None where `latents` are given.
        latents: Normalised latents from the cache, float16 (16, n, h, w); None where there are none.
        motion: The person's keypoints in the window, in pixels of the frames.
        reference: Another frame of the same camera and size, uint8 (H, W, 3).
        reference_pose: The reference's keypoints, one frame.
        key: Key of the window in the latent cache; None if the window will not come again.
        same_picture: Whether the reference is one of the frames.
        ignored: Pixels that the loss leaves out, bool (H, W); None leaves out none.
        has_driving_face: Whether the driving face may be drawn; not where a detector cannot be trusted, in cartoons.
    """

    frames: Pictures | None
    latents: NDArray[np.float16] | None
    motion: PoseSequence
    reference: Pictures
    reference_pose: PoseSequence
    key: str | None
    same_picture: bool
    ignored: NDArray[np.bool_] | None = None
    has_driving_face: bool = True


class ClipSource(Protocol):
    """A source of training clips, with a pool of poses to borrow faces from."""

    pool: PosePool

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
        """Draw the numbers of `count` clips for one batch of `frames` frames each, and the aspect (width / height) that
        they share; None is any."""

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
        """Draw a window of a clip.

        Args:
            number: The clip, from `draw`.
            width, height: Size of the pictures in pixels.
            frames: Frames of the window.
            rng: Source of randomness; drawn from the same way whether latents are cached or not.
            first_frame: Whether the reference is the window's first frame instead of one outside the window.
            cached: Whether latents from the cache may stand in for the frames.
        """
        ...


def draw_alike(rng: np.random.Generator, aspects: Sequence[float], count: int) -> tuple[list[int], float]:
    """Draw the numbers of `count` clips that share an aspect, and that aspect; `aspects` has one for each clip."""
    first = int(rng.integers(len(aspects)))
    alike = [number for number, aspect in enumerate(aspects) if aspect == aspects[first]]
    return [first, *(alike[int(rng.integers(len(alike)))] for _ in range(count - 1))], aspects[first]


class PuppetSource:
    """Puppets of one split that perform sampled dances and, if given, real motions."""

    def __init__(
        self,
        *,
        clips: int = 0,
        fps: float = PUPPET_FPS,
        motions: Sequence[PoseSequence] = (),
        motion_share: float = 0.3,
        cache: LatentCache | None = None,
        split: Split = "train",
        pool: PosePool | None = None,
    ) -> None:
        """Make a source.

        Args:
            clips: Number of different clips; 0 is endless, without a cache.
            fps: Frame rate of the clips.
            motions: Real motions to perform.
            motion_share: Share of the clips with a real motion.
            cache: Cache of encoded windows.
            split: Split of the puppets.
            pool: Poses to borrow faces from; by default other puppets'.
        """
        self.clips, self.fps, self.motions, self.motion_share = clips, fps, motions, motion_share
        self.cache, self.split = cache, split
        self.pool = pool or puppet_pool(split)

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
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
        # A real motion may be shorter than wanted: the window then lies in its middle.
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
            return TrainingClip(None, stored.latents, motion, reference.frames[0], reference.poses, key, first_frame)
        film = replace(scene, motion=scene.motion[window]).film(supersample=2)
        return TrainingClip(film.frames, None, film.poses, reference.frames[0], reference.poses, key, first_frame)

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


def load_pool(folder: Path) -> PosePool:
    """The middle frame of the first person of every pose file of a folder.

    Raises:
        BadInput: As `load_motions`.
    """
    return PosePool([motion.frame(len(motion) // 2) for motion in load_motions(folder)])


def load_motions(folder: Path) -> list[PoseSequence]:
    """The first person of every pose file (`*.json`) of a folder.

    Raises:
        BadInput: There is no pose file, or one cannot be read.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise BadInput(f"{folder} holds no pose files (*.json).", "Write some with `onetoall pose`.")
    return [PoseSequence.load(file).person(0) for file in files]

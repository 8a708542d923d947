"""Sources of training clips: the protocol, and the puppet world as a source."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets import Motion, Scene, Split, sample_other_motion, sample_scene
from onetoall_cli.puppets.render import observe
from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.latents import LatentCache, Stored
from onetoall_cli.training.recipe import TrainingSettings, nearest_aspect

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


@dataclass(frozen=True)
class Window:
    """What is wanted of a clip.

    Attributes:
        width, height: Size of the pictures in pixels.
        frames: Number of frames.
        first_frame: Whether the reference is the first of them instead of a frame outside.
        cached: Whether latents from the cache may stand in for the frames.
    """

    width: int
    height: int
    frames: int
    first_frame: bool = False
    cached: bool = True


class ClipSource(Protocol):
    """A source of training clips, with a pool of poses to borrow faces from."""

    pool: PosePool

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
        """Draw the numbers of `count` clips for one batch of `frames` frames each, and the aspect (width / height) that
        they share; None is any."""

    def clip(self, number: int, window: Window, rng: np.random.Generator) -> TrainingClip:
        """Draw a window of the clip `number` (from `draw`); `rng` is drawn from the same way whether latents are cached
        or not."""
        ...


class Place(NamedTuple):
    """A window at its place in a clip: its key in the cache of latents, and what reads its pictures and keypoints."""

    key: str
    read: Callable[[], tuple[Pictures, PoseSequence]]


class FolderSource:
    """What videos and pairs of pictures share as sources: the clips of a batch have one aspect, latents are cached."""

    def __init__(
        self,
        names: Sequence[str],
        shown: Sequence[PoseSequence],
        lengths: Iterable[int],
        settings: TrainingSettings,
        latents: LatentCache | None,
    ) -> None:
        """Take names of the clips, their keypoints (for the canvas), and the lengths of windows that are drawn."""
        self.names, self._latents = tuple(names), latents
        self._lengths, self._sizes = tuple(lengths), settings.sizes
        self._aspects = [nearest_aspect(poses.width / poses.height, settings.aspects) for poses in shown]

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> tuple[list[int], float | None]:
        first = int(rng.integers(len(self._aspects)))
        alike = [number for number, aspect in enumerate(self._aspects) if aspect == self._aspects[first]]
        others = [alike[int(rng.integers(len(alike)))] for _ in range(count - 1)]
        return [first, *others], self._aspects[first]

    def windows(self, number: int) -> Iterator[Window]:
        """The kinds of windows that may be drawn of a clip."""
        for frames in self._lengths:
            for size in self._sizes:
                yield Window(*size.size(self._aspects[number]), frames)

    def unencoded(self, number: int) -> Iterator[Place]:
        """The windows of a clip whose latents are not in the cache yet."""
        assert self._latents is not None
        for window in self.windows(number):
            yield from (each for each in self.places(number, window) if not self._latents.has(each.key))

    def places(self, number: int, window: Window) -> Iterator[Place]:
        """The windows of one kind in a clip."""
        raise NotImplementedError

    def stored(self, key: str, window: Window) -> Stored | None:
        """The latents of a window, if they may be and are in the cache."""
        return self._latents.get(key) if self._latents and window.cached else None

    def key(self, key: str, window: Window) -> str | None:
        """The key by which the latents of a window will be stored; None where they are not."""
        return key if self._latents and window.cached else None


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

    def clip(self, number: int, window: Window, rng: np.random.Generator) -> TrainingClip:
        width, height, frames = window.width, window.height, window.frames
        is_cached = window.cached and self.clips and self.cache
        key = f"{self.split}-{number}-{width}x{height}x{frames}" if is_cached else None
        scene = self._scene(number, width, height, frames + 2 * _ROUND)
        # A real motion may be shorter than wanted: the window then lies in its middle.
        around = max(0, len(scene) - frames) // 2
        shown = np.minimum(np.arange(frames) + around, len(scene) - 1)
        outside = [index for index in range(len(scene)) if index < shown[0] or index > shown[-1]]
        chosen = int(shown[0]) if window.first_frame or not outside else int(rng.choice(outside))
        still = scene.cut(slice(chosen, chosen + 1))
        if not window.first_frame and rng.random() < _FAR:
            still = replace(still, motion=self._another_moment(number, rng))
        reference = still.film(supersample=2)
        stored = self.cache.get(key) if self.cache and key else None
        if stored is not None:
            motion = PoseSequence(stored.keypoints[:, None], width, height, self.fps)
            return TrainingClip(
                None, stored.latents, motion, reference.frames[0], reference.poses, key, window.first_frame
            )
        film = replace(scene, motion=scene.motion[shown]).film(supersample=2)
        return TrainingClip(
            film.frames, None, film.poses, reference.frames[0], reference.poses, key, window.first_frame
        )

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

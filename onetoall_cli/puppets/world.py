"""The puppet world: scenes to render, and pairs of a reference and a driving motion with the true answer.

Everything is fixed by (split, seed): the same arguments give the same bytes. Identities and key poses of different
splits are disjoint by construction (see `identity` and `dance`).
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets.backdrop import Backdrop, sample_backdrop
from onetoall_cli.puppets.dance import sample_motion
from onetoall_cli.puppets.identity import FaceShape, Identity, Split, sample_face, sample_identity, seeded
from onetoall_cli.puppets.motion_from_poses import motion_from_poses
from onetoall_cli.puppets.render import Clip, observe, render_clip
from onetoall_cli.puppets.skeleton import Joints, Motion, pose_body
from onetoall_cli.puppets.view import Camera

Framing = Literal["bust", "half", "knees", "full"]
PairKind = Literal["aligned", "misaligned", "transfer"]

FPS = 16.0  # the released training's frame rate (paper, implementation details)
MOVE_FRAMES = 24  # about one move; a dance begins at rest, so a random start in these frames shows all speeds
_TO_OTHER_MOTION = 500_000_000
_ABOVE_HEAD = 0.35  # head heights above the head's middle that hair and hats may need, beyond the skull


@dataclass(frozen=True, eq=False)
class Scene:
    """A puppet performing a motion somewhere, seen by a camera that stands still."""

    identity: Identity
    motion: Motion
    backdrop: Backdrop
    camera: Camera
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.motion)

    def joints(self, face: FaceShape | None = None) -> Joints:
        """The puppet in space, with its own face or another's."""
        return pose_body(self.motion, self.identity.body, face or self.identity.face)

    def film(self, *, backdrop_camera: Camera | None = None, supersample: int = 3) -> Clip:
        """Render all frames: pictures, keypoints and masks."""
        return render_clip(
            self.identity,
            self.joints(),
            self.backdrop,
            self.camera,
            self.width,
            self.height,
            fps=self.motion.fps,
            backdrop_camera=backdrop_camera,
            supersample=supersample,
        )

    def cut(self, frames: slice) -> "Scene":
        """The scene with some of its frames; the camera stays where it is."""
        return replace(self, motion=self.motion[frames])


@dataclass(frozen=True, eq=False)
class Pair:
    """A task with its answer: make the puppet of `reference` perform the motion of `driver`.

    Attributes:
        kind: "aligned" (reference and motion through one camera), "misaligned" (bust or half-length reference,
            full-body motion elsewhere on the picture, driven by another face) or "transfer" (one target picture).
        reference: The scene of the reference picture, one frame.
        target: The scene of the answer, with the reference's puppet.
        driver_face: The face of the driving keypoints; in aligned pairs the puppet's own.
    """

    kind: PairKind
    reference: Scene
    target: Scene
    driver_face: FaceShape

    def driver(self) -> PoseSequence:
        """The driving keypoints on the target's canvas."""
        scene = self.target
        joints = scene.joints(self.driver_face)
        return observe(joints, scene.camera, scene.width, scene.height, fps=scene.motion.fps)

    def alignment(self, anchor: int = 0) -> tuple[float, float, float]:
        """Scale and shift (x, y) that lay the reference's neck and size on those of the target's frame `anchor`.

        Aligned pairs stay as they are.
        """
        if self.kind == "aligned":
            return 1.0, 0.0, 0.0
        reference, target = self.reference, self.target
        scale = target.camera.scale / reference.camera.scale
        start = reference.camera.place(reference.joints().neck[0, :2])
        end = target.camera.place(target.joints().neck[anchor, :2])
        shift = end - start * scale
        return scale, float(shift[0]), float(shift[1])

    def truth(self, alignment: tuple[float, float, float] | None = None, *, supersample: int = 3) -> Clip:
        """The answer, on a backdrop that continues the reference's as placed by `alignment` (scale, shift x, shift y).

        Pass the alignment that was used, for instance from `Conditioning.meta`; by default `self.alignment()`.
        """
        camera = self.reference.camera.then(*(alignment or self.alignment()))
        return self.target.film(backdrop_camera=camera, supersample=supersample)


def sample_scene(
    split: Split,
    seed: int,
    *,
    width: int,
    height: int,
    frames: int,
    framing: Framing | None = None,
    motion: PoseSequence | None = None,
    fps: float = FPS,
) -> Scene:
    """The scene number `seed` of a split.

    Args:
        width, height: Size of the pictures in pixels.
        frames: Number of frames; with `motion`, at most that motion's length.
        framing: How much of the body the camera shows; random by default.
        motion: A real pose sequence to perform instead of a sampled dance.
    """
    rng = seeded("scene", split, seed)
    identity = sample_identity(split, seed)
    if motion is None:
        performed = sample_motion(split, seed, frames=frames, fps=fps)
    else:
        whole = motion_from_poses(motion.resampled(fps))
        start = int(rng.integers(max(1, len(whole) - frames + 1)))
        performed = whole[start : start + frames]
    chosen: Framing = framing or get_args(Framing)[int(rng.choice(4, p=[0.2, 0.25, 0.2, 0.35]))]
    joints = pose_body(performed, identity.body, identity.face)
    camera = frame_puppet(joints, identity, chosen, width, height, rng)
    return Scene(identity, performed, sample_backdrop(split, seed), camera, width, height)


def sample_pair(
    kind: PairKind,
    split: Split,
    seed: int,
    *,
    width: int,
    height: int,
    frames: int = 1,
    reference_size: tuple[int, int] | None = None,
) -> Pair:
    """The pair number `seed` of a kind and a split.

    Args:
        width, height: Size of the answer in pixels.
        frames: Number of frames of the motion; 1 for "transfer".
        reference_size: Width and height of the reference picture; the answer's by default.
    """
    rng = seeded(f"pair {kind}", split, seed)
    reference_width, reference_height = reference_size or (width, height)
    target = sample_scene(split, seed, width=width, height=height, frames=frames, framing=_target_framing(kind, rng))
    identity = target.identity
    # The reference is a frame of another motion of the same split.
    other = sample_other_motion(split, seed, frames=40)[20:21]
    reference = replace(target, motion=other, width=reference_width, height=reference_height)
    if kind == "aligned":
        together = replace(target, motion=_joined(target.motion, other))
        both: Framing = "full" if rng.random() < 0.5 else "half"
        camera = frame_puppet(together.joints(), identity, both, width, height, rng)
        return Pair(kind, replace(reference, camera=camera), replace(target, camera=camera), identity.face)
    choices: tuple[Framing, ...] = ("bust", "half") if kind == "misaligned" else get_args(Framing)
    framing = choices[int(rng.integers(len(choices)))]
    camera = frame_puppet(reference.joints(), identity, framing, reference_width, reference_height, rng)
    return Pair(kind, replace(reference, camera=camera), target, sample_face(rng))


def sample_other_motion(split: Split, seed: int, *, frames: int) -> Motion:
    """A second dance of the puppet number `seed`, from which references are taken."""
    return sample_motion(split, seed + _TO_OTHER_MOTION, frames=frames)


def _target_framing(kind: PairKind, rng: np.random.Generator) -> Framing:
    if kind == "transfer":
        return get_args(Framing)[int(rng.integers(4))]
    return "full"


def _joined(first: Motion, second: Motion) -> Motion:
    """Two motions one after the other, so that one camera can show both."""
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("directions", "head", "root", "fingers", "expression")
    }
    return replace(first, **parts, codes=first.codes + second.codes)


def frame_puppet(
    joints: Joints, identity: Identity, framing: Framing, width: int, height: int, rng: np.random.Generator
) -> Camera:
    """A camera that shows a part of the body during the whole clip, at a random size and place within limits."""
    top, bottom = _vertical_extent(joints, identity, framing)
    x = joints.keypoints[..., 0]
    if framing == "full":
        left, right = float(x.min()), float(x.max())
    else:  # arms may leave the picture
        half = 0.75 * identity.body.shoulder_width
        left, right = float(joints.neck[:, 0].min()) - half, float(joints.neck[:, 0].max()) + half
    scale = min(height / (bottom - top), width / (right - left)) * rng.uniform(0.82, 0.97)
    spare_x, spare_y = width - (right - left) * scale, height - (bottom - top) * scale
    shift_x = spare_x * (0.5 + 0.3 * rng.uniform(-1, 1)) - left * scale
    shift_y = spare_y * rng.uniform(0.35, 0.9) - top * scale
    return Camera(scale, shift_x, shift_y)


def _vertical_extent(joints: Joints, identity: Identity, framing: Framing) -> tuple[float, float]:
    """The world heights (top, bottom) between which the puppet should be seen."""
    head = identity.body.head
    crown = joints.head_centre[:, 1] - head * (0.5 + _ABOVE_HEAD)
    if framing == "full":
        return float(min(crown.min(), joints.keypoints[..., 1].min())), float(joints.keypoints[..., 1].max()) + 0.03
    torso = joints.pelvis[:, 1] - joints.neck[:, 1]
    below_neck = {"bust": 0.42 * torso, "half": 1.1 * torso, "knees": torso + identity.body.thigh * 0.95}[framing]
    return float(np.median(crown)), float(np.median(joints.neck[:, 1] + below_neck))

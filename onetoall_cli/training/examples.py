"""Training samples from clips: masked reference, drawn poses, region weights.

A micro-batch depends on (seed, number) alone, whichever process makes it, so that a run continues exactly.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.drawing import draw_motion
from onetoall_cli.training.enhancement import enhance
from onetoall_cli.training.losses import region_weights
from onetoall_cli.training.masks import face_box, reference_mask
from onetoall_cli.training.recipe import BatchPlan, TrainingSettings, draw_frames, plan_batch
from onetoall_cli.training.sources import ClipSource, TrainingClip
from onetoall_cli.training.stages import TrainingStage

ZOOM = (1.0, 1.5)  # range of the enlargement of a zoomed clip


@dataclass(frozen=True, eq=False)
class Example:
    """One sample, in pixels.

    Attributes:
        clip: The clip it was made of, whose frames or latents are the target.
        reference: The reference picture, uint8 (H, W, 3), black where unknown.
        mask: The unknown pixels, bool (H, W), True where unknown.
        pose: The drawn driving pose, uint8 (T, H, W, 3); None where no pose is given.
        reference_pose: The drawn reference pose without the face, uint8 (H, W, 3), black where unknown; None likewise.
        weights: Weights of the loss, float32 (n, h, w).
    """

    clip: TrainingClip
    reference: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    pose: NDArray[np.uint8] | None
    reference_pose: NDArray[np.uint8] | None
    weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Batch:
    """A micro-batch. Pictures are uint8 tensors; they become floats on the device.

    Attributes:
        plan: The settings that its samples share.
        frames: Pictures of each sample, uint8 (T, H, W, 3); None where `latents` holds it.
        latents: Cached latents of each sample, float16 (16, n, h, w); None where there are none.
        keys, keypoints: Key and keypoints of each sample for the latent cache.
        reference: Reference pictures, uint8 (B, 1, H, W, 3).
        mask: Unknown pixels, bool (B, 1, 1, H, W).
        pose: Drawn driving poses, uint8 (B, T, H, W, 3), or None.
        reference_pose: Drawn reference poses, uint8 (B, 1, H, W, 3), or None.
        weights: Weights of the loss, float32 (B, 1, n, h, w).
    """

    plan: BatchPlan
    frames: list[Tensor | None]
    latents: list[Tensor | None]
    keys: list[str | None]
    keypoints: list[NDArray[np.float32]]
    reference: Tensor
    mask: Tensor
    pose: Tensor | None
    reference_pose: Tensor | None
    weights: Tensor


class Batches(Dataset):
    """The micro-batches of a run by number; processes of a distributed run take different numbers."""

    def __init__(self, settings: TrainingSettings, source: ClipSource) -> None:
        self.settings, self.source = settings, source

    def __getitem__(self, number: int) -> Batch:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, number])
        frames = draw_frames(settings, rng)
        clips, aspect = self.source.draw(rng, settings.samples(frames))
        plan = plan_batch(settings, rng, frames, aspect)
        stage = settings.conditions_of_stage
        return collate(plan, [self._example(clip, plan, stage, rng) for clip in clips])

    def _example(self, number: int, plan: BatchPlan, stage: TrainingStage, rng: np.random.Generator) -> Example:
        first_frame, zoom = bool(rng.random() < stage.first_frame), bool(rng.random() < stage.zoom)
        # The cache must not change the random draws, or a continued run would differ from an uninterrupted one.
        clip = self.source.clip(
            number,
            width=plan.width,
            height=plan.height,
            frames=plan.frames,
            rng=rng,
            first_frame=first_frame,
            cached=not zoom,
        )
        if zoom:
            clip = zoomed(clip, rng)
        return make_example(clip, plan, stage, self.settings, self.source, rng)


def make_example(
    clip: TrainingClip,
    plan: BatchPlan,
    stage: TrainingStage,
    settings: TrainingSettings,
    source: ClipSource,
    rng: np.random.Generator,
) -> Example:
    """Make a sample of a clip: draw its mask and its changed face at random, and draw the poses as pictures."""
    own = clip.reference_pose.keypoints[0, 0]
    face_centred = bool(rng.random() < stage.mask)
    mask = reference_mask(own, plan.width, plan.height, rng, face_centred=face_centred, room=settings.face_room)
    known = ~mask[..., None]
    enhanced = enhance(clip.motion, source.pool, rng, probability=stage.change_pose, hide=stage.hide_face)
    pose = reference_pose = None
    if plan.dropped in ("nothing", "reference"):
        short = settings.pose_canvas_short_side
        pose = draw_motion(enhanced.motion, face=enhanced.face, head=enhanced.head, canvas_short_side=short)
        own_pose = draw_motion(clip.reference_pose, face="off", canvas_short_side=short)[0]
        reference_pose = own_pose * (known & stage.reference_pose)
    weights = region_weights(
        clip.motion.keypoints[:, 0], plan.height, plan.width, stage.region_weight, stage.body_weight
    )
    return Example(clip, clip.reference * known, mask, pose, reference_pose, weights)


def zoomed(clip: TrainingClip, rng: np.random.Generator) -> TrainingClip:
    """Enlarge a part of all pictures of a clip, the same in each, that includes the reference's face."""
    assert clip.frames is not None
    height, width = clip.reference.shape[:2]
    factor = rng.uniform(*ZOOM)
    wide, high = width / factor, height / factor
    face = face_box(clip.reference_pose.keypoints[0, 0])
    x, y = ((face.left + face.right) / 2, (face.top + face.bottom) / 2) if face else (width / 2, height / 2)
    left = float(np.clip(x - wide * rng.uniform(0.25, 0.75), 0, width - wide))
    top = float(np.clip(y - high * rng.uniform(0.25, 0.75), 0, height - high))
    shift = (-left * factor, -top * factor)
    # OpenCV puts the origin at a pixel's centre, keypoints at its corner: the same map, half a pixel apart.
    centre = (factor - 1) / 2
    matrix = np.array([[factor, 0, shift[0] + centre], [0, factor, shift[1] + centre]])

    def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size, edge = (width, height), cv2.BORDER_REPLICATE
        return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge), np.uint8)

    return replace(
        clip,
        frames=np.stack([enlarged(frame) for frame in clip.frames]),
        reference=enlarged(clip.reference),
        motion=moved(clip.motion, factor, shift),
        reference_pose=moved(clip.reference_pose, factor, shift),
        key=None,
    )


def moved(poses: PoseSequence, factor: float, shift: tuple[float, float]) -> PoseSequence:
    """Keypoints scaled and shifted on the same canvas; those that leave it get score 0."""
    points = poses.keypoints * np.array([factor, factor, 1.0]) + np.array([*shift, 0.0])
    inside = (points[..., 0] >= 0) & (points[..., 0] < poses.width)
    inside &= (points[..., 1] >= 0) & (points[..., 1] < poses.height)
    points[..., 2] *= inside
    return replace(poses, keypoints=points.astype(np.float32))


def collate(plan: BatchPlan, examples: list[Example]) -> Batch:
    """Stack samples of one plan."""

    def stacked(pictures: list[NDArray | None]) -> Tensor | None:
        there = [picture for picture in pictures if picture is not None]
        return torch.from_numpy(np.stack(there)) if there else None

    reference = torch.from_numpy(np.stack([example.reference[None] for example in examples]))
    mask = torch.from_numpy(np.stack([example.mask for example in examples]))[:, None, None]
    poses = stacked([example.pose for example in examples])
    reference_poses = stacked([example.reference_pose for example in examples])
    return Batch(
        plan,
        frames=[None if e.clip.frames is None else torch.from_numpy(e.clip.frames) for e in examples],
        latents=[None if e.clip.latents is None else torch.from_numpy(e.clip.latents) for e in examples],
        keys=[e.clip.key for e in examples],
        keypoints=[e.clip.motion.keypoints[:, 0] for e in examples],
        reference=reference,
        mask=mask,
        pose=poses,
        reference_pose=None if reference_poses is None else reference_poses[:, None],
        weights=torch.from_numpy(np.stack([e.weights for e in examples]))[:, None],
    )

"""Training samples from clips: masked reference, drawn poses, region weights.

A micro-batch depends on (seed, number) alone, whichever process makes it, so that a run continues exactly.
"""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.drawing import Face, draw_motion
from onetoall_cli.training.enhancement import enhance
from onetoall_cli.training.losses import region_weights
from onetoall_cli.training.masks import all_but, centre_box, face_centred_box, small_hole
from onetoall_cli.training.recipe import BatchPlan, TrainingSettings, draw_frames, plan_batch
from onetoall_cli.training.sources import ClipSource, TrainingClip, Window
from onetoall_cli.training.stages import TrainingStage

CLIP_ZOOM, PICTURE_ZOOM = 1.2, 1.3  # the most that one side of a pair is enlarged


@dataclass(frozen=True, eq=False)
class Example:
    """One sample, in pixels.

    Attributes:
        clip: The clip it was made of, whose frames or latents are the target.
        reference: The reference picture, uint8 (H, W, 3), black where unknown.
        mask: The unknown pixels, bool (H, W), True where unknown.
        pose: The drawn driving pose, uint8 (T, H, W, 3); None where no pose is given.
        reference_pose: The drawn reference pose, uint8 (H, W, 3), black where unknown; None likewise.
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
        clips, aspect = self.source.draw(rng, settings.samples(frames), frames)
        plan = plan_batch(settings, rng, frames, aspect)
        stage = settings.conditions_of_stage
        return collate(plan, [self._example(clip, plan, stage, rng) for clip in clips])

    def _example(self, number: int, plan: BatchPlan, stage: TrainingStage, rng: np.random.Generator) -> Example:
        first_frame, side = bool(rng.random() < stage.first_frame), draw_zoomed_side(stage, rng)
        # The cache must not change the random draws, or a continued run would differ from an uninterrupted one.
        window = Window(plan.width, plan.height, plan.frames, first_frame, cached=side != "clip")
        clip = self.source.clip(number, window, rng)
        if side:
            clip = zoomed(clip, side, rng.uniform(1, CLIP_ZOOM if plan.frames > 1 else PICTURE_ZOOM))
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
    mask = draw_mask(clip, plan, stage, settings, rng)
    known = ~mask[..., None]
    hidden = stage.hide_face if clip.has_driving_face else 1.0
    enhanced = enhance(clip.motion, source.pool, rng, probability=stage.change_pose, hide=hidden)
    own_face: Face = "full" if rng.random() < stage.reference_face else "off"
    pose = reference_pose = None
    if plan.has_pose:
        short = settings.pose_canvas_short_side
        pose = draw_motion(enhanced.motion, face=enhanced.face, head=enhanced.head, canvas_short_side=short)
        own_pose = draw_motion(clip.reference_pose, face=own_face, canvas_short_side=short)[0]
        reference_pose = own_pose * (known & stage.reference_pose)
    weights = region_weights(
        clip.motion.keypoints[:, 0],
        plan.height,
        plan.width,
        stage.region_weight,
        stage.body_weight,
        hands=stage.weigh_hands,
        ignored=clip.ignored,
    )
    return Example(clip, noisy(clip.reference, plan.reference_noise, rng) * known, mask, pose, reference_pose, weights)


def draw_mask(
    clip: TrainingClip, plan: BatchPlan, stage: TrainingStage, settings: TrainingSettings, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the unknown pixels of a reference, bool (H, W), True where unknown: all but a box, a small hole, or none.

    A picture without a usable face keeps its middle instead of a box around the face, a clip at most gets a hole.
    """
    width, height = plan.width, plan.height
    nothing = np.zeros((height, width), bool)
    if not plan.has_reference:
        return nothing
    is_picture = plan.frames == 1
    always = is_picture and stage.mask_pictures_always
    if clip.same_picture if always else rng.random() < stage.mask_where_given:
        own = clip.reference_pose.keypoints[0, 0]
        room, below = settings.face_room, settings.face_room_below
        box = face_centred_box(own, width, height, rng, room=room, room_below=below)
        if box is None and is_picture:
            box = centre_box(width, height)
        if box is not None:
            return all_but(box, width, height)
    elif always:
        return nothing
    return ~all_but(small_hole(width, height, rng), width, height) if rng.random() < stage.hole else nothing


def noisy(picture: NDArray[np.uint8], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture with Gaussian noise of deviation `sigma`, of values in [-1, 1]."""
    if not sigma:
        return picture
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(sigma * 127.5)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def draw_zoomed_side(stage: TrainingStage, rng: np.random.Generator) -> Literal["reference", "clip"] | None:
    """Which side of a pair is enlarged, so that the scales of reference and motion differ; mostly none."""
    if rng.random() >= stage.zoom:
        return None
    return "reference" if rng.random() < 0.5 else "clip"


def zoomed(clip: TrainingClip, side: Literal["reference", "clip"], factor: float) -> TrainingClip:
    """Enlarge the middle of the reference, or of all frames of a clip, with their keypoints."""
    height, width = clip.reference.shape[:2]
    # OpenCV puts the origin at a pixel's centre, keypoints at its corner: the same map, half a pixel apart.
    shift = ((1 - factor) * width / 2, (1 - factor) * height / 2)
    centre = (factor - 1) / 2
    matrix = np.array([[factor, 0, shift[0] + centre], [0, factor, shift[1] + centre]])

    def enlarged(picture: NDArray, method: int = cv2.INTER_LINEAR) -> NDArray[np.uint8]:
        edge = cv2.BORDER_REPLICATE
        warped = cv2.warpAffine(picture.astype(np.uint8), matrix, (width, height), flags=method, borderMode=edge)
        return np.asarray(warped, np.uint8)

    if side == "reference":
        pose = moved(clip.reference_pose, factor, shift)
        return replace(clip, reference=enlarged(clip.reference), reference_pose=pose)
    assert clip.frames is not None
    return replace(
        clip,
        frames=np.stack([enlarged(frame) for frame in clip.frames]),
        motion=moved(clip.motion, factor, shift),
        key=None,
        ignored=None if clip.ignored is None else enlarged(clip.ignored, cv2.INTER_NEAREST) > 0,
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

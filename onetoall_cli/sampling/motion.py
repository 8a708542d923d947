"""A whole motion: segment after segment, each continuing from the last frames of the one before.

Frames are yielded as they are decoded, so a job of any length holds four frames and the 5 carried ones.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onetoall_cli.alignment import Conditioning
from onetoall_cli.errors import OnetoallError
from onetoall_cli.lattice import CONTEXT_FRAMES, latent_shape
from onetoall_cli.model.pixels import to_tensor, to_uint8
from onetoall_cli.runtime.shortage import is_out_of_memory, release_memory
from onetoall_cli.runtime.vae import decode_frames
from onetoall_cli.sampling.guidance import Guidance, Scale
from onetoall_cli.sampling.parallel import LedPipeline
from onetoall_cli.sampling.pipeline import EncodedSubject, OneToAllPipeline, Picture
from onetoall_cli.sampling.segments import (
    MAX_SEGMENT_FRAMES,
    Segment,
    plan_segments,
)


@dataclass(frozen=True)
class SamplingSettings:
    """How to sample; the defaults are the released inference setting of the 1.3B.

    Attributes:
        num_inference_steps: Steps a segment.
        image_guidance_scale: G_ref.
        pose_guidance_scale: G_pose.
        max_segment_frames: Longest segment.
        seed: Of the noise; the same on every device.
        sigmas: Noise levels of the steps before the shift; None: the solver's own.
        guidance_interval, guidance_every: Where guidance is computed; see `Guidance.of_scales`. The defaults are exact.
        pooled_noise: Whether the noise is that of a picture twice as large, pooled: so a draft of half the size begins
            as the whole does.
    """

    num_inference_steps: int = 30
    image_guidance_scale: Scale = 2.5
    pose_guidance_scale: Scale = 1.5
    max_segment_frames: int = MAX_SEGMENT_FRAMES
    seed: int = 42
    sigmas: tuple[float, ...] | None = None
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_every: int = 1
    pooled_noise: bool = False

    @property
    def guidance(self) -> Guidance:
        """Which passes of the network run at which step of a segment; a new one each time."""
        scales = (self.image_guidance_scale, self.pose_guidance_scale)
        return Guidance.of_scales(*scales, self.num_inference_steps, self.guidance_interval, self.guidance_every)


@dataclass(frozen=True)
class SegmentState:
    """All that a segment needs of those before it: from here a run goes on as if it had never stopped.

    Attributes:
        index: The segment's number, from 0.
        carried: The 5 frames it continues, float32 (3, H, W) in [-1, 1] as they were decoded, unrounded (uint8
            (H, W, 3) where they come from a clip); None: there are none.
        noise: State of the generator that its noise is drawn from.
    """

    index: int
    carried: tuple[Picture, ...] | None
    noise: torch.Tensor


def first_state(seed: int, context_frames: Sequence[np.ndarray] | None = None) -> SegmentState:
    """Where a run begins; the arguments are those of `SamplingSettings` and `animate`."""
    carried = None if context_frames is None else tuple(context_frames)
    return SegmentState(0, carried, torch.Generator("cpu").manual_seed(seed).get_state())


def animate(
    pipeline: OneToAllPipeline | LedPipeline,
    conditioning: Conditioning,
    settings: SamplingSettings,
    prompt_embeds: torch.Tensor,
    negative_prompt_embeds: torch.Tensor,
    *,
    context_frames: Sequence[np.ndarray] | None = None,
    begin: SegmentState | None = None,
    on_step: Callable[[int, int], None] | None = None,
    on_segment: Callable[[SegmentState], None] | None = None,
    make_room: Callable[[int], None] | None = None,
) -> Iterator[np.ndarray]:
    """Generate every frame of `conditioning`'s motion that does not exist yet.

    Args:
        pipeline: On its device, in its dtype.
        conditioning: Aligned reference and motion.
        settings: How to sample.
        prompt_embeds, negative_prompt_embeds: (1, L, text_dim).
        context_frames: 5 frames that exist, uint8 (H, W, 3) each, shown by the first 5 poses of the motion; generation
            continues from them and does not yield them again.
        begin: Where to go on, from an earlier call of `on_segment`; frames before it are not yielded.
        on_step: Called after each step with (segment index, steps done in the segment).
        on_segment: Called with what the next segment needs, once all frames of a segment have been taken.
        make_room: Called with the segment's index when memory runs out, to make `pipeline` need less (see
            `sampling.refit`) or to raise. The segment is then tried once more, with the same noise, and goes on
            behind the frames it has yielded.

    Yields:
        Uint8 (H, W, 3), one frame of the motion after the other.

    Raises:
        OnetoallError: The network's or the VAE's numbers are no picture any more (NaN, or one colour all over).
    """
    total = len(conditioning.motion)
    plan = plan_segments(total, settings.max_segment_frames, has_context=context_frames is not None)
    state = begin or first_state(settings.seed, context_frames)
    noise_source = torch.Generator("cpu")
    noise_source.set_state(state.noise)

    @functools.cache
    def subject() -> EncodedSubject:
        reference = (conditioning.reference, conditioning.mask)
        passes = settings.guidance.all_passes()
        return pipeline.encode_subject(passes, *reference, prompt_embeds, negative_prompt_embeds)

    reference_pose = to_tensor(conditioning.reference_pose[None, None])
    for index, segment in enumerate(plan[state.index :], state.index):
        pose_video = _pose_video(conditioning, segment).to(pipeline.transformer.dtype)
        call = {
            "pose_video": pose_video,
            "reference_pose": reference_pose,
            "guidance": settings.guidance,
            "context_frames": state.carried,
            "latents": _noise(conditioning, segment, noise_source, settings.pooled_noise),
            "sigmas": settings.sigmas,
            "callback_on_step_end": _step_end(on_step, index),
        }
        shows_somebody = (pose_video[0].amax(dim=(0, 2, 3)) > -1).tolist()  # poses are drawn on black
        # the carried frames stay unrounded: rounding them to bytes at every join would add up
        last: deque[torch.Tensor] = deque(maxlen=CONTEXT_FRAMES)
        for number, frame in enumerate(_segment_frames(pipeline, subject, call, index, make_room)):
            last.append(frame)
            if segment.context <= number < total - segment.start:
                yield _picture(frame, segment.start + number, shows_somebody[number])
        state = SegmentState(index + 1, tuple(last), noise_source.get_state())
        if on_segment is not None:
            on_segment(state)


def _segment_frames(
    pipeline: OneToAllPipeline | LedPipeline,
    subject: "functools._lru_cache_wrapper[EncodedSubject]",
    call: Mapping[str, Any],
    index: int,
    make_room: Callable[[int], None] | None,
) -> Iterator[torch.Tensor]:
    """Every frame of a segment, float32 (3, H, W) on the CPU, as it is decoded; once more where memory runs out."""
    latents: torch.Tensor | None = None
    done = 0
    for room_can_be_made in (make_room is not None, False):
        try:
            if latents is None:
                latents = pipeline.generate(subject(), **call)
            for frame in itertools.islice(_decoded(pipeline, latents), done, None):
                yield frame
                done += 1
            return
        except Exception as error:
            if not room_can_be_made or not is_out_of_memory(error):
                raise
        # only now, as the error's traceback kept what the attempt had made
        release_memory()
        assert make_room is not None
        make_room(index)
        subject.cache_clear()  # the network may have another precision now


def _decoded(pipeline: OneToAllPipeline | LedPipeline, latents: torch.Tensor) -> Iterator[torch.Tensor]:
    for frames in decode_frames(pipeline.vae, latents):
        yield from frames[0].transpose(0, 1).cpu()  # (1, 3, t, H, W) -> t times (3, H, W)


def _pose_video(conditioning: Conditioning, segment: Segment) -> torch.Tensor:
    """The segment's drawn poses (1, 3, length, H, W) in [-1, 1]; the last pose is held past the motion's end."""
    drawn = conditioning.pose_frames(segment.start, min(segment.stop, len(conditioning.motion)))
    held = np.repeat(drawn[-1:], segment.length - len(drawn), axis=0)
    return to_tensor(np.concatenate([drawn, held])[None])


def _noise(conditioning: Conditioning, segment: Segment, generator: torch.Generator, pooled: bool) -> torch.Tensor:
    """The segment's noise, (1, 16, n, H/8, W/8)."""
    height, width = (side * (2 if pooled else 1) for side in conditioning.mask.shape)
    noise = torch.randn(1, 16, *latent_shape(segment.length, height, width), generator=generator)
    # the mean of four has half their deviation
    return 2 * torch.nn.functional.avg_pool3d(noise, (1, 2, 2)) if pooled else noise


def _step_end(on_step: Callable[[int, int], None] | None, segment: int) -> Callable[..., dict]:
    def after_step(pipeline: OneToAllPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        if not torch.isfinite(tensors["latents"]).all():  # no step brings them back
            raise _no_picture(f"After step {step + 1} of segment {segment + 1} the picture is NaN.")
        if on_step is not None:
            on_step(segment, step + 1)
        return {}

    return after_step


def _picture(frame: torch.Tensor, number: int, shows_somebody: bool) -> np.ndarray:
    """A decoded frame, float32 (3, H, W), as uint8 (H, W, 3).

    One colour all over is right only where nobody is to be seen, as when the person leaves a plain background.

    Raises:
        OnetoallError: It is NaN, or one colour though the pose drawn for it shows somebody.
    """
    if not torch.isfinite(frame).all():
        raise _no_picture(f"Frame {number} is NaN.")
    picture = to_uint8(frame[None])[0]
    if shows_somebody and (picture == picture[0, 0]).all():
        raise _no_picture(f"Frame {number} has one colour all over.")
    return picture


def _no_picture(problem: str) -> OnetoallError:
    advice = (
        "Try without --lora or with a lower weight, and with --dtype bfloat16 or float32 in place of float16; if that "
        "changes nothing, the model's files are damaged: fetch them again."
    )
    return OnetoallError(problem, advice)

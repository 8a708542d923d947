"""A whole motion: segment after segment, each continuing from the end of the one before.

Frames are yielded as they are decoded, so a job of any length holds four frames and what is carried.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onetoall_cli.alignment import Conditioning
from onetoall_cli.errors import OnetoallError
from onetoall_cli.lattice import CONTEXT_FRAMES, latent_frames, latent_shape
from onetoall_cli.model.pixels import to_tensor, to_uint8
from onetoall_cli.runtime.shortage import is_out_of_memory, release_memory
from onetoall_cli.sampling.carrying import Carried, Carry
from onetoall_cli.sampling.guidance import Guidance, Scale
from onetoall_cli.sampling.parallel import LedPipeline
from onetoall_cli.sampling.pipeline import EncodedSubject, OneToAllPipeline
from onetoall_cli.sampling.previews import Preview, Previewer
from onetoall_cli.sampling.segments import MAX_SEGMENT_FRAMES, Segment, plan_segments


@dataclass(frozen=True)
class SamplingSettings:
    """How to sample; the defaults are the released inference setting of the 1.3B.

    Attributes:
        num_inference_steps: Steps a segment.
        image_guidance_scale: G_ref.
        pose_guidance_scale: G_pose.
        max_segment_frames: Longest segment.
        overlap: Frames that a segment takes from the one before, 4k + 1 (as trained: 5).
        carry: How it takes them; the research code: "frames". With "none" it makes them anew, and they are dropped.
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
    overlap: int = CONTEXT_FRAMES
    carry: Carry = "toned"
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

    def segments(self, frames: int, *, has_context: bool = False) -> tuple[Segment, ...]:
        """How a motion of so many frames is cut; see `plan_segments`."""
        return plan_segments(frames, self.max_segment_frames, overlap=self.overlap, has_context=has_context)


@dataclass(frozen=True)
class SegmentState:
    """All that a segment needs of those before it: from here a run goes on as if it had never stopped.

    Attributes:
        index: The segment's number, from 0.
        carried: What it continues; None: nothing.
        noise: State of the generator that its noise is drawn from.
    """

    index: int
    carried: Carried | None
    noise: torch.Tensor


def first_state(seed: int, context_frames: Sequence[np.ndarray] | None = None) -> SegmentState:
    """Where a run begins; the arguments are those of `SamplingSettings` and `animate`."""
    carried = None
    if context_frames is not None:
        carried = Carried(frames=to_tensor(np.stack(context_frames)[None])[0].transpose(0, 1))
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
    on_preview: Callable[[Preview], None] | None = None,
    make_room: Callable[[int], None] | None = None,
) -> Iterator[np.ndarray]:
    """Generate every frame of `conditioning`'s motion that does not exist yet.

    Args:
        pipeline: On its device, in its dtype.
        conditioning: Aligned reference and motion.
        settings: How to sample.
        prompt_embeds, negative_prompt_embeds: (1, L, text_dim).
        context_frames: As many frames as the overlap that exist, uint8 (H, W, 3) each, shown by the first poses of the
            motion; generation continues from them and does not yield them again.
        begin: Where to go on, from an earlier call of `on_segment`; frames before it are not yielded.
        on_step: Called after each step with (segment index, steps done in the segment).
        on_preview: Called with pictures of what is being denoised, as often as `previews.SHARE` of the time allows.
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
    plan = settings.segments(total, has_context=context_frames is not None)
    state = begin or first_state(settings.seed, context_frames)
    noise_source = torch.Generator("cpu")
    noise_source.set_state(state.noise)

    @functools.cache
    def subject() -> EncodedSubject:
        reference = (conditioning.reference, conditioning.mask)
        passes = settings.guidance.all_passes()
        return pipeline.encode_subject(passes, *reference, prompt_embeds, negative_prompt_embeds)

    preview = None if on_preview is None else Previewer(on_preview)
    reference_pose = to_tensor(conditioning.reference_pose[None, None])
    for index, segment in enumerate(plan[state.index :], state.index):
        pose_video = _pose_video(conditioning, segment).to(pipeline.transformer.dtype)
        call = {
            "pose_video": pose_video,
            "reference_pose": reference_pose,
            "guidance": settings.guidance,
            **(state.carried.context() if state.carried else {}),
            "latents": _noise(conditioning, segment, noise_source, settings.pooled_noise),
            "sigmas": settings.sigmas,
            "callback_on_step_end": _step_end(on_step, preview, settings.num_inference_steps, index),
        }
        shows_somebody = (pose_video[0].amax(dim=(0, 2, 3)) > -1).tolist()  # poses are drawn on black
        # the carried frames stay unrounded: rounding them to bytes at every join would add up
        last: deque[torch.Tensor] = deque(maxlen=settings.overlap)
        run = _SegmentRun(pipeline, subject, call, index, make_room, _easing(state.carried, settings))
        for number, frame in enumerate(run.frames()):
            last.append(frame)
            if segment.context <= number < total - segment.start:
                yield _picture(frame, segment.start + number, shows_somebody[number])
        assert run.latents is not None
        state = SegmentState(index + 1, _end(run.latents, last, state.carried, settings), noise_source.get_state())
        if on_segment is not None:
            on_segment(state)


def _easing(carried: Carried | None, settings: SamplingSettings) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What a segment's latents go through before they are decoded; None: nothing."""
    if carried is None or settings.carry != "toned":
        return None
    return functools.partial(carried.eased, count=latent_frames(settings.overlap))


def _end(
    latents: torch.Tensor, frames: Iterable[torch.Tensor], before: Carried | None, settings: SamplingSettings
) -> Carried:
    """What the next segment begins with: the last of a segment's latents or frames."""
    if settings.carry == "none":
        return Carried()
    if settings.carry == "frames":
        return Carried(frames=torch.stack(list(frames)))
    count = latent_frames(settings.overlap)
    first = before.first_in(latents, count).cpu() if before is not None and settings.carry == "toned" else None
    return Carried(latents=latents[:, :, -count:].cpu(), first=first)


class _SegmentRun:
    """The making of one segment; once more where memory runs out.

    Attributes:
        latents: Once they are made, (1, 16, n, h, w).
    """

    def __init__(
        self,
        pipeline: OneToAllPipeline | LedPipeline,
        subject: "functools._lru_cache_wrapper[EncodedSubject]",
        call: Mapping[str, Any],
        index: int,
        make_room: Callable[[int], None] | None,
        easing: Callable[[torch.Tensor], torch.Tensor] | None,
    ) -> None:
        self._pipeline, self._subject, self._call = pipeline, subject, call
        self._index, self._make_room, self._easing = index, make_room, easing
        self.latents: torch.Tensor | None = None

    def frames(self) -> Iterator[torch.Tensor]:
        """Every frame, float32 (3, H, W) on the CPU, as it is decoded."""
        done = 0
        for room_can_be_made in (self._make_room is not None, False):
            try:
                if self.latents is None:
                    made = self._pipeline.generate(self._subject(), **self._call)
                    self.latents = made if self._easing is None else self._easing(made)
                for frame in itertools.islice(_decoded(self._pipeline, self.latents), done, None):
                    yield frame
                    done += 1
                return
            except Exception as error:
                if not room_can_be_made or not is_out_of_memory(error):
                    raise
            # only now, as the error's traceback kept what the attempt had made
            release_memory()
            assert self._make_room is not None
            self._make_room(self._index)
            self._subject.cache_clear()  # the network may have another precision now


def _decoded(pipeline: OneToAllPipeline | LedPipeline, latents: torch.Tensor) -> Iterator[torch.Tensor]:
    for frames in pipeline.decode(latents):
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


def _step_end(
    on_step: Callable[[int, int], None] | None, preview: Previewer | None, steps: int, segment: int
) -> Callable[..., dict]:
    def after_step(pipeline: OneToAllPipeline, step: int, timestep: torch.Tensor, tensors: dict) -> dict:
        if not torch.isfinite(tensors["latents"]).all():  # no step brings them back
            raise _no_picture(f"After step {step + 1} of segment {segment + 1} the picture is NaN.")
        if on_step is not None:
            on_step(segment, step + 1)
        if preview is not None:
            preview(pipeline.vae, tensors["clean"], segment, step + 1, steps)
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

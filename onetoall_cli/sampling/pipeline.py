"""`OneToAllPipeline`: a diffusers pipeline that generates one segment from its conditions.

The conditions are encoded once. Each step then takes a velocity from up to three passes of the network and does one
step of the rectified flow's solver. Latent context frames stay clean throughout (token replace).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image

from onetoall_cli.lattice import SIZE_MULTIPLE, is_clip_length, latent_shape
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.attention import Text
from onetoall_cli.model.pixels import to_uint8
from onetoall_cli.model.rotary import RotaryTables
from onetoall_cli.runtime.vae import decode_frames, encode
from onetoall_cli.sampling.guidance import Guidance, Pass, Scale
from onetoall_cli.sampling.parallel import ALONE, PassSharing
from onetoall_cli.sampling.solvers import Scheduler, start
from onetoall_cli.weights.text_encoder import encoded_rows

Picture = Image.Image | np.ndarray | torch.Tensor
StepEnd: TypeAlias = Callable[["OneToAllPipeline", int, torch.Tensor, dict], dict | None]


@dataclass
class OneToAllPipelineOutput(BaseOutput):
    """`frames`: the frames of one segment, in the form of the call's `output_type`."""

    frames: Any


@dataclass(frozen=True)
class EncodedSubject:
    """What is the same in every segment of a video, encoded: the reference and the prompts.

    Attributes:
        reference_latents: By `Pass.reference`, (1, 32, 1, h, w) each.
        prefix: By `Pass.reference`, (1, 16, 1, h, w) each.
        text: By `Pass.negative`, keys and values of each block's text attention.
    """

    reference_latents: dict[bool, torch.Tensor]
    prefix: dict[bool, torch.Tensor]
    text: dict[bool, tuple[Text, ...]]


@dataclass(frozen=True)
class _Conditions:
    """The network's encoded inputs besides the noise, constant over a segment's steps."""

    subject: EncodedSubject
    pose: torch.Tensor | None  # (1, tokens, width)
    rotary: RotaryTables
    context: torch.Tensor | None  # (1, 16, k, h, w)


class OneToAllPipeline(DiffusionPipeline):
    """Generates one segment of at most `4k + 1` frames (released setting: 81), or one picture.

    Args:
        vae: Wan2.1's causal video VAE.
        transformer: The One-to-All network.
        scheduler: Rectified flow, from `make_scheduler` (released inference setting: Euler, shift 7.0).
        text_encoder: UMT5; not needed where prompt embeddings are passed.
        tokenizer: The text encoder's.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _optional_components = ["text_encoder", "tokenizer"]  # noqa: RUF012 (diffusers' own convention)
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: OneToAllTransformer3DModel,
        scheduler: Scheduler,
        text_encoder: Any = None,
        tokenizer: Any = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            transformer=transformer,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.sharing: PassSharing = ALONE

    @torch.no_grad()
    def __call__(
        self,
        image: Picture,
        image_mask: Picture,
        pose_video: torch.Tensor,
        reference_pose: torch.Tensor,
        prompt: str = "",
        negative_prompt: str = "",
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 30,
        image_guidance_scale: Scale = 2.5,
        pose_guidance_scale: Scale = 1.5,
        context_frames: Sequence[Picture] | None = None,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepEnd | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        guidance_every: int = 1,
    ) -> OneToAllPipelineOutput | tuple[Any]:
        """Generate one segment.

        Args:
            image: Adjusted reference, H x W: RGB picture, uint8 array (H, W, 3), or tensor (3, H, W) in [-1, 1].
            image_mask: Mask, H x W, 1 (or white) where the reference is unknown.
            pose_video: Driving poses, (1, 3, T, H, W) in [-1, 1], T = 4k + 1.
            reference_pose: The reference's pose, (1, 3, 1, H, W) in [-1, 1].
            prompt, negative_prompt: Texts; they need the text encoder unless the embeddings are passed.
            height, width: Multiples of 16; by default the image's.
            num_inference_steps: Steps of the solver (released: 30, Euler).
            image_guidance_scale: The scale g_ref (released: 2.5 for 1.3B, 2.0 for 14B; paper: 1.5).
            pose_guidance_scale: The scale g_pose (released and paper: 1.5).
            context_frames: The pictures that the segment continues, 4k + 1 (as trained: 5); they become its first ones.
            generator: A generator on the CPU, so that the noise does not depend on the device.
            latents: Initial noise (1, 16, n, H/8, W/8), n = (T - 1) / 4 + 1, instead of drawing it.
            prompt_embeds, negative_prompt_embeds: Embeddings (1, L, text_dim), zero-padded as in training
                (to 512 rows for the released networks).
            output_type: "pil" (list of pictures), "pt" ((1, 3, T, H, W) in [-1, 1]) or "latent" ((1, 16, n, h, w),
                which `runtime.vae.decode_frames` decodes frame by frame).
            return_dict: Whether to return an output object instead of a tuple.
            callback_on_step_end: Called as `callback(pipeline, step, timestep, {"latents": ..., "clean": ...})`, the
                latter the estimate of the end before this step; it may return other latents.
            sigmas: Noise levels of the steps before the scheduler's shift; None takes its own.
            guidance_interval, guidance_every: See `Guidance.of_scales`. The defaults are exact.

        Raises:
            ValueError: A shape does not fit the others.
        """
        _check_inputs(image, height, width, pose_video, reference_pose, context_frames, output_type)
        scales = (image_guidance_scale, pose_guidance_scale)
        guidance = Guidance.of_scales(*scales, num_inference_steps, guidance_interval, guidance_every)
        needed = guidance.all_passes()
        negative = any(each.negative for each in needed)
        subject = self.encode_subject(
            needed,
            image,
            image_mask,
            self._embeds(prompt, prompt_embeds),
            self._embeds(negative_prompt, negative_prompt_embeds) if negative else None,
        )
        latents = self.generate(
            subject,
            pose_video,
            reference_pose,
            guidance,
            context_frames=context_frames,
            generator=generator,
            latents=latents,
            sigmas=sigmas,
            callback_on_step_end=callback_on_step_end,
        )
        frames: Any = latents
        if output_type != "latent":
            frames = torch.cat(list(self.decode(latents)), dim=2)
        if output_type == "pil":
            frames = [Image.fromarray(each) for each in to_uint8(frames[0].transpose(0, 1))]
        self.maybe_free_model_hooks()
        return OneToAllPipelineOutput(frames=frames) if return_dict else (frames,)

    @torch.no_grad()
    def generate(
        self,
        subject: EncodedSubject,
        pose_video: torch.Tensor,
        reference_pose: torch.Tensor,
        guidance: Guidance,
        *,
        context_frames: Sequence[Picture] | None = None,
        context_latents: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        sigmas: Sequence[float] | None = None,
        callback_on_step_end: StepEnd | None = None,
    ) -> torch.Tensor:
        """Generate one segment's latents (1, 16, n, h, w), which `runtime.vae.decode_frames` decodes.

        Args:
            subject: From `encode_subject`, for the passes of `guidance`.
            guidance: A new one, which steps of the segment run which passes.
            context_latents: Latents (1, 16, k + 1, h, w) that the segment continues, in place of `context_frames`.
            pose_video, reference_pose, context_frames, generator, latents, sigmas, callback_on_step_end: As in a call.

        Raises:
            ValueError: A shape does not fit the others.
        """
        network, device = self.transformer, self._execution_device
        length, height, width = pose_video.shape[2:]
        shape = latent_shape(length, height, width)
        if context_frames is not None:
            context_latents = self.encode_frames(_as_video(context_frames, height, width))
        poses = (pose_video.to(device, network.dtype), reference_pose.to(device, network.dtype))
        conditions = _Conditions(
            subject=subject,
            pose=network.encode_pose(*poses),
            rotary=network.rotary_tables(shape[0] + 1, *shape[1:]),
            context=None if context_latents is None else context_latents.to(device, torch.float32),
        )
        noise = self._initial_noise((1, self.vae.config.z_dim, *shape), latents, generator)
        return self._denoise(noise, conditions, guidance, sigmas, callback_on_step_end)

    def decode(self, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        """The frames of a segment, as `runtime.vae.decode_frames`."""
        return decode_frames(self.vae, latents)

    # -- conditions ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_subject(
        self,
        passes: Collection[Pass],
        image: Picture,
        image_mask: Picture,
        prompt_embeds: torch.Tensor,
        negative_prompt_embeds: torch.Tensor | None,
    ) -> EncodedSubject:
        """Encode what every segment of a video shares, as far as `passes` need it.

        Args:
            passes: From `Guidance.all_passes`.
            image, image_mask, prompt_embeds, negative_prompt_embeds: As in a call; the last may be None if no pass
                is negative.
        """
        network, device, dtype = self.transformer, self._execution_device, self.transformer.dtype
        chw = _as_chw(image)
        picture, mask = chw[None, :, None].float(), _mask_as_video(image_mask, *chw.shape[-2:])
        reference_latents, text = {}, {}
        if any(each.reference for each in passes):
            reference_latents[True] = torch.cat([self.encode_frames(picture), self.encode_frames(mask)], dim=1)
        if any(not each.reference for each in passes):
            black = self.encode_frames(torch.full_like(picture, -1))
            reference_latents[False] = torch.cat([black, black], dim=1)
        if negative_prompt_embeds is not None:
            text[True] = network.encode_text(negative_prompt_embeds.to(device, dtype))
        text[False] = network.encode_text(prompt_embeds.to(device, dtype))
        prefix = {known: network.encode_prefix(value) for known, value in reference_latents.items()}
        return EncodedSubject(reference_latents, prefix, text)

    def encode_prompt(self, prompt: str, max_sequence_length: int = 512) -> torch.Tensor:
        """Encode a prompt as (1, max_sequence_length, text_dim), zero after its true length, as in training."""
        rows = encoded_rows(prompt, self.tokenizer, self.text_encoder, max_sequence_length, self._execution_device)
        return torch.nn.functional.pad(rows, (0, 0, 0, max_sequence_length - rows.shape[1]))

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode (1, 3, T, H, W) in [-1, 1] to normalised latents (1, 16, n, H/8, W/8), the posterior's mode."""
        return encode(self.vae, frames.to(self._execution_device)).to(self.transformer.dtype)

    def _embeds(self, prompt: str, embeds: torch.Tensor | None) -> torch.Tensor:
        if embeds is not None:
            return embeds
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError("Without a text encoder, prompt_embeds and negative_prompt_embeds must be passed")
        return self.encode_prompt(prompt)

    # -- sampling -----------------------------------------------------------------------------------------------

    def _initial_noise(
        self, shape: tuple[int, ...], latents: torch.Tensor | None, generator: torch.Generator | None
    ) -> torch.Tensor:
        if latents is None:
            latents = torch.randn(shape, generator=generator, dtype=torch.float32)
        elif tuple(latents.shape) != shape:
            raise ValueError(f"latents have shape {tuple(latents.shape)}, the segment needs {shape}")
        return latents.to(self._execution_device, torch.float32)

    def _denoise(
        self,
        latents: torch.Tensor,
        conditions: _Conditions,
        guidance: Guidance,
        sigmas: Sequence[float] | None,
        callback: StepEnd | None,
    ) -> torch.Tensor:
        """Integrate the guided velocity from noise (t = 1000) to data (t = 0); latents stay float32."""
        if self.transformer.is_cache_enabled:
            self.transformer._reset_stateful_cache()
        context = conditions.context
        kept = _context_latents(context)
        latents = _with_context(latents, context)
        for step, timestep in enumerate(start(self.scheduler, guidance.steps, sigmas, latents.device)):
            before, velocity = latents, self._velocity(latents, timestep, step, conditions, guidance)
            # The solver gets only the generated frames, so that its history does not mix with the context.
            generated = self.scheduler.step(velocity[:, :, kept:], timestep, latents[:, :, kept:], return_dict=False)[0]
            latents = generated if context is None else torch.cat([context, generated], dim=2)
            if callback is not None:
                clean = before - timestep / 1000 * velocity  # along the straight line to data
                tensors = {"latents": latents, "clean": _with_context(clean, context)}
                latents = (callback(self, step, timestep, tensors) or {}).get("latents", latents)
        return latents

    def _velocity(
        self, latents: torch.Tensor, timestep: torch.Tensor, step: int, conditions: _Conditions, guidance: Guidance
    ) -> torch.Tensor:
        """The guided velocity (1, 16, n, h, w), float32. Passes with the same reference share its features."""
        network = self.transformer
        noisy = latents.to(network.dtype)
        timestep = timestep.expand(1)
        passes = guidance.passes(step)
        own = self.sharing.own(passes)
        features = {}
        for known in sorted({each.reference for each in own}):
            with network.cache_context(f"extractor {known}"):
                features[known] = network.extract_reference(
                    conditions.subject.reference_latents[known], timestep, conditions.rotary
                )
        velocities = {}
        for each in own:
            with network.cache_context(each.title):
                velocities[each] = network.denoise(
                    noisy,
                    timestep,
                    text=conditions.subject.text[each.negative],
                    reference_features=features[each.reference],
                    prefix=conditions.subject.prefix[each.reference],
                    pose=conditions.pose if each.pose else None,
                    num_context_frames=_context_latents(conditions.context),
                    rotary=conditions.rotary,
                )
        return guidance.combine(step, self.sharing.all(passes, velocities, noisy))


def _with_context(latents: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """Replace the first latent frames by the clean context (paper section "Token Replace")."""
    if context is None:
        return latents
    return torch.cat([context, latents[:, :, context.shape[2] :]], dim=2)


def _context_latents(context: torch.Tensor | None) -> int:
    return 0 if context is None else context.shape[2]


def _check_inputs(
    image: Picture,
    height: int | None,
    width: int | None,
    pose_video: torch.Tensor,
    reference_pose: torch.Tensor,
    context_frames: Sequence[Picture] | None,
    output_type: str,
) -> None:
    size = tuple(_as_chw(image).shape[-2:])
    height, width = height or size[0], width or size[1]
    if size != (height, width):
        raise ValueError(f"the image is {size}, the segment is {(height, width)}")
    if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise ValueError(f"height and width must be multiples of {SIZE_MULTIPLE}, not {height} x {width}")
    frames = pose_video.shape[2] if pose_video.ndim == 5 else 0
    if pose_video.shape != (1, 3, frames, height, width) or not is_clip_length(frames):
        raise ValueError(
            f"pose_video must be (1, 3, 4k + 1, {height}, {width}) like the image, not {tuple(pose_video.shape)}"
        )
    if reference_pose.shape != (1, 3, 1, height, width):
        raise ValueError(f"reference_pose must be (1, 3, 1, {height}, {width}), not {tuple(reference_pose.shape)}")
    if context_frames is not None and not (is_clip_length(len(context_frames)) and len(context_frames) < frames):
        raise ValueError("context_frames are 4k + 1 pictures, fewer than the segment's")
    if output_type not in ("pil", "pt", "latent"):
        raise ValueError(f"output_type is 'pil', 'pt' or 'latent', not {output_type!r}")


def _as_chw(picture: Picture) -> torch.Tensor:
    """A picture as float (3, H, W) in [-1, 1]."""
    if isinstance(picture, torch.Tensor):
        return picture.squeeze(0) if picture.ndim == 4 else picture
    array = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(f"a picture array must be uint8 (H, W, 3), not {array.dtype} {array.shape}")
    return torch.from_numpy(array.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)


def _as_video(pictures: Sequence[Picture], height: int, width: int) -> torch.Tensor:
    """Pictures as (1, 3, T, H, W) in [-1, 1]."""
    video = torch.stack([_as_chw(each) for each in pictures], dim=1).unsqueeze(0)
    if video.shape[-2:] != (height, width):
        raise ValueError(f"pictures are {tuple(video.shape[-2:])}, the segment is {(height, width)}")
    return video.float()


def _mask_as_video(mask: Picture, height: int, width: int) -> torch.Tensor:
    """The mask as a picture for the VAE: (1, 3, 1, H, W), 1 (white) where unknown, -1 elsewhere."""
    if isinstance(mask, Image.Image):
        mask = np.asarray(mask.convert("L"), dtype=np.float32) / 255
    values = torch.as_tensor(np.asarray(mask, dtype=np.float32))
    values = values.reshape(1, 1, 1, *values.shape[-2:])
    if values.shape[-2:] != (height, width):
        raise ValueError(f"the mask is {tuple(values.shape[-2:])}, the segment is {(height, width)}")
    if values.min() < 0 or values.max() > 1:
        raise ValueError("the mask must lie between 0 (known) and 1 (unknown)")
    return (values * 2 - 1).expand(1, 3, 1, height, width)

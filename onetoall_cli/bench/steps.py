"""The work that is timed: a denoising step of our and the plain network, and the other work of a segment."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.bench.long_video import long_video
from onetoall_cli.bench.networks import SegmentInputs
from onetoall_cli.bench.plain import PlainNetwork
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.sampling.guidance import FULL

Work = Callable[[], Any]
TIMESTEP = 500.0
ENCODED_PICTURES = 3  # reference, mask, black
VAE_WORKS = ("VAE encode", "VAE decode")


class PreparedSegment(NamedTuple):
    """Values that are computed once for a segment."""

    text: dict[bool, Any]
    prefix: dict[bool, torch.Tensor]
    pose: torch.Tensor
    rotary: Any


@torch.no_grad()
def prepare(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> PreparedSegment:
    """Compute our network's values for a segment."""
    _, _, n, h, w = inputs.latents.shape
    return PreparedSegment(
        text={negative: network.encode_text(text) for negative, text in inputs.texts.items()},
        prefix={known: network.encode_prefix(latents) for known, latents in inputs.references.items()},
        pose=network.encode_pose(inputs.pose_video, inputs.reference_pose),
        rotary=network.rotary_tables(n + 1, h, w),
    )


@torch.no_grad()
def our_step(network: OneToAllTransformer3DModel, inputs: SegmentInputs, segment: PreparedSegment) -> torch.Tensor:
    """One step's guided velocity as in `OneToAllPipeline`: the extractor once for each reference, then all passes."""
    features = {
        known: network.extract_reference(inputs.references[known], TIMESTEP, segment.rotary)
        for known in {each.reference for each in inputs.weights}
    }
    velocity = torch.zeros_like(inputs.latents, dtype=torch.float32)
    for each, weight in inputs.weights.items():
        velocity += weight * network.denoise(
            inputs.latents,
            TIMESTEP,
            text=segment.text[each.negative],
            reference_features=features[each.reference],
            prefix=segment.prefix[each.reference],
            rotary=segment.rotary,
            pose=segment.pose if each.pose else None,
            num_context_frames=inputs.context_frames,
        )
    return velocity


@torch.no_grad()
def plain_step(network: PlainNetwork, inputs: SegmentInputs) -> torch.Tensor:
    """The same velocity from independent runs of the plain network."""
    velocity = torch.zeros_like(inputs.latents, dtype=torch.float32)
    for each, weight in inputs.weights.items():
        black = -1.0
        velocity += weight * network(
            inputs.latents,
            TIMESTEP,
            inputs.texts[each.negative],
            inputs.references[each.reference],
            inputs.pose_video if each.pose else torch.full_like(inputs.pose_video, black),
            inputs.reference_pose if each.pose else torch.full_like(inputs.reference_pose, black),
            pose_scale=1.0 if each.pose else 0.0,
            num_context_frames=inputs.context_frames,
        )
    return velocity


def work(name: str, network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    """The work called `name`, one of `WORKS`, with its preparation already done."""
    return WORKS[name](network, inputs)


def _step(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    segment = prepare(network, inputs)
    return lambda: our_step(network, inputs, segment)


def _plain_step(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    plain = PlainNetwork(network)
    return lambda: plain_step(plain, inputs)


def _pass(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    return _step(network, replace(inputs, weights={FULL: 1.0}))


def _plain_pass(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    return _plain_step(network, replace(inputs, weights={FULL: 1.0}))


def _whole(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    return lambda: our_step(network, inputs, prepare(network, inputs))


def _pose_encoder(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    return torch.no_grad()(lambda: network.encode_pose(inputs.pose_video, inputs.reference_pose))


def _plain_pose_encoder(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    plain = PlainNetwork(network)
    return torch.no_grad()(lambda: [plain._encode_pose(each) for each in (inputs.reference_pose, inputs.pose_video)])


def _text(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    return torch.no_grad()(lambda: [network.encode_text(text) for text in inputs.texts.values()])


def _long_video(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    *_, frames, height, width = inputs.pose_video.shape
    return long_video(network, width, height, frames)


def vae_work(name: str, vae: AutoencoderKLWan, inputs: SegmentInputs) -> Work:
    """The work called `name`, one of `VAE_WORKS`: all of a segment's pictures or frames."""
    if name == "VAE decode":
        latents = inputs.latents.to(vae.dtype)
        return torch.no_grad()(lambda: vae.decode(latents))
    picture = inputs.reference_pose.to(vae.dtype)
    return torch.no_grad()(lambda: [vae.encode(picture) for _ in range(ENCODED_PICTURES)])


def _extractor(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> Work:
    rotary = network.rotary_tables(2, *inputs.latents.shape[3:])
    return torch.no_grad()(lambda: network.extract_reference(inputs.references[True], TIMESTEP, rotary))


WORKS: dict[str, Callable[[OneToAllTransformer3DModel, SegmentInputs], Work]] = {
    "step": _step,
    "plain step": _plain_step,
    "pass": _pass,
    "plain pass": _plain_pass,
    "preparation and step": _whole,
    "pose encoder": _pose_encoder,
    "plain pose encoder": _plain_pose_encoder,
    "text keys": _text,
    "reference extractor": _extractor,
    "long video": _long_video,
}

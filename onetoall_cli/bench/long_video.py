"""A long video of random input in segments, to show that memory does not grow with its length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.alignment import Conditioning
from onetoall_cli.bench.networks import GUIDANCE, PROMPT_TOKENS
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.pose import PoseSequence
from onetoall_cli.sampling import OneToAllPipeline, SamplingSettings, animate
from onetoall_cli.sampling.solvers import make_scheduler

SEGMENT_FRAMES = 13  # short, so that twenty segments stay cheap


def long_video(network: OneToAllTransformer3DModel, width: int, height: int, frames: int) -> Callable[[], Any]:
    """A function that animates `frames` frames in segments of two steps, with a small random VAE, and drops them."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1)
    pipeline = OneToAllPipeline(
        vae=vae.to(network.device, network.dtype), transformer=network, scheduler=make_scheduler("euler", 7.0)
    )
    pipeline.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(0)
    keypoints = np.ones((frames, 1, 133, 3), np.float32)
    keypoints[..., :2] = rng.uniform(0, (width, height), (frames, 1, 133, 2))
    reference = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    conditioning = Conditioning(
        reference,
        np.zeros((height, width), bool),
        np.zeros_like(reference),
        PoseSequence(keypoints, width, height, fps=16),
        face="full",
        head="full",
        canvas_short_side=height,
        meta={},
    )
    settings = SamplingSettings(
        num_inference_steps=2,
        image_guidance_scale=GUIDANCE[0],
        pose_guidance_scale=GUIDANCE[1],
        max_segment_frames=SEGMENT_FRAMES,
    )
    embeds = [torch.randn(1, PROMPT_TOKENS[True], network.config["text_dim"]) for _ in range(2)]

    def generate() -> int:
        return sum(1 for _ in animate(pipeline, conditioning, settings, *embeds))

    return generate

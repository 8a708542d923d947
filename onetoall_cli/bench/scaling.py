"""How time and memory grow: with the frames of a segment, with the resolution, and with the length of the video."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from onetoall_cli.bench.measure import BenchJob, Measurement, measure
from onetoall_cli.bench.networks import GUIDANCE, PROMPT_TOKENS
from onetoall_cli.lattice import CONTEXT_FRAMES
from onetoall_cli.model import OneToAllTransformer3DModel

FRAMES = (17, 33, 49, 65, 81)
SIDES = (128, 192, 256, 320)  # pixels, of square pictures
SEGMENTS = (1, 2, 5, 10, 20)
SEGMENT_FRAMES = 13  # of the long videos: as short as makes sense, so that twenty segments stay cheap
LONG_SIDE = 64


@dataclass(frozen=True)
class Point:
    """One measured point of a series: ours, and plain where the series compares."""

    series: str
    value: int
    ours: Measurement
    plain: Measurement | None


def series(base: BenchJob) -> Iterator[tuple[str, int, BenchJob]]:
    """The jobs of all three series: name, value and our job. `base` gives the network, device, dtype and repeats."""
    for frames in FRAMES:
        yield "frames", frames, replace(base, work="step", width=128, height=128, frames=frames)
    for side in SIDES:
        yield "side", side, replace(base, work="step", width=side, height=side, frames=17)
    for segments in SEGMENTS:
        frames = segments * (SEGMENT_FRAMES - CONTEXT_FRAMES) + CONTEXT_FRAMES
        yield (
            "segments",
            segments,
            replace(base, work="long video", width=LONG_SIDE, height=LONG_SIDE, frames=frames, repeats=1),
        )


def run_series(base: BenchJob, *, progress: Callable[[str], None] = lambda name: None) -> list[Point]:
    """Measure every series."""
    points = []
    for name, value, job in series(base):
        progress(f"{name} {value}")
        plain = measure(replace(job, work="plain step")) if job.work == "step" else None
        points.append(Point(name, value, measure(job), plain))
    return points


def long_video(network: OneToAllTransformer3DModel, width: int, height: int, frames: int) -> Callable[[], Any]:
    """Animate `frames` frames segment by segment, two steps each, with a small random VAE; frames are thrown away."""
    from diffusers import AutoencoderKLWan

    from onetoall_cli.align import Conditioning
    from onetoall_cli.pose import PoseSequence
    from onetoall_cli.sampling import OneToAllPipeline, SamplingSettings, animate
    from onetoall_cli.sampling.solvers import make_scheduler

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

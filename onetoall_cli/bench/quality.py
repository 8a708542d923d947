"""What each approximation costs and gains: the same inputs sampled exactly and approximately, and compared."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onetoall_cli.align import Conditioning
from onetoall_cli.evaluation.cases import make_case
from onetoall_cli.evaluation.metrics import psnr, ssim
from onetoall_cli.evaluation.subjects import Subject
from onetoall_cli.lattice import floored
from onetoall_cli.sampling import OneToAllPipeline
from onetoall_cli.sampling.guidance import Guidance, guidance_weights
from onetoall_cli.sampling.kernels import compile_blocks
from onetoall_cli.sampling.presets import FAST, Approximation

EXACT, COMPILED = "exact", "--compile"
SEED = 42


@dataclass(frozen=True)
class Quality:
    """One way to sample, beside the exact one.

    Attributes:
        name: Of the way.
        network_runs: Passes of the network a segment; with a cache, of which some are skipped.
        seconds: For all inputs together, from conditions to frames.
        denoising: The part of them spent in denoising steps; the rest (VAE, pose encoder, drawing) is always exact.
        speed: How many times faster the denoising is than the exact one's.
        psnr, ssim: Of its frames against the exact ones (dB; 1 is equal), the mean over the inputs.
        worst_psnr: The worst input's.
    """

    name: str
    network_runs: int
    seconds: float
    denoising: float
    speed: float
    psnr: float
    worst_psnr: float
    ssim: float


class TimedPipeline(OneToAllPipeline):
    """The pipeline, with the seconds it spent in denoising steps added up in `denoising_seconds`."""

    denoising_seconds = 0.0

    def _denoise(self, latents: torch.Tensor, *arguments: Any) -> torch.Tensor:
        started = time.perf_counter()
        denoised = super()._denoise(latents, *arguments)
        if denoised.is_cuda:
            torch.cuda.synchronize(denoised.device)
        self.denoising_seconds += time.perf_counter() - started
        return denoised


def approximations(steps: int) -> dict[str, Approximation]:
    """What is compared for a model that takes `steps` steps: the presets, and each of their means alone."""
    fewer = max(2, round(0.4 * steps))
    return {
        EXACT: FAST["off"],
        **{f"--fast {name}": value for name, value in FAST.items() if name != "off"},
        "--guidance-every 2": Approximation(guidance_every=2),
        "--guidance-interval 0.1-0.8": Approximation(guidance_interval=(0.1, 0.8)),
        "--cache first-block": Approximation(cache="first-block"),
        "--cache taylor --cache-strength 3": Approximation(cache="taylor", cache_strength=3),
        f"--steps {fewer}": Approximation(steps=fewer),
        f"--sampler unipc --steps {fewer}": Approximation(sampler="unipc", steps=fewer),
        f"--sampler dpm++ --steps {fewer}": Approximation(sampler="dpm++", steps=fewer),
    }


def held_out_inputs(subject: Subject, count: int, frames: int) -> list[Conditioning]:
    """`count` puppets that no model was trained on, as `evaluate` makes them: same framing and another in turn."""
    side = floored(subject.defaults.short_side)
    return [
        make_case(
            ("aligned", "misaligned")[number % 2],  # type: ignore[arg-type]
            "test",
            number,
            width=side,
            height=side,
            frames=frames,
            canvas_short_side=subject.defaults.pose_canvas_short_side,
            face=subject.face,
        ).conditioning
        for number in range(count)
    ]


def compare(
    subject: Subject,
    inputs: Sequence[Conditioning],
    ways: dict[str, Approximation],
    *,
    compiled: bool = False,
    progress: Callable[[str], None] = lambda name: None,
) -> list[Quality]:
    """Sample every input in every way, the exact one first.

    Args:
        subject: The model.
        inputs: What to animate.
        ways: By name; must hold `EXACT`.
        compiled: Last of all, compile the network's blocks, which stay so, and sample exactly once more.
        progress: Called with a way's name before it is run.

    Raises:
        BadInput: nothing can be compiled here.
    """
    pipeline = TimedPipeline(**subject.pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    subject = replace(subject, pipeline=pipeline)
    runs: dict[str, _Run] = {}
    _sampled(subject, inputs[:1], replace(ways[EXACT], steps=1))  # the first call pays for warming up
    for name, way in {EXACT: ways[EXACT], **ways}.items():
        progress(name)
        runs[name] = _timed(subject, inputs, way, pipeline)
    if compiled:
        progress(COMPILED)
        compile_blocks(pipeline.transformer)
        _sampled(subject, inputs, replace(ways[EXACT], steps=1))  # compiles for every size and kind of pass
        runs[COMPILED] = _timed(subject, inputs, ways[EXACT], pipeline)
    FAST["off"].set_up(subject.pipeline, subject.defaults.shift)
    return [_judged(name, run, runs[EXACT]) for name, run in runs.items()]


@dataclass(frozen=True, eq=False)
class _Run:
    frames: list[NDArray[np.uint8]]
    network_runs: int
    seconds: float
    denoising: float


def _timed(subject: Subject, inputs: Sequence[Conditioning], way: Approximation, pipeline: TimedPipeline) -> _Run:
    pipeline.denoising_seconds = 0.0
    started = time.perf_counter()
    frames = _sampled(subject, inputs, way)
    seconds = time.perf_counter() - started
    return _Run(frames, _guidance(subject, way).network_runs(), seconds, pipeline.denoising_seconds)


def _judged(name: str, run: _Run, exact: _Run) -> Quality:
    likeness = [psnr(made, true) for made, true in zip(run.frames, exact.frames, strict=True)]
    return Quality(
        name=name,
        network_runs=run.network_runs,
        seconds=run.seconds,
        denoising=run.denoising,
        speed=exact.denoising / run.denoising,
        psnr=float(np.mean(likeness)),
        worst_psnr=min(likeness),
        ssim=float(np.mean([ssim(made, true) for made, true in zip(run.frames, exact.frames, strict=True)])),
    )


def _sampled(subject: Subject, inputs: Sequence[Conditioning], way: Approximation) -> list[NDArray[np.uint8]]:
    """The frames of each input, uint8 (T, H, W, 3)."""
    way.set_up(subject.pipeline, subject.defaults.shift)
    settings = replace(
        subject.sampling,
        num_inference_steps=way.steps or subject.sampling.num_inference_steps,
        guidance_interval=way.guidance_interval,
        guidance_every=way.guidance_every,
    )
    sampler = replace(subject, sampling=settings)
    return [sampler.animate(each, seed=SEED, segment_frames=settings.max_segment_frames) for each in inputs]


def _guidance(subject: Subject, way: Approximation) -> Guidance:
    sampling = subject.sampling
    weights = guidance_weights(sampling.image_guidance_scale, sampling.pose_guidance_scale)
    steps = way.steps or sampling.num_inference_steps
    return Guidance(weights, steps, way.guidance_interval, way.guidance_every)

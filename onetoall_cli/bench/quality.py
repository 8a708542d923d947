"""Speed and error of each approximation: the same inputs are sampled exactly and approximately."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.animator import Animator, Settings
from onetoall_cli.evaluation.metrics import psnr, ssim
from onetoall_cli.evaluation.puppets.cases import Case, make_case
from onetoall_cli.lattice import floored
from onetoall_cli.sampling import OneToAllPipeline
from onetoall_cli.sampling.kernels import compile_blocks
from onetoall_cli.sampling.presets import FAST

EXACT, COMPILED = "exact", "--compile"
SEED = 42


@dataclass(frozen=True)
class Quality:
    """The result of one way to sample, compared with the exact way.

    Attributes:
        name: Name of the way.
        network_runs: Passes of the network in a segment, before a cache skips some.
        seconds: Time for all inputs together, from conditions to frames.
        denoising: Seconds of that in denoising steps; the rest (VAE, pose encoder, drawing) is always exact.
        speed: Time of the exact way's denoising over that of this way.
        psnr, ssim: Mean PSNR in dB and mean SSIM of its frames against the exact ones.
        worst_psnr: The lowest PSNR of an input.
    """

    name: str
    network_runs: int
    seconds: float
    denoising: float
    speed: float
    psnr: float
    worst_psnr: float
    ssim: float


class DenoisingTimer:
    """Adds up a pipeline's seconds in denoising steps."""

    def __init__(self, pipeline: OneToAllPipeline) -> None:
        self.seconds = 0.0
        self._denoise = pipeline._denoise
        pipeline._denoise = self._timed  # type: ignore[method-assign, assignment]

    def _timed(self, latents: torch.Tensor, *arguments: Any) -> torch.Tensor:
        started = time.perf_counter()
        denoised = self._denoise(latents, *arguments)
        if denoised.is_cuda:
            torch.cuda.synchronize(denoised.device)
        self.seconds += time.perf_counter() - started
        return denoised


def approximations(steps: int) -> dict[str, dict[str, object]]:
    """The ways to compare for a model of `steps` steps: the presets, and single approximations.

    Each is named by its command-line options, and holds the changed settings.
    """
    fewer = max(2, round(0.4 * steps))
    return {
        EXACT: {},
        **{f"--fast {name}": {"fast": name} for name in FAST if name != "off"},
        "--guidance-every 2": {"guidance_every": 2},
        "--guidance-interval 0.1-0.8": {"guidance_interval": "0.1-0.8"},
        "--cache first-block": {"cache": "first-block"},
        "--cache taylor --cache-strength 3": {"cache": "taylor", "cache_strength": 3.0},
        f"--steps {fewer}": {"steps": fewer},
        f"--sampler unipc --steps {fewer}": {"sampler": "unipc", "steps": fewer},
        f"--sampler dpm++ --steps {fewer}": {"sampler": "dpm++", "steps": fewer},
    }


def held_out_case(subject: Animator, number: int, frames: int, short_side: int | None = None) -> Case:
    """A held-out puppet as in `evaluate`, square: aligned and misaligned ones in turn; None: the model's short side."""
    side = floored(short_side or subject.defaults.short_side)
    return make_case(
        "misaligned" if number % 2 else "aligned",
        "test",
        number,
        width=side,
        height=side,
        frames=frames,
        canvas_short_side=subject.defaults.pose_canvas_short_side,
        face=subject.defaults.face,
    )


def held_out_inputs(subject: Animator, count: int, frames: int) -> list[Conditioning]:
    """What the first `count` held-out puppets give a model."""
    return [held_out_case(subject, number, frames).conditioning for number in range(count)]


def compare(
    subject: Animator,
    inputs: Sequence[Conditioning],
    ways: Mapping[str, Mapping[str, object]],
    *,
    settings: Settings = Settings(),
    compiled: bool = False,
    progress: Callable[[str], None] = lambda name: None,
) -> list[Quality]:
    """Sample every input in every way, the exact one first.

    Args:
        subject: The model.
        inputs: What to animate.
        ways: Changed settings by name, `EXACT` included.
        settings: Common settings of all ways.
        compiled: Whether to compile the network's blocks at the end (they stay compiled) and sample exactly again.
        progress: Called with a way's name before it runs.

    Raises:
        BadInput: This machine cannot compile.
    """
    common = settings.changed(seed=SEED)
    # The first call loads the model and warms up.
    _sampled(subject, inputs[:1], common.changed(**{**ways[EXACT], "steps": 1}))
    timer = DenoisingTimer(subject.engine.pipeline)
    runs: dict[str, _Run] = {}
    for name, way in {EXACT: ways[EXACT], **ways}.items():
        progress(name)
        runs[name] = _timed(subject, inputs, common.changed(**way), timer)
    if compiled:
        progress(COMPILED)
        compile_blocks(subject.engine.pipeline.transformer)
        # This compiles for every size and kind of pass.
        _sampled(subject, inputs, common.changed(**{**ways[EXACT], "steps": 1}))
        runs[COMPILED] = _timed(subject, inputs, common.changed(**ways[EXACT]), timer)
    return [_judged(name, run, runs[EXACT]) for name, run in runs.items()]


@dataclass(frozen=True, eq=False)
class _Run:
    frames: list[NDArray[np.uint8]]
    network_runs: int
    seconds: float
    denoising: float


def _timed(subject: Animator, inputs: Sequence[Conditioning], settings: Settings, timer: DenoisingTimer) -> _Run:
    timer.seconds = 0.0
    started = time.perf_counter()
    frames = _sampled(subject, inputs, settings)
    seconds = time.perf_counter() - started
    return _Run(frames, subject.resolved(settings).guidance.network_runs(), seconds, timer.seconds)


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


def _sampled(subject: Animator, inputs: Sequence[Conditioning], settings: Settings) -> list[NDArray[np.uint8]]:
    """The frames of each input, uint8 (T, H, W, 3)."""
    return [np.stack(list(subject.animate(each, settings=settings))) for each in inputs]

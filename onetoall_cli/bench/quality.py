"""What each approximation costs and gains: the same inputs sampled exactly and approximately, and compared."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.animator import Animator, Settings
from onetoall_cli.evaluation.cases import make_case
from onetoall_cli.evaluation.metrics import psnr, ssim
from onetoall_cli.lattice import floored
from onetoall_cli.sampling import OneToAllPipeline
from onetoall_cli.sampling.kernels import compile_blocks
from onetoall_cli.sampling.presets import FAST

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


class DenoisingTimer:
    """Adds up the seconds that a pipeline spends in denoising steps."""

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
    """What is compared for a model that takes `steps` steps: the presets, and each of their means alone.

    Each is called as a user would ask for it, and holds the settings that are changed.
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


def held_out_inputs(subject: Animator, count: int, frames: int) -> list[Conditioning]:
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
            face=subject.defaults.face,
        ).conditioning
        for number in range(count)
    ]


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
        ways: By name the settings that are changed; must hold `EXACT`.
        settings: What all ways have in common.
        compiled: Last of all, compile the network's blocks, which stay so, and sample exactly once more.
        progress: Called with a way's name before it is run.

    Raises:
        BadInput: Nothing can be compiled here.
    """
    common = settings.changed(seed=SEED)
    # the first call pays for loading and warming up
    _sampled(subject, inputs[:1], common.changed(**{**ways[EXACT], "steps": 1}))
    timer = DenoisingTimer(subject.pipeline)
    runs: dict[str, _Run] = {}
    for name, way in {EXACT: ways[EXACT], **ways}.items():
        progress(name)
        runs[name] = _timed(subject, inputs, common.changed(**way), timer)
    if compiled:
        progress(COMPILED)
        compile_blocks(subject.pipeline.transformer)
        # compiles for every size and kind of pass
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

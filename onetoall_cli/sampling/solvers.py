"""Solvers of the flow's differential equation: the released Euler, and multistep ones that need fewer steps.

All are diffusers' schedulers on the same flow times; only how a step uses earlier velocities differs.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

Scheduler: TypeAlias = FlowMatchEulerDiscreteScheduler | UniPCMultistepScheduler | DPMSolverMultistepScheduler

SAMPLERS = ("euler", "unipc", "dpm++")

MAX_SIGMA = 1 - 1e-6  # multistep solvers work with log((1 - sigma) / sigma); the same bound as diffusers' own


def make_scheduler(sampler: str, shift: float) -> Scheduler:
    """The solver called `sampler`, one of `SAMPLERS`.

    Args:
        sampler: "euler" (released), "unipc" (Zhao et al. 2023, Wan's own choice) or "dpm++" (Lu et al. 2022), the
            latter two of second order.
        shift: Timestep shift; larger spends more steps near pure noise. Released: 7.0.
    """
    if sampler == "euler":
        return FlowMatchEulerDiscreteScheduler(shift=shift)
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": shift}
    if sampler == "unipc":
        return UniPCMultistepScheduler(**flow)
    if sampler == "dpm++":
        return DPMSolverMultistepScheduler(**flow)
    raise ValueError(f"{sampler!r} is none of {', '.join(SAMPLERS)}")


def even_sigmas(steps: int) -> tuple[float, ...]:
    """Noise levels 1, 1 - 1/steps ... before the shift: for 4 steps 1, 0.75, 0.5, 0.25.

    Step-distilled Wan models were trained for these levels (LightX2V's `denoising_step_list` [1000, 750, 500, 250]).
    Euler's default levels go down to nearly 0, where they spend the last step.
    """
    return tuple(1 - step / steps for step in range(steps))


def start(
    scheduler: Scheduler, steps: int, sigmas: Sequence[float] | None = None, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Prepare a scheduler for its steps.

    Every solver gets Euler's flow times. With their own times the multistep schedulers end with one long step of first
    order, which at the released shift loses more than the higher order of the other steps gains.

    Args:
        scheduler: From `make_scheduler`.
        steps: Number of steps.
        sigmas: A noise level for each step before the shift, falling from 1; None takes Euler's own.
        device: Device of the times.

    Returns:
        The flow times of the steps, float32 (steps,) on the scale 0..1000.
    """
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        scheduler.set_timesteps(steps, sigmas=None if sigmas is None else list(sigmas), device=device)
        return scheduler.timesteps
    euler = FlowMatchEulerDiscreteScheduler(shift=scheduler.config.flow_shift)
    times = start(euler, steps, sigmas, device)
    scheduler.set_timesteps(steps, device=device)
    scheduler.sigmas = euler.sigmas.cpu().clamp(max=MAX_SIGMA)
    scheduler.timesteps = times
    return times

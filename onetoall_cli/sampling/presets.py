"""Faster but approximate ways to sample, by name: the choices of `--fast` and `bench`."""

from dataclasses import dataclass

from onetoall_cli.sampling.caching import enable_cache
from onetoall_cli.sampling.pipeline import OneToAllPipeline
from onetoall_cli.sampling.solvers import make_scheduler


@dataclass(frozen=True)
class Approximation:
    """Settings that differ from the released sampling; the defaults do not.

    Attributes:
        sampler: One of `solvers.SAMPLERS`.
        guidance_interval, guidance_every: See `Guidance`.
        cache, cache_strength: See `enable_cache`.
        steps: Number of steps; None keeps the model's own.
    """

    sampler: str = "euler"
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_every: int = 1
    cache: str = "none"
    cache_strength: float | None = None
    steps: int | None = None

    def set_up(self, pipeline: OneToAllPipeline, shift: float) -> None:
        """Set a pipeline's solver and cache; the other settings are arguments of its call."""
        pipeline.scheduler = make_scheduler(self.sampler, shift)
        enable_cache(pipeline.transformer, self.cache, self.cache_strength)


# The choices of `--fast`. `onetoall bench --quality` measures them.
FAST = {
    "off": Approximation(),
    "guidance": Approximation(guidance_every=3),
    "steps": Approximation(cache="taylor", cache_strength=2),
    "both": Approximation(guidance_every=2, cache="taylor", cache_strength=3),
}

# With fewer steps than these each does too much to be reused or extrapolated: at `tiny`'s own six, "both" is 21.6 dB
# from the exact frames of a real clip, "guidance" 20.5 dB, "steps" 24.4 dB.
FEW_STEPS = 12
# What every choice of `--fast` then stands for: the last steps, which change little, go without guidance. 33.5 dB.
FAST_FEW = Approximation(guidance_interval=(0.0, 0.7))


def fast_way(choice: str, steps: int) -> Approximation:
    """What a choice of `--fast` stands for with so many steps."""
    return FAST[choice] if choice == "off" or steps >= FEW_STEPS else FAST_FEW

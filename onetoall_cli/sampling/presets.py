"""Ways to sample faster than exactly, each by its name and what it gives up: what `--fast` and `bench` choose from."""

from dataclasses import dataclass

from onetoall_cli.sampling.caching import enable_cache
from onetoall_cli.sampling.pipeline import OneToAllPipeline
from onetoall_cli.sampling.solvers import make_scheduler


@dataclass(frozen=True)
class Approximation:
    """How a run departs from the released one; the defaults do not.

    Attributes:
        sampler: One of `solvers.SAMPLERS`.
        guidance_interval, guidance_every: See `Guidance`.
        cache, cache_strength: See `enable_cache`.
        steps: Instead of the model's own number; None keeps it.
    """

    sampler: str = "euler"
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_every: int = 1
    cache: str = "none"
    cache_strength: float | None = None
    steps: int | None = None

    def set_up(self, pipeline: OneToAllPipeline, shift: float) -> None:
        """Give a pipeline the solver and the cache; the rest are arguments of its call."""
        pipeline.scheduler = make_scheduler(self.sampler, shift)
        enable_cache(pipeline.transformer, self.cache, self.cache_strength)


# `--fast`: what is measured of them is in README's table, by `onetoall bench --quality`.
FAST = {
    "off": Approximation(),
    "guidance": Approximation(guidance_every=3),
    "steps": Approximation(cache="taylor", cache_strength=2),
    "both": Approximation(guidance_every=2, cache="taylor", cache_strength=3),
}

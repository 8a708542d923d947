"""Step caches: diffusers' hooks that skip most of the network at steps where its output changes little.

Each pass of a step has a cache of its own (`cache_context` in the pipeline); every segment starts with empty caches.
"""

import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

from onetoall_cli.model import OneToAllTransformer3DModel

CACHES = ("none", "first-block", "taylor")

# The relative change of the first block's output below which the other blocks are skipped.
FIRST_BLOCK_THRESHOLD = 0.1
# A pass is computed at the first steps and then at every n-th; in between, its output is extrapolated linearly.
TAYLOR_INTERVAL = 2
TAYLOR_WARM_UP = 3

# Modules whose outputs TaylorSeer replaces by zeros at extrapolated steps: those that only feed the output head.
_SKIPPED = [r"blocks\.\d+", "pose_refiner", "reference_extractor"]
_EXTRAPOLATED = ["output_head"]


def enable_cache(network: OneToAllTransformer3DModel, cache: str, strength: float | None = None) -> None:
    """Enable the step cache called `cache`, one of `CACHES`, and disable any other.

    Args:
        network: The network. Compile its blocks afterwards, not before.
        cache: "first-block" skips a pass's blocks while the first one's output stays nearly the same; "taylor"
            extrapolates a pass's output between computed steps.
        strength: "first-block": the largest relative change that is ignored (default 0.1; larger is faster).
            "taylor": the interval between computed steps (default 2).
    """
    if network.is_cache_enabled:
        network.disable_cache()
    if cache == "first-block":
        threshold = FIRST_BLOCK_THRESHOLD if strength is None else strength
        network.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    elif cache == "taylor":
        interval = TAYLOR_INTERVAL if strength is None else round(strength)
        network.enable_cache(
            TaylorSeerCacheConfig(
                cache_interval=interval,
                disable_cache_before_step=TAYLOR_WARM_UP,
                max_order=1,
                taylor_factors_dtype=torch.float32,
                skip_predict_identifiers=_SKIPPED,
                cache_identifiers=_EXTRAPOLATED,
            )
        )
    elif cache != "none":
        raise ValueError(f"{cache!r} is none of {', '.join(CACHES)}")

"""Step caches: diffusers' hooks that skip most of the network at steps where it would change little.

Each of a step's passes keeps a cache of its own (`cache_context`, see the pipeline), and every segment starts empty.
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

# What TaylorSeer replaces by zeros at extrapolated steps: everything whose output only feeds the output head.
_SKIPPED = [r"blocks\.\d+", "pose_refiner", "reference_extractor"]
_EXTRAPOLATED = ["output_head"]


def enable_cache(network: OneToAllTransformer3DModel, cache: str, strength: float | None = None) -> None:
    """Switch on the step cache called `cache`, one of `CACHES`, and any other off.

    Args:
        network: The network; compile its blocks afterwards, not before.
        cache: "first-block" skips a pass's blocks while the first one's output stays nearly the same; "taylor"
            extrapolates a pass's output between computed steps.
        strength: "first-block": the relative change that is ignored (larger is faster; 0.1). "taylor": how many
            steps one computed step stands for (2).
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

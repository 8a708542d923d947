"""Frechet distances between two sets of feature vectors, and bootstrap intervals of means."""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST = 5  # values for an interval: of fewer, resampling only gives back the smallest and the largest


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """The squared Frechet distance of the normal distributions through two sets of vectors, (n, d) and (m, d).

    |mean a - mean b|^2 + tr(A + B - 2 (A B)^1/2) with covariances over n - 1. The trace of the root is the sum of the
    singular values of R_a R_b^T, where R^T R is a covariance. So no root of a singular matrix is taken, which makes
    the distance exact also for fewer vectors than dimensions.

    Raises:
        ValueError: A set has fewer than two vectors.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("a covariance needs two vectors")
    apart = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    root_a, root_b = _root_of_covariance(a), _root_of_covariance(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return float(apart @ apart + np.square(root_a).sum() + np.square(root_b).sum() - 2 * shared)


def _root_of_covariance(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """R (min(n, d), d) with R^T R the covariance of the vectors (n, d)."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    return np.linalg.qr(centred, mode="r") / np.sqrt(len(vectors) - 1)


def confidence(values: NDArray[np.float64]) -> tuple[float, float]:
    """The interval in which the mean lies with a probability of `LEVEL`: percentiles of bootstrap means.

    Args:
        values: One for each clip; NaN (nothing to measure) is left out.

    Returns:
        Lower and upper end; NaN for fewer than `FEWEST` values.
    """
    values = values[~np.isnan(values)]
    if len(values) < FEWEST:
        return float("nan"), float("nan")
    chosen = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[chosen].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

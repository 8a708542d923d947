"""Takes the jitter out of detected motion without slowing it down.

The One-Euro filter's idea (Casiez et al., CHI 2012: the faster a point moves, the less it is smoothed) with hindsight:
all frames of a clip are known, so each position is a line fitted through past and future frames alike. A causal
filter lags behind by its window; this one cannot, and a line, unlike a mean, does not lag at the clip's ends either.
The weight of a neighbour falls off exponentially with time, faster where the point moves fast, and is proportional to
its score.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.pose.gaps import by_visit, steady_sight
from onetoall_cli.pose.sequence import PoseSequence
from onetoall_cli.pose.swaps import undo_swaps

# Chosen on the real clips of the tests: jitter of resting joints falls 3 to 9 times, a 3 Hz wrist keeps its course to
# within 0.5 % of the body's size. Speeds are in body sizes (diagonal of the body's box) a second.
REST_CUTOFF = 2.0  # Hz, for a point at rest
REST_SPEED = 0.8  # up to here a point counts as resting: jitter, swaying
CUTOFF_PER_SPEED = 12.0  # Hz more for each body size a second beyond that
SPEED_CUTOFF = 6.0  # Hz, of the fit that measures the speed
SCORE_CUTOFF = 2.0  # Hz, for the scores, which are brightness in the picture

_AT_ONCE = 500  # frames, so that a long visit takes no more memory
_FORGOTTEN = 3.0  # seconds: weights have then decayed to e^-37, which no sum in double precision shows


def smooth(sequence: PoseSequence) -> PoseSequence:
    """Smooth every keypoint in time, on the real clock where the frame rate varies.

    Also undoes swaps of left and right (`swaps`), steadies what is seen (hysteresis on the scores) and bridges gaps of
    up to 0.4 s: see `gaps.steady_sight`.
    The result scales and mirrors with the input, and reversing time reverses it.
    """
    if len(sequence) == 1:
        return sequence
    return by_visit(sequence, _smooth_visit)


def _smooth_visit(visit: PoseSequence) -> PoseSequence:
    """One person, who is there nearly all the time."""
    steady = steady_sight(undo_swaps(visit)[0])
    (size,) = steady.body_sizes()
    if not size > 0:
        return steady
    keypoints, clock = steady.keypoints[:, 0], steady.clock()
    smoothed = np.empty_like(keypoints)
    for start in range(0, len(clock), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(clock))
        first = int(np.searchsorted(clock, clock[start] - _FORGOTTEN))
        last = int(np.searchsorted(clock, clock[stop - 1] + _FORGOTTEN, side="right"))
        around = _smooth_points(keypoints[first:last], np.diff(clock[first:last]), float(size))
        smoothed[start:stop] = around[start - first : stop - first]
    return replace(steady, keypoints=smoothed[:, None])


def _smooth_points(keypoints: NDArray[np.float32], steps: NDArray[np.float64], size: float) -> NDArray[np.float32]:
    """Keypoints (frames, n, 3) of one person of this size in pixels, smoothed; `steps` (frames - 1,) are seconds."""
    scores = keypoints[..., 2].astype(np.float64)
    positions = keypoints[..., :2].astype(np.float64)

    _, velocity = _fit_lines(positions, scores, _decay(np.full(scores[1:].shape, SPEED_CUTOFF), steps), steps)
    speed = np.linalg.norm(velocity, axis=-1) / size
    speed = np.maximum(speed[:-1], speed[1:])  # between two frames, (frames - 1, n)
    cutoff = REST_CUTOFF + CUTOFF_PER_SPEED * np.maximum(speed - REST_SPEED, 0)
    fitted, _ = _fit_lines(positions, scores, _decay(cutoff, steps), steps)

    seen = scores > 0
    weights = seen.astype(np.float64)
    even = _decay(np.full(cutoff.shape, SCORE_CUTOFF), steps)
    result = np.where(seen[..., None], np.concatenate([fitted, _means(scores, weights, even)], axis=-1), keypoints)
    return result.astype(np.float32)


def _decay(cutoff: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight left after each step of time for a first-order low-pass of `cutoff` Hz, (frames - 1, points)."""
    return np.exp(-2 * np.pi * cutoff * steps[:, None])


def _fit_lines(
    values: NDArray[np.float64], weights: NDArray[np.float64], decay: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Around every frame, the weighted least-squares line through all frames.

    Args:
        values: (frames, points, channels).
        weights: (frames, points): how much each sample counts; 0 not at all.
        decay: (frames - 1, points): how much of a sample's weight gets across each step.
        steps: (frames - 1,) seconds.

    Returns:
        Value and slope (per second) of the line at each frame, (frames, points, channels).
    """
    samples = weights[..., None] * np.concatenate([np.ones_like(values[..., :1]), values], axis=-1)
    past = _moments(samples, decay, steps)
    future = _moments(samples[::-1], decay[::-1], steps[::-1])
    zeroth = past[0] + samples + future[0][::-1]
    first = past[1] - future[1][::-1]  # time runs backwards in the second pass
    second = past[2] + future[2][::-1]

    mass = np.maximum(zeroth[..., :1], np.finfo(np.float64).tiny)
    mean, offset = zeroth[..., 1:] / mass, first[..., :1] / mass
    spread = second[..., None] / mass - offset**2  # variance of time, s^2
    slope = np.where(spread > 1e-12, (first[..., 1:] / mass - offset * mean) / np.maximum(spread, 1e-12), 0)
    return mean - slope * offset, slope


def _moments(
    samples: NDArray[np.float64], decay: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sums over all earlier samples of sample, sample x time and weight x time^2, with time 0 at each frame.

    `samples` (frames, points, 1 + channels) are weight x (1, values); each sum comes from the frame before by moving
    the origin of time, letting the weights decay, and adding one sample.
    """
    zeroth, first = np.zeros_like(samples), np.zeros_like(samples)
    second = np.zeros(samples.shape[:2])
    for i, (step, kept) in enumerate(zip(steps, decay, strict=True)):
        total = zeroth[i] + samples[i]
        zeroth[i + 1] = kept[:, None] * total
        first[i + 1] = kept[:, None] * (first[i] - step * total)
        second[i + 1] = kept * (second[i] - 2 * step * first[i, :, 0] + step**2 * total[:, 0])
    return zeroth, first, second


def _means(
    values: NDArray[np.float64], weights: NDArray[np.float64], decay: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The weighted mean around every frame, (frames, points, 1): within the range of the values, as scores must be."""
    samples = weights[..., None] * np.stack([np.ones_like(values), values], axis=-1)
    still = np.zeros(len(decay))
    total = _moments(samples, decay, still)[0] + samples + _moments(samples[::-1], decay[::-1], still)[0][::-1]
    return total[..., 1:] / np.maximum(total[..., :1], np.finfo(np.float64).tiny)

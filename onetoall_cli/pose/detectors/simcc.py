"""Keypoints from SimCC outputs (RTMPose): one score per column and one per row of a finer grid.

Source: Li et al., "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation", ECCV 2022.
"""

import numpy as np
from numpy.typing import NDArray


def decode_simcc(
    columns: NDArray[np.float32], rows: NDArray[np.float32], split: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Where both axes peak.

    Args:
        columns: (n, k, width * split) scores along x.
        rows: (n, k, height * split) scores along y.
        split: Grid steps to an input pixel.

    Returns:
        Points (n, k, 2), x and y in input pixels, and scores (n, k): the lower of the two peaks, 0..1 (the network's
        values overshoot 1). Where that is not positive, the score is 0 and the point of no meaning.
    """
    points = np.stack([columns.argmax(axis=-1), rows.argmax(axis=-1)], axis=-1) / split
    scores = np.minimum(columns.max(axis=-1), rows.max(axis=-1))
    return points, scores.clip(0.0, 1.0)

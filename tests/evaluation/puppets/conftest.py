"""What the evaluation's tests share: one misaligned test puppet with everything that is known about it."""

import pytest

from onetoall_cli.pose import keypoints as kp


@pytest.fixture(scope="session")
def case():
    from onetoall_cli.evaluation.puppets.cases import make_case

    return make_case("misaligned", "test", 3, width=128, height=192, frames=5, canvas_short_side=256)


@pytest.fixture(scope="session")
def legless(case):
    """The truth of `case` with nothing but backdrop below the knees, uint8 (T, H, W, 3)."""
    frames = case.truth.frames.copy()
    low = int(case.truth.poses.keypoints[:, 0, kp.LEFT_KNEE, 1].mean())
    frames[:, low:] = case.backdrop[low:]
    return frames

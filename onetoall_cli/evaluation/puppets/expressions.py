"""How much of the driver's expression reaches a result: the same dance with a face that moves, and with one at rest."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.animator import Animator, Settings
from onetoall_cli.evaluation.puppets.baselines import through_vae
from onetoall_cli.evaluation.puppets.cases import Case
from onetoall_cli.evaluation.puppets.scores import Scores
from onetoall_cli.evaluation.puppets.segment_borders import generate
from onetoall_cli.puppets import Pair

GENERATED = 2  # results for a puppet
_SEEN = 8  # of 255: change of a pixel's colour that is seen
_LEAST_SEEN = 50  # values of a clip that mouth and eyes change; where there are fewer, nobody sees the face


def at_rest(pair: Pair) -> Pair:
    """A pair whose driver has the same motion, and a face that does not move."""
    motion = pair.target.motion
    resting = replace(motion, expression=np.zeros_like(motion.expression))
    return replace(pair, target=replace(pair.target, motion=resting))


def measure_expression(
    subject: Animator, moving: Case, resting: Case, settings: Settings, *, seed: int, segment_frames: int
) -> Scores:
    """Generate both with the same noise, so that they differ by what the face's landmarks did.

    Args:
        subject: The model.
        moving, resting: Cases of a pair, and of the same pair `at_rest`.
        settings: How to sample.
        seed: Seed of the noise.
        segment_frames: Frames of a segment, 4k + 1.

    Returns:
        `result`: the part of what mouth and eyes do in the truth that they do in the result; 1 is all of it, 0 nothing.
        `vae`: the same of the truth through the VAE. NaN where the face is hardly seen.
    """
    made, still = (generate(subject, case.conditioning, settings, seed, segment_frames) for case in (moving, resting))
    coded, coded_still = (through_vae(case.truth.frames, subject.engine.vae) for case in (moving, resting))
    true = moving.truth.frames.astype(np.float32) - resting.truth.frames
    return {"result": part_of_change(made, still, true), "vae": part_of_change(coded, coded_still, true)}


def part_of_change(changed: NDArray[np.uint8], unchanged: NDArray[np.uint8], true: NDArray[np.float32]) -> float:
    """The slope of a change over the true one, where that is seen; pictures and changes (T, H, W, 3), 0..255."""
    seen = np.abs(true) > _SEEN
    if seen.sum() < _LEAST_SEEN:
        return float("nan")
    change = changed.astype(np.float32) - unchanged
    return float((change * true)[seen].sum() / np.square(true)[seen].sum())

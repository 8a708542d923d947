"""Token replace, measured: what changes where a segment meets the next, with the carried frames and without them."""

from dataclasses import replace

import numpy as np

from onetoall_cli.align import Conditioning
from onetoall_cli.evaluation.cases import Case
from onetoall_cli.evaluation.metrics import border_ratio
from onetoall_cli.evaluation.scores import Scores
from onetoall_cli.evaluation.subjects import Subject
from onetoall_cli.sampling import CONTEXT_FRAMES, plan_segments

SEGMENTS = 3
GENERATED = 2 * SEGMENTS - 1  # segments a puppet takes, with and without carried frames


def joined_length(segment_frames: int) -> int:
    """Frames of a motion that takes SEGMENTS whole segments."""
    return segment_frames + (SEGMENTS - 1) * (segment_frames - CONTEXT_FRAMES)


def measure_joins(subject: Subject, case: Case, *, seed: int, segment_frames: int) -> Scores:
    """Generate a case's motion in segments and compare the changes at their borders with those inside.

    Returns:
        `token_replace` and `independent`: the border ratio (see `metrics.border_ratio`) with segments that continue
        each other, and with segments that know nothing of each other. `truth`: that of the true pictures, in which a
        border is nothing special: what the motion alone does. `relative`: the first over that.
    """
    plan = plan_segments(len(case.truth), segment_frames)
    borders = [segment.start + segment.context for segment in plan[1:]]
    carried = subject.animate(case.conditioning, seed=seed, segment_frames=segment_frames)
    alone = [carried[: borders[0]]]  # the first segment continues nothing in either case
    for number, (start, stop) in enumerate(zip(borders, [*borders[1:], len(case.truth)], strict=True)):
        part = _part(case.conditioning, start, stop)
        alone.append(subject.animate(part, seed=seed + 1000 * (number + 1), segment_frames=segment_frames))
    ratio, true_ratio = border_ratio(carried, borders), border_ratio(case.truth.frames, borders)
    return {
        "token_replace": ratio,
        "independent": border_ratio(np.concatenate(alone), borders),
        "truth": true_ratio,
        "relative": ratio / true_ratio,
    }


def _part(conditioning: Conditioning, start: int, stop: int) -> Conditioning:
    """The same with some frames of the motion only."""
    return replace(conditioning, motion=conditioning.motion[start:stop])

"""Token replace, measured: what changes where a segment meets the next, with the carried frames and without them."""

from dataclasses import replace

import numpy as np

from onetoall_cli.align import Conditioning
from onetoall_cli.evaluation.cases import Case
from onetoall_cli.evaluation.metrics import border_ratio
from onetoall_cli.evaluation.scores import Scores
from onetoall_cli.evaluation.subjects import Subject
from onetoall_cli.runtime.decoding import TEMPORAL_STRIDE
from onetoall_cli.sampling import CONTEXT_FRAMES, plan_segments

SEGMENTS = 3
GENERATED = 2 * SEGMENTS - 1  # segments a puppet takes, with and without carried frames


def joined_length(segment_frames: int) -> int:
    """Frames of a motion that takes SEGMENTS whole segments."""
    return segment_frames + (SEGMENTS - 1) * (segment_frames - CONTEXT_FRAMES)


def measure_joins(subject: Subject, case: Case, *, seed: int, segment_frames: int) -> Scores:
    """Generate a case's motion in segments and compare the changes at their borders with those inside.

    Returns:
        `token_replace`, `independent` and `truth`: the border ratio (see `metrics.border_ratio`) with segments that
        continue each other, with segments that know nothing of each other, and of the true pictures, in which a border
        is nothing special. `token_replace_latent` and `independent_latent`: compared only with the changes from one
        latent frame to the next. A border is one of those, and a VAE may move things mostly there.
    """
    plan = plan_segments(len(case.truth), segment_frames)
    borders = [segment.start + segment.context for segment in plan[1:]]
    carried = subject.animate(case.conditioning, seed=seed, segment_frames=segment_frames)
    alone = [carried[: borders[0]]]  # the first segment continues nothing in either case
    starts = _latent_starts(0, borders[0])
    for number, (start, stop) in enumerate(zip(borders, [*borders[1:], len(case.truth)], strict=True)):
        part = _part(case.conditioning, start, stop)
        alone.append(subject.animate(part, seed=seed + 1000 * (number + 1), segment_frames=segment_frames))
        starts += _latent_starts(start, stop)
    unjoined = np.concatenate(alone)
    return {
        "token_replace": border_ratio(carried, borders),
        "independent": border_ratio(unjoined, borders),
        "truth": border_ratio(case.truth.frames, borders),
        "token_replace_latent": border_ratio(carried, borders, _latent_starts(0, len(carried))),
        "independent_latent": border_ratio(unjoined, borders, starts),
    }


def _latent_starts(start: int, stop: int) -> list[int]:
    """First frames of the latent frames but the first, of what was made in one piece from `start` on.

    Segments that continue each other are as good as one piece: the carried frames are a latent frame and one more.
    """
    return list(range(start + 1, stop, TEMPORAL_STRIDE))


def _part(conditioning: Conditioning, start: int, stop: int) -> Conditioning:
    """The same with some frames of the motion only."""
    return replace(conditioning, motion=conditioning.motion[start:stop])

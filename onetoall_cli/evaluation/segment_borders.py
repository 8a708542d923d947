"""Token replace, measured: what changes where a segment meets the next, with the carried frames and without them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.animator import Animator, Settings
from onetoall_cli.evaluation.baselines import through_vae
from onetoall_cli.evaluation.cases import Case
from onetoall_cli.evaluation.metrics import border_ratio
from onetoall_cli.evaluation.scores import Scores
from onetoall_cli.lattice import CONTEXT_FRAMES, TEMPORAL_STRIDE
from onetoall_cli.sampling import plan_segments

SEGMENTS = 3
GENERATED = 2 * SEGMENTS - 1  # segments a puppet takes, with and without carried frames


def joined_length(segment_frames: int) -> int:
    """Frames of a motion that takes SEGMENTS whole segments."""
    return segment_frames + (SEGMENTS - 1) * (segment_frames - CONTEXT_FRAMES)


def made_by(
    subject: Animator, conditioning: Conditioning, settings: Settings, seed: int, segment_frames: int
) -> NDArray[np.uint8]:
    """What a model makes of `conditioning`, uint8 (T, H, W, 3), in segments of at most `segment_frames` (4k + 1)."""
    return np.stack(list(subject.animate(conditioning, settings=settings, seed=seed, segment_frames=segment_frames)))


def measure_joins(subject: Animator, case: Case, settings: Settings, *, seed: int, segment_frames: int) -> Scores:
    """Generate a stretch of a case's motion in segments and compare the changes at their borders with those inside.

    Args:
        case: Of at least `joined_length` frames. Where the stretch begins is drawn by `seed`: borders at fixed frames
            of a dance would always meet the same part of a move.

    Returns:
        The border ratio (see `metrics.border_ratio`) of four films: `replace`, of segments that continue each other;
        `without`, of segments that know nothing of each other; `vae` and `truth`, the true pictures encoded and
        decoded, and as they are. A border is nothing special in these two. The same again, called `replace_latent`
        and so on, against the changes from one latent frame to the next only. A border is one of those, and a VAE may
        move things mostly there.
    """
    length = joined_length(segment_frames)
    first = drawn_start(len(case.truth), length, seed)
    conditioning = _part(case.conditioning, first, first + length)
    truth = case.truth.frames[first : first + length]
    borders = [segment.start + segment.context for segment in plan_segments(length, segment_frames)[1:]]
    carried = made_by(subject, conditioning, settings, seed, segment_frames)
    alone = [carried[: borders[0]]]  # the first segment continues nothing in either case
    starts = _latent_starts(0, borders[0])
    for number, (start, stop) in enumerate(zip(borders, [*borders[1:], length], strict=True)):
        part = _part(conditioning, start, stop)
        alone.append(made_by(subject, part, settings, seed + 1000 * (number + 1), segment_frames))
        starts += _latent_starts(start, stop)
    one_piece = _latent_starts(0, length)
    films = {
        "replace": (carried, one_piece),
        "without": (np.concatenate(alone), starts),
        "vae": (through_vae(truth, subject.vae), one_piece),
        "truth": (truth, one_piece),
    }
    over_all = {name: border_ratio(film, borders) for name, (film, _) in films.items()}
    return over_all | {f"{name}_latent": border_ratio(film, borders, each) for name, (film, each) in films.items()}


def drawn_start(frames: int, length: int, seed: int) -> int:
    """Where a stretch of `length` frames begins among `frames`."""
    return int(np.random.default_rng(seed).integers(frames - length + 1))


def _latent_starts(start: int, stop: int) -> list[int]:
    """First frames of the latent frames but the first, of what was made in one piece from `start` on.

    Segments that continue each other are as good as one piece: the carried frames are a latent frame and one more.
    """
    return list(range(start + 1, stop, TEMPORAL_STRIDE))


def _part(conditioning: Conditioning, start: int, stop: int) -> Conditioning:
    """The same with some frames of the motion only."""
    return replace(conditioning, motion=conditioning.motion[start:stop])

"""Effect of token replace: the change at segment borders, with and without frames carried over."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.animator import Animator, Settings
from onetoall_cli.evaluation.metrics import border_ratio
from onetoall_cli.evaluation.puppets.baselines import through_vae
from onetoall_cli.evaluation.puppets.cases import Case
from onetoall_cli.evaluation.puppets.scores import Scores
from onetoall_cli.lattice import CONTEXT_FRAMES, TEMPORAL_STRIDE
from onetoall_cli.sampling import plan_segments

SEGMENTS = 3
GENERATED = 2 * SEGMENTS - 1  # segments generated for a puppet: all with carried frames, all but the first without


def motion_length(segment_frames: int) -> int:
    """Frames of a motion that fills SEGMENTS whole segments."""
    return segment_frames + (SEGMENTS - 1) * (segment_frames - CONTEXT_FRAMES)


def generate(
    subject: Animator, conditioning: Conditioning, settings: Settings, seed: int, segment_frames: int
) -> NDArray[np.uint8]:
    """Animate `conditioning` in segments of at most `segment_frames` (4k + 1): uint8 (T, H, W, 3)."""
    return np.stack(list(subject.animate(conditioning, settings=settings, seed=seed, segment_frames=segment_frames)))


def measure_borders(subject: Animator, case: Case, settings: Settings, *, seed: int, segment_frames: int) -> Scores:
    """Generate part of a case's motion in segments, and compare the changes at their borders with those inside.

    Args:
        subject: The model.
        case: A case of at least `motion_length` frames.
        settings: How to sample.
        seed: Seed of the noise, and of where the part begins: at a fixed frame, borders would always meet the same part
            of a move.
        segment_frames: Frames of a segment, 4k + 1.

    Returns:
        The border ratio (see `metrics.border_ratio`) of four films: `replace`, whose segments continue each other;
        `without`, whose segments are independent; `vae` and `truth`, the true pictures with and without the VAE, for
        which a border is a frame like any other. `replace_latent` and so on compare only with the changes from one
        latent frame to the next: a border is one of those, and a VAE may move things mostly there.
    """
    length = motion_length(segment_frames)
    first = random_start(len(case.truth), length, seed)
    conditioning = _cut(case.conditioning, first, first + length)
    truth = case.truth.frames[first : first + length]
    borders = [segment.start + segment.context for segment in plan_segments(length, segment_frames)[1:]]
    carried = generate(subject, conditioning, settings, seed, segment_frames)
    alone = [carried[: borders[0]]]  # the first segment is the same in both
    starts = _latent_starts(0, borders[0])
    for number, (start, stop) in enumerate(zip(borders, [*borders[1:], length], strict=True)):
        own = _cut(conditioning, start, stop)
        alone.append(generate(subject, own, settings, seed + 1000 * (number + 1), segment_frames))
        starts += _latent_starts(start, stop)
    one_piece = _latent_starts(0, length)
    films = {
        "replace": (carried, one_piece),
        "without": (np.concatenate(alone), starts),
        "vae": (through_vae(truth, subject.engine.vae), one_piece),
        "truth": (truth, one_piece),
    }
    over_all = {name: border_ratio(film, borders) for name, (film, _) in films.items()}
    return over_all | {f"{name}_latent": border_ratio(film, borders, each) for name, (film, each) in films.items()}


def random_start(frames: int, length: int, seed: int) -> int:
    """A random start of `length` frames among `frames`."""
    return int(np.random.default_rng(seed).integers(frames - length + 1))


def _latent_starts(start: int, stop: int) -> list[int]:
    """First frames of all latent frames but the first, for frames `start` to `stop` generated in one piece.

    This holds for segments that continue each other too: the carried frames are one latent frame and one frame more.
    """
    return list(range(start + 1, stop, TEMPORAL_STRIDE))


def _cut(conditioning: Conditioning, start: int, stop: int) -> Conditioning:
    """The conditioning with only some frames of its motion."""
    return replace(conditioning, motion=conditioning.motion[start:stop])

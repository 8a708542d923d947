"""Results measured against their truth, frame by frame: constant memory however long the clips are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.pairs.clip_features import ClipFeatures
from onetoall_cli.evaluation.pairs.frechet import confidence, frechet_distance
from onetoall_cli.evaluation.pairs.metrics import METRICS, Instruments, Kind
from onetoall_cli.evaluation.pairs.pairing import OpenPair
from onetoall_cli.evaluation.pairs.picture_measures import Picture
from onetoall_cli.evaluation.pairs.protocols import Protocol

Values = dict[str, list[float]]
Collectors = dict[str, tuple[ClipFeatures, ClipFeatures]]

WORST = 8  # frames kept for the sheet, each of another second of a clip
_WORST_BY = ("lpips", "ssim", "psnr")  # the first that was measured chooses them


@dataclass(frozen=True)
class ClipScores:
    """One clip or picture.

    Attributes:
        name: Of the pair.
        frames: Compared.
        fps: Of the truth.
        width, height: At which it was compared, pixels.
        scaled: Whether the result was scaled to that.
        values: Per metric one value a frame, NaN where there was nothing to measure.
        vectors: Per Frechet distance the vectors of the result and of the truth.
    """

    name: str
    frames: int
    fps: float
    width: int
    height: int
    scaled: bool
    values: dict[str, NDArray[np.float64]]
    vectors: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

    def mean(self, metric: str) -> float:
        """The mean over the frames that have a value; NaN where none has."""
        found = self.values[metric][~np.isnan(self.values[metric])]
        return float(found.mean()) if len(found) else float("nan")


@dataclass(frozen=True)
class Distance:
    """A Frechet distance, over how many vectors of how many clips a side; the value is NaN for fewer than two."""

    value: float
    vectors: int
    clips: int


@dataclass(frozen=True)
class WorstFrame:
    """A frame with one of the worst values of `metric`: pictures uint8 (H, W, 3)."""

    clip: str
    frame: int
    metric: str
    value: float
    made: Picture
    true: Picture

    @property
    def badness(self) -> float:
        """The value, turned so that more is worse."""
        return -self.value if METRICS[self.metric].higher else self.value


@dataclass(frozen=True)
class PairEvaluation:
    """All that was measured.

    Attributes:
        protocol: How.
        kind: What.
        clips: One entry a pair.
        worst: The worst frames, the worst first.
        skipped: Metrics that were left out, and why.
        notes: What a reader of the figures should know.
        population: Per Frechet distance the vectors of a larger set that stands in the place of the truths.
    """

    protocol: Protocol
    kind: Kind
    clips: list[ClipScores]
    worst: list[WorstFrame]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    population: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def means(self) -> list[str]:
        """Metrics that are means over clips."""
        return list(self.clips[0].values)

    @property
    def distances(self) -> list[str]:
        """Metrics that are Frechet distances."""
        return list(self.clips[0].vectors)

    def per_clip(self, metric: str) -> NDArray[np.float64]:
        """One value a clip, NaN where there was nothing to measure."""
        return np.array([clip.mean(metric) for clip in self.clips])

    def mean(self, metric: str) -> float:
        """The mean over the clips that have a value."""
        found = self.per_clip(metric)
        found = found[~np.isnan(found)]
        return float(found.mean()) if len(found) else float("nan")

    def interval(self, metric: str) -> tuple[float, float]:
        """The bootstrap interval of the mean over clips."""
        return confidence(self.per_clip(metric))

    def distance(self, metric: str) -> Distance:
        """The Frechet distance between the vectors of all results and of all truths, or of the population."""
        made = np.concatenate([clip.vectors[metric][0] for clip in self.clips])
        true = self.population.get(metric)
        if true is None:
            true = np.concatenate([clip.vectors[metric][1] for clip in self.clips])
        value = frechet_distance(made, true) if len(made) > 1 else float("nan")
        return Distance(value, len(made), len(self.clips))


def kind_of(pairs: Sequence[OpenPair]) -> Kind:
    """What the pairs are; a clip of one frame is a picture.

    Raises:
        BadInput: Some are clips and some are pictures.
    """
    single = [pair for pair in pairs if pair.frames == 1]
    if single and len(single) < len(pairs):
        raise BadInput(f"{single[0].name} has one frame, and others have several.", "Measure pictures by themselves.")
    return "pictures" if single else "videos"


def evaluate_pairs(
    pairs: Sequence[OpenPair],
    protocol: Protocol,
    instruments: Instruments,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> PairEvaluation:
    """Measure every pair.

    Args:
        pairs: From `open_pairs`.
        protocol: What the instruments were set up for.
        instruments: From `pair_metrics.set_up`.
        progress: Told (frames done, frames in all).

    Raises:
        BadInput: A file ends before its time.
    """
    total, done = sum(pair.frames for pair in pairs), 0
    by = next((metric for metric in _WORST_BY if metric in instruments.frame), None)
    worst: dict[tuple[str, int], WorstFrame] = {}
    clips = []
    for pair in pairs:
        values: Values = {name: [] for name in instruments.frame}
        collectors = {name: (make(), make()) for name, make in instruments.clip.items()}
        count = 0
        for made, true in pair:
            _measure(made, true, instruments, values, collectors)
            if by is not None:
                _keep_worst(worst, WorstFrame(pair.name, count, by, values[by][-1], made, true), pair.fps)
            count, done = count + 1, done + 1
            progress(done, total)
        _check_complete(pair, count)
        clips.append(_scores(pair, values, collectors))
    ordered = sorted(worst.values(), key=lambda frame: frame.badness, reverse=True)
    return PairEvaluation(protocol, kind_of(pairs), clips, ordered, dict(instruments.skipped), list(instruments.notes))


@torch.no_grad()
def _measure(made: Picture, true: Picture, instruments: Instruments, values: Values, collectors: Collectors) -> None:
    """One frame through everything."""
    for name, measure in instruments.frame.items():
        values[name].append(measure(made, true))
    for of_made, of_true in collectors.values():
        of_made.add(made)
        of_true.add(true)


def _keep_worst(kept: dict[tuple[str, int], WorstFrame], frame: WorstFrame, fps: Fraction) -> None:
    """Keep a frame if it is the worst of its second of its clip, and one of the `WORST` worst of those."""
    key = (frame.clip, int(frame.frame / fps))
    if key in kept and kept[key].badness >= frame.badness:
        return
    kept[key] = frame
    if len(kept) > WORST:
        del kept[min(kept, key=lambda each: kept[each].badness)]


def _check_complete(pair: OpenPair, count: int) -> None:
    if count < pair.frames:
        raise BadInput(
            f"{pair.result.path} or {pair.truth.path} is damaged: {count} frames came instead of {pair.frames}.",
            "Make the file again.",
        )


@torch.no_grad()
def _scores(pair: OpenPair, values: Values, collectors: Collectors) -> ClipScores:
    return ClipScores(
        name=pair.name,
        frames=pair.frames,
        fps=float(pair.fps),
        width=pair.size[0],
        height=pair.size[1],
        scaled=pair.scaled,
        values={name: np.array(each) for name, each in values.items()},
        vectors={name: (made.vectors(), true.vectors()) for name, (made, true) in collectors.items()},
    )

"""Drift of long videos: how colours, contrast, sharpness and face change from segment to segment.

Held-out puppets dance for many segments. Each segment's new frames are compared with the true pictures and with what
the reference shows of the backdrop.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onetoall_cli.animator import Animator, Settings
from onetoall_cli.bench.quality import held_out_case
from onetoall_cli.evaluation.metrics import border_ratio, colour_error, psnr_within
from onetoall_cli.evaluation.puppets.cases import Case
from onetoall_cli.evaluation.puppets.scores import face_boxes

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB


@dataclass(frozen=True)
class Drift:
    """One segment beside the truth; the mean over puppets. NaN where there was nothing to measure.

    Attributes:
        colour: Error of the mean colours of clothes and hair whose colour the reference shows, percent of the range.
        backdrop: Error of the backdrop where the reference shows it, percent of the range.
        contrast: Spread of the brightness over the truth's; 1 is right.
        sharpness: Mean step from pixel to pixel over the truth's; 1 is right.
        face: PSNR within the face's box, dB.
        border: The change at its first frame over the median change within it; NaN of the first segment.
    """

    colour: float
    backdrop: float
    contrast: float
    sharpness: float
    face: float
    border: float


MOST_WORSENING = 1.25  # what a long video may lose from its second segment to its twentieth

TITLES = {
    "colour": "colour of clothes and hair: error, % of the range",
    "backdrop": "backdrop: error, % of the range",
    "contrast": "contrast, times the truth's",
    "sharpness": "sharpness, times the truth's",
    "face": "face: PSNR, dB",
    "border": "border: change, times the median change within",
}


def measure_drift(
    subject: Animator,
    *,
    segments: int,
    count: int,
    side: int | None = None,
    settings: Settings = Settings(),
    progress: Callable[[str], None] = lambda name: None,
) -> list[Drift]:
    """Generate long videos of held-out puppets and measure each segment.

    Args:
        subject: The model.
        segments: Segments of each video.
        count: Number of puppets; each second one has a reference of another framing.
        side: Of the square pictures in pixels; None: the model's short side.
        settings: How to sample.
        progress: Called with what is done next.

    Returns:
        One entry a segment.
    """
    sampling = subject.resolved(settings).sampling
    longest = sampling.max_segment_frames
    frames = longest + (segments - 1) * (longest - sampling.overlap)
    bounds = [segment.start + segment.context for segment in sampling.segments(frames)] + [frames]
    per_puppet = []
    for number in range(count):
        progress(f"puppet {number + 1} of {count}, {frames} frames")
        case = held_out_case(subject, number, frames, side)
        result = np.stack(list(subject.animate(case.conditioning, settings=settings, seed=number)))
        per_puppet.append([_measured(result, case, slice(a, b)) for a, b in itertools.pairwise(bounds)])
    return _means(per_puppet)


def figures(segment: Drift) -> dict[str, float | None]:
    """All measures of a segment, as JSON has them: None where there was nothing to measure."""
    return {name: value if np.isfinite(value) else None for name, value in asdict(segment).items()}


def values(drift: Sequence[Drift], name: str) -> list[float]:
    """One measure over the segments."""
    return [getattr(each, name) for each in drift]


def worsening(drift: Sequence[Drift]) -> dict[str, float]:
    """How much farther from the truth the last segment is than the second, as a factor; 1 is no drift."""
    second, last = drift[1], drift[-1]
    return {
        "colour": last.colour / second.colour,
        "contrast": _factor_off(last.contrast) / _factor_off(second.contrast),
    }


def _factor_off(ratio: float) -> float:
    """How far a ratio is from 1, upwards or downwards."""
    return max(ratio, 1 / ratio)


def _measured(result: Frames, case: Case, part: slice) -> Drift:
    """Some frames of a result beside the truth."""
    made, true = result[part], case.truth.frames[part]
    shown = [case.regions[name][part] for name in sorted(case.shown)]
    behind = case.backdrop_shown & (case.truth.masks[part] == 0)
    backdrop = np.broadcast_to(case.conditioning.reference, made.shape)
    boxes = face_boxes(case.truth.poses.keypoints[part, 0])
    return Drift(
        colour=_mean([colour_error(made, true, region) for region in shown]),
        backdrop=colour_error(made, backdrop, behind),
        contrast=_spread(made) / _spread(true),
        sharpness=_steps(made) / _steps(true),
        face=psnr_within(made, true, boxes),
        border=border_ratio(result[part.start - 1 : part.stop], [1]) if part.start else float("nan"),
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _grey(frames: Frames) -> NDArray[np.float32]:
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]).astype(np.float32)


def _spread(frames: Frames) -> float:
    return float(_grey(frames).std(axis=(1, 2)).mean())


def _steps(frames: Frames) -> float:
    grey = _grey(frames)
    return float(np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=2)).mean())


def _means(per_puppet: Sequence[Sequence[Drift]]) -> list[Drift]:
    """The mean over the puppets, segment by segment."""
    return [
        Drift(**{name: _mean([getattr(each, name) for each in segment]) for name in TITLES})
        for segment in zip(*per_puppet, strict=True)
    ]

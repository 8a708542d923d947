"""Growth of time and memory with the frames of a segment, the resolution and the length of the video."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from onetoall_cli.bench.long_video import SEGMENT_FRAMES
from onetoall_cli.bench.measure import BenchJob, Measurement, measure
from onetoall_cli.lattice import CONTEXT_FRAMES

FRAMES = (17, 33, 49, 65, 81)
SIDES = (128, 192, 256, 320)  # pixels, of square pictures
SEGMENTS = (1, 2, 5, 10, 20)
LONG_SIDE = 64


@dataclass(frozen=True)
class Point:
    """One measured point of a series: our network, and the plain one where the series compares them."""

    series: str
    value: int
    ours: Measurement
    plain: Measurement | None


def series(base: BenchJob) -> Iterator[tuple[str, int, BenchJob]]:
    """The jobs of all series: name, value and job. `base` has the network, device, dtype and repeats."""
    for frames in FRAMES:
        yield "frames", frames, replace(base, work="step", width=128, height=128, frames=frames)
    for side in SIDES:
        yield "side", side, replace(base, work="step", width=side, height=side, frames=17)
    for segments in SEGMENTS:
        frames = segments * (SEGMENT_FRAMES - CONTEXT_FRAMES) + CONTEXT_FRAMES
        yield (
            "segments",
            segments,
            replace(base, work="long video", width=LONG_SIDE, height=LONG_SIDE, frames=frames, repeats=1),
        )


def run_series(base: BenchJob, *, progress: Callable[[str], None] = lambda name: None) -> list[Point]:
    """Measure every series."""
    points = []
    for name, value, job in series(base):
        progress(f"{name} {value}")
        plain = measure(replace(job, work="plain step")) if job.work == "step" else None
        points.append(Point(name, value, measure(job), plain))
    return points

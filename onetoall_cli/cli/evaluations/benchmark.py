"""`onetoall evaluate --benchmark`: models on published test sets, beside the figures of their authors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onetoall_cli.cli.evaluations.asked import Asked
from onetoall_cli.cli.evaluations.generating import Made, Way, make, tasks_by, ways_of
from onetoall_cli.cli.evaluations.pairs import asked_metrics
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.table_files import write_csv, write_markdown

if TYPE_CHECKING:
    from onetoall_cli.batch import Row
    from onetoall_cli.evaluation.benchmarks.sets import Clip
    from onetoall_cli.evaluation.benchmarks.table import Benchmark
    from onetoall_cli.evaluation.pairs.clip_features import ClipFeatures
    from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
    from onetoall_cli.evaluation.pairs.metrics import Instruments, Kind

# What is measured unless something else is asked for: the figures of the paper, and those of its scripts.
METRICS = {"animate": ("psnr", "ssim", "lpips", "fvd", "fid-vid"), "transfer": ("fid", "lpips", "psnr", "ssim")}


def measure_benchmark(asked: Asked) -> None:
    """Make every clip of a set with every model, unless it is there, then measure and report."""
    from onetoall_cli.evaluation.benchmarks.results import (
        clip_rows_of,
        results_as_json,
        results_as_markdown,
        results_as_text,
    )
    from onetoall_cli.evaluation.benchmarks.table import benchmark as find_benchmark

    name = asked.kind.benchmark
    assert name is not None
    benchmark, written = find_benchmark(name), asked.written
    ways = _ways(asked, benchmark)
    asked.check_written([], [])
    folder = written.output or Path(f"{name}-results")
    _check_installed(asked, benchmark, ways)
    clips, defaults = _clips(asked, benchmark, folder, ways), asked.model_defaults
    wanted = {
        way.name: tasks_by(way, _rows(benchmark, clips, way), folder, source=name, defaults=defaults) for way in ways
    }
    runs = _measured(asked, benchmark, clips, make(asked.report, folder, wanted))
    if written.markdown:
        write_markdown(written.markdown, results_as_markdown(benchmark, runs, asked.command()))
    if written.csv:
        write_csv(written.csv, clip_rows_of(runs))
    files = {"folder": folder, "markdown": written.markdown, "csv": written.csv}
    asked.report.result(results_as_text(benchmark, runs), **results_as_json(benchmark, runs), **files)


def _ways(asked: Asked, benchmark: Benchmark) -> list[Way]:
    """The models that were asked for, each followed by its variants."""
    ways = []
    for way in ways_of(asked.subjects):
        if "model" not in way.options:
            raise BadInput(f"'{way.name}' names no model.", "Begin with its name, as in '14b --quantize nf4'.")
        ways.append(way)
        for name, change in benchmark.changes().items() if asked.benchmark.variants else ():
            ways.append(Way(f"{way.name}, {name}", {**way.options, **change}))
    return ways


def _check_installed(asked: Asked, benchmark: Benchmark, ways: list[Way]) -> None:
    """Say what is missing before a set is fetched and hours of work are done."""
    from onetoall_cli.animator import ensure_model

    for way in ways:
        ensure_model(way.options["model"], auto_fetch=way.options.get("auto_fetch", False), note=asked.report.note)
    _set_up(asked, benchmark).close()


def _clips(asked: Asked, benchmark: Benchmark, folder: Path, ways: list[Way]) -> list[Clip]:
    """The set, fetched or from the user's folder."""
    from onetoall_cli.evaluation.benchmarks.deepfashion import clips_of_pairs
    from onetoall_cli.evaluation.benchmarks.sets import clips_of_frames, clips_of_videos, fetched_set

    report, data = asked.report, asked.benchmark.data
    if data is None and benchmark.entry is None:
        raise BadInput(f"The set of {benchmark.title} cannot be fetched.", "Give its folder with --data DIR.")
    if data is None:
        assert benchmark.entry is not None
        data = fetched_set(benchmark.entry, note=report.note, progress=report.counter("Fetching", "bytes"))
    if benchmark.layout == "deepfashion":
        detects = ["detector" in way.options for way in ways]
        if any(detects) and not all(detects):
            raise BadInput("Some models have a --detector and some have none.", "Give it to all or to none.")
        return clips_of_pairs(data, None if any(detects) else folder / "poses")
    return clips_of_frames(data) if benchmark.layout == "frames" else clips_of_videos(data)


def _rows(benchmark: Benchmark, clips: list[Clip], way: Way) -> list[Row]:
    """What makes each clip: the released settings, and before them what the user says."""
    from onetoall_cli.batch import Row

    motion = "pose" if benchmark.command == "transfer" else "driving"
    rows = []
    for clip in clips:
        settings = benchmark.settings_of(Path(way.options["model"]).name, clip.name, way.options)
        files = {"reference": str(clip.reference), motion: str(clip.motion), "output": f"{clip.name}.png"}
        pose = {"ref_pose": str(clip.ref_pose)} if clip.ref_pose else {}
        rows.append(Row({"command": benchmark.command, **settings, **files, **pose}, clip.name))
    return rows


def _set_up(asked: Asked, benchmark: Benchmark) -> Instruments:
    from onetoall_cli.evaluation.pairs.metrics import set_up
    from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS

    kind: Kind = "pictures" if benchmark.command == "transfer" else "videos"
    protocol, device = PROTOCOLS[benchmark.protocol], asked.measuring.device
    return set_up(asked_metrics(asked), kind, protocol, among=METRICS[benchmark.command], device=device)


def _measured(
    asked: Asked, benchmark: Benchmark, clips: list[Clip], made: dict[str, dict[str, Made]]
) -> dict[str, PairEvaluation]:
    """Each way's results against the truth."""
    from onetoall_cli.evaluation.pairs.evaluation import evaluate_pairs
    from onetoall_cli.evaluation.pairs.pairing import Pair, open_pairs
    from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS

    protocol = PROTOCOLS[benchmark.protocol]
    instruments, counter = _set_up(asked, benchmark), asked.report.counter("Measuring", "frames")
    runs = {}
    try:
        for way, results in made.items():
            pairs = [Pair(clip.name, results[clip.name].measured, clip.truth) for clip in clips]
            opened = open_pairs(pairs, protocol, benchmark.size)
            runs[way] = evaluate_pairs(opened, protocol, instruments, progress=counter)
        if benchmark.layout == "deepfashion" and "fid" in instruments.clip:
            runs = _against_training(asked, benchmark, runs, instruments.clip["fid"]())
    finally:
        instruments.close()
    return runs


def _against_training(
    asked: Asked, benchmark: Benchmark, runs: dict[str, PairEvaluation], collector: ClipFeatures
) -> dict[str, PairEvaluation]:
    """The same with the FID against the training pictures, if they are in the set's folder."""
    from onetoall_cli.evaluation.benchmarks.deepfashion import TRAINING, training_vectors

    folder, size = asked.benchmark.data, benchmark.size
    assert folder is not None and size is not None
    vectors = training_vectors(folder, collector, size, asked.report.counter("Looking at training pictures", "steps"))
    if vectors is None:
        note = f"FID against the truths of the pairs: there is no {folder / TRAINING}."
        return {name: replace(run, notes=[*run.notes, note]) for name, run in runs.items()}
    note = f"FID against all {len(vectors)} training pictures."
    return {name: replace(run, notes=[*run.notes, note], population={"fid": vectors}) for name, run in runs.items()}

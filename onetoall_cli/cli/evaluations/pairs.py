"""`onetoall evaluate --pairs`: results of any model against their truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onetoall_cli.cli.evaluations.asked import Asked
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.table_files import write_csv, write_markdown

if TYPE_CHECKING:
    from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
    from onetoall_cli.evaluation.pairs.pairing import Pair


def measure_pairs(asked: Asked) -> None:
    """Measure results against their truth, report, and write what is asked for."""
    written = asked.written
    asked.check_written([], [Path(path) for path in asked.subjects])
    from onetoall_cli.evaluation.pairs.pictures import plot_over_time, worst_frames
    from onetoall_cli.evaluation.pairs.tables import as_json, as_markdown, as_text, clip_rows
    from onetoall_cli.media import write_picture

    (evaluation,) = measured(asked, [_pairs(asked)])
    if (written.sheet and not evaluation.worst) or (written.plot and not evaluation.means):
        raise BadInput("--sheet and --plot need a metric of frames.", "Add psnr, ssim or lpips to --metrics.")
    if written.markdown:
        write_markdown(written.markdown, as_markdown(evaluation, asked.command()))
    if written.csv:
        write_csv(written.csv, clip_rows(evaluation))
    if written.sheet:
        write_picture(written.sheet, worst_frames(evaluation))
    if written.plot:
        write_picture(written.plot, plot_over_time(evaluation))
    files = {"markdown": written.markdown, "csv": written.csv, "sheet": written.sheet, "plot": written.plot}
    asked.report.result(as_text(evaluation), **as_json(evaluation), **files)


def measured(asked: Asked, sides: Sequence[list[Pair]]) -> list[PairEvaluation]:
    """Each list of pairs, measured with the same instruments."""
    from onetoall_cli.evaluation.pairs.evaluation import evaluate_pairs, kind_of
    from onetoall_cli.evaluation.pairs.metrics import set_up
    from onetoall_cli.evaluation.pairs.pairing import open_pairs
    from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS

    options = asked.measuring
    protocol = PROTOCOLS[options.protocol]
    opened = [open_pairs(pairs, protocol) for pairs in sides]
    kind = kind_of([pair for pairs in opened for pair in pairs])
    if asked.written.plot and kind == "pictures":
        raise BadInput("--plot draws metrics over time, and these are pictures.", "Leave it out.")
    instruments = set_up(asked_metrics(asked), kind, protocol, device=options.device, detector=options.detector)
    counter = asked.report.counter("Measuring", "frames")
    try:
        return [evaluate_pairs(pairs, protocol, instruments, progress=counter) for pairs in opened]
    finally:
        instruments.close()


def asked_metrics(asked: Asked) -> list[str] | None:
    """The metrics that were asked for; None: all that can be had."""
    metrics = asked.measuring.metrics
    return [name.strip() for name in metrics.split(",")] if metrics else None


def _pairs(asked: Asked) -> list[Pair]:
    from onetoall_cli.evaluation.pairs.pairing import find_pairs, read_pairs

    paths = [Path(path) for path in asked.subjects]
    if len(paths) == 1 and paths[0].suffix.lower() == ".csv":
        return read_pairs(paths[0])
    if len(paths) != 2:
        raise BadInput(f"--pairs takes two files or folders, not {len(paths)}.", "Give RESULTS TRUTH, or PAIRS.csv.")
    return find_pairs(paths[0], paths[1], pictures=asked.measuring.pictures)

"""`onetoall evaluate --pairs`: results of any model against their truth."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from onetoall_cli.cli.options import DetectorName
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import Output, whole_file

if TYPE_CHECKING:
    from onetoall_cli.evaluation.pairs import Pair


@dataclass(frozen=True)
class PairOptions:
    """How results are compared with their truth."""

    pairs: Annotated[
        bool,
        Option("--pairs", help="Measure files: RESULTS TRUTH, or a CSV file of pairs."),
    ] = False
    pictures: Annotated[
        bool,
        Option("--pictures", help="The folders hold single pictures, not a clip's frames."),
    ] = False
    protocol: Annotated[
        Literal["default", "disco", "cfld"],
        Option(help="How exactly; disco: the paper's videos, cfld: DeepFashion's tables."),
    ] = "default"
    metrics: Annotated[
        str | None,
        Option(metavar="A,B,...", help="psnr, ssim, lpips, ...; default: all that can be had."),
    ] = None
    detector: DetectorName = "auto"
    csv: Annotated[Path | None, Option(metavar="FILE", help="Also write a table with a line a clip.")] = None
    plot: Annotated[Path | None, Option(metavar="FILE", help="Also draw each metric over time.")] = None


def measure_pairs(
    paths: list[str], options: PairOptions, device: str, report: Report, *, markdown: Path | None, sheet: Path | None
) -> None:
    """Measure, report, and write what is asked for."""
    from onetoall_cli.media import PICTURE_ENDINGS

    check_targets(
        [
            Output(markdown, option="--markdown") if markdown else None,
            Output(options.csv, (".csv",), option="--csv") if options.csv else None,
            Output(sheet, PICTURE_ENDINGS, option="--sheet") if sheet else None,
            Output(options.plot, PICTURE_ENDINGS, option="--plot") if options.plot else None,
        ],
        inputs=[Path(path) for path in paths],
        overwrite=True,
    )
    from onetoall_cli.evaluation import write_markdown
    from onetoall_cli.evaluation.marks import check_marks
    from onetoall_cli.evaluation.pair_evaluation import evaluate_pairs, kind_of
    from onetoall_cli.evaluation.pair_metrics import set_up
    from onetoall_cli.evaluation.pair_pictures import plot_over_time, worst_frames
    from onetoall_cli.evaluation.pair_tables import as_csv, as_json, as_markdown, as_text
    from onetoall_cli.evaluation.pairs import open_pairs
    from onetoall_cli.evaluation.protocols import PROTOCOLS
    from onetoall_cli.media import write_picture

    if markdown:
        check_marks(markdown)
    protocol = PROTOCOLS[options.protocol]
    opened = open_pairs(_pairs(paths, options.pictures), protocol)
    kind = kind_of(opened)
    if options.plot and kind == "pictures":
        raise BadInput("--plot draws metrics over time, and these are pictures.", "Leave it out.")
    asked = [name.strip() for name in options.metrics.split(",")] if options.metrics else None
    instruments = set_up(asked, kind, protocol, device=device, detector=options.detector)
    try:
        evaluation = evaluate_pairs(opened, protocol, instruments, progress=report.counter("Measuring", "frames"))
    finally:
        instruments.close()
    if (sheet and not evaluation.worst) or (options.plot and not evaluation.means):
        raise BadInput("--sheet and --plot need a metric of frames.", "Add psnr, ssim or lpips to --metrics.")
    if markdown:
        write_markdown(markdown, as_markdown(evaluation, _command(paths, options)))
    if options.csv:
        with whole_file(options.csv, ending=".csv") as temporary:
            temporary.write_text(as_csv(evaluation), encoding="utf-8")
    if sheet:
        write_picture(sheet, worst_frames(evaluation))
    if options.plot:
        write_picture(options.plot, plot_over_time(evaluation))
    written = {"markdown": markdown, "csv": options.csv, "sheet": sheet, "plot": options.plot}
    report.result(as_text(evaluation), **as_json(evaluation), **written)


def _pairs(paths: list[str], pictures: bool) -> list[Pair]:
    from onetoall_cli.evaluation.pairs import find_pairs, read_pairs

    if len(paths) == 1 and Path(paths[0]).suffix.lower() == ".csv":
        return read_pairs(Path(paths[0]))
    if len(paths) != 2:
        raise BadInput(f"--pairs takes two files or folders, not {len(paths)}.", "Give RESULTS TRUTH, or PAIRS.csv.")
    return find_pairs(Path(paths[0]), Path(paths[1]), pictures=pictures)


def _command(paths: list[str], options: PairOptions) -> str:
    """The command line that measures the same again."""
    words = ["onetoall", "evaluate", "--pairs", *paths]
    words += ["--pictures"] if options.pictures else []
    words += ["--protocol", options.protocol] if options.protocol != "default" else []
    words += ["--metrics", options.metrics] if options.metrics else []
    return shlex.join(words)

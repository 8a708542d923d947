"""`onetoall evaluate --pairs`, `--against`, `--answers`: results of any model against their truth, or each other."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from onetoall_cli.cli.options import DetectorName
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.marks import check_marks, write_markdown
from onetoall_cli.files import Output, whole_file

if TYPE_CHECKING:
    from onetoall_cli.evaluation.pairs.evaluation import PairEvaluation
    from onetoall_cli.evaluation.pairs.pairing import Pair


@dataclass(frozen=True)
class PairOptions:
    """How results are compared with their truth."""

    pairs: Annotated[
        bool,
        Option("--pairs", help="Measure files: RESULTS TRUTH, or a CSV file of pairs."),
    ] = False
    against: Annotated[
        bool, Option("--against", help="Compare two results, A B: by a study, and by metrics if TRUTH follows.")
    ] = False
    answers: Annotated[bool, Option("--answers", help="Count a study's answers: KEY ANSWERS...")] = False
    study: Annotated[
        Path | None,
        Option(metavar="HTML", help="With --against: write a page for a blind study, a sheet, and the key."),
    ] = None
    question: Annotated[str, Option(metavar="TEXT", help="What the study asks.")] = "Which one is better?"
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
    """Measure results against their truth, report, and write what is asked for."""
    _refuse(options, "study", "question")
    _check_outputs(paths, options, markdown, sheet)
    from onetoall_cli.evaluation.pairs.pictures import plot_over_time, worst_frames
    from onetoall_cli.evaluation.pairs.tables import as_csv, as_json, as_markdown, as_text
    from onetoall_cli.media import write_picture

    (evaluation,) = _measured([_pairs(paths, options.pictures)], options, device, report)
    if (sheet and not evaluation.worst) or (options.plot and not evaluation.means):
        raise BadInput("--sheet and --plot need a metric of frames.", "Add psnr, ssim or lpips to --metrics.")
    if markdown:
        write_markdown(markdown, as_markdown(evaluation, _command("--pairs", paths, options)))
    if options.csv:
        with whole_file(options.csv, ending=".csv") as temporary:
            temporary.write_text(as_csv(evaluation), encoding="utf-8")
    if sheet:
        write_picture(sheet, worst_frames(evaluation))
    if options.plot:
        write_picture(options.plot, plot_over_time(evaluation))
    written = {"markdown": markdown, "csv": options.csv, "sheet": sheet, "plot": options.plot}
    report.result(as_text(evaluation), **as_json(evaluation), **written)


def compare_results(
    paths: list[str], options: PairOptions, device: str, report: Report, *, markdown: Path | None, sheet: Path | None
) -> None:
    """Compare A with B: by the metrics against TRUTH, by a study, or both."""
    if len(paths) not in (2, 3):
        raise BadInput(
            f"--against takes A B, or A B TRUTH, not {len(paths)} names.", "Give two results, then the truth."
        )
    if len(paths) == 2 and not options.study:
        raise BadInput(
            "Without a truth there is nothing to measure.", "Add TRUTH, or --study study.html to ask people."
        )
    _refuse(options, "csv", "plot", *(("metrics", "protocol") if len(paths) == 2 else ()))
    if markdown and len(paths) == 2:
        raise BadInput("--markdown writes what is measured, and there is no truth.", "Add TRUTH, or leave it out.")
    if sheet:
        raise BadInput("--sheet shows the worst frames of one result.", "A study brings its own sheet.")
    _check_outputs(paths, options, markdown, sheet)
    from onetoall_cli.evaluation.pairs.comparison import comparison_as_json, comparison_as_markdown, comparison_as_text
    from onetoall_cli.evaluation.pairs.study import StudyFiles, write_study

    texts: list[str] = []
    found: dict[str, Any] = {}
    if len(paths) == 3:
        sides = [_pairs([path, paths[2]], options.pictures) for path in paths[:2]]
        a, b = _measured(sides, options, device, report)
        texts.append(comparison_as_text(a, b))
        found |= comparison_as_json(a, b)
        if markdown:
            write_markdown(markdown, comparison_as_markdown(a, b, _command("--against", paths, options)))
    if options.study:
        files = StudyFiles.beside(options.study)
        pairs = _pairs(paths[:2], options.pictures)
        write_study(files, pairs, options.question, (paths[0], paths[1]))
        texts.append(f"{files.page}\n  for raters; {files.sheet} shows the same, {files.key} says which side is which.")
        found |= {"study": files.page, "sheet": files.sheet, "key": files.key, "pairs": len(pairs)}
    report.result("\n\n".join(texts), **found)


def count_answers(paths: list[str], options: PairOptions, report: Report) -> None:
    """Count the answers of a study."""
    _refuse(options, *(field.name for field in fields(options) if field.name != "answers"))
    if len(paths) < 2:
        raise BadInput("--answers takes the key and the files of answers.", "Give study-key.json, then answers-*.json.")
    from onetoall_cli.evaluation.pairs.study import tally, tally_as_text

    counted = tally(Path(paths[0]), [Path(path) for path in paths[1:]])
    report.result(tally_as_text(counted), **asdict(counted))


def _refuse(options: PairOptions, *names: str) -> None:
    """Refuse options that another kind of comparison takes."""
    for name in names:
        if getattr(options, name) != next(field.default for field in fields(options) if field.name == name):
            raise BadInput(f"--{name} has nothing to do here.", "Leave it out; see `onetoall evaluate --help`.")


def _check_outputs(paths: list[str], options: PairOptions, markdown: Path | None, sheet: Path | None) -> None:
    from onetoall_cli.evaluation.pairs.study import StudyFiles
    from onetoall_cli.media import PICTURE_ENDINGS

    study = StudyFiles.beside(options.study) if options.study else None
    if study and study.key.exists():
        raise BadInput(f"{study.key} is the key of an earlier study.", "Give --study another name, or remove the key.")
    check_targets(
        [
            Output(markdown, option="--markdown") if markdown else None,
            Output(options.csv, (".csv",), option="--csv") if options.csv else None,
            Output(sheet, PICTURE_ENDINGS, option="--sheet") if sheet else None,
            Output(options.plot, PICTURE_ENDINGS, option="--plot") if options.plot else None,
            Output(study.page, (".html",), option="--study") if study else None,
            Output(study.sheet, PICTURE_ENDINGS, option="--study") if study else None,
            Output(study.key, (".json",), option="--study") if study else None,
        ],
        inputs=[Path(path) for path in paths],
        overwrite=True,
    )
    if markdown:
        check_marks(markdown)


def _measured(sides: list[list[Pair]], options: PairOptions, device: str, report: Report) -> list[PairEvaluation]:
    """Each list of pairs, measured with the same instruments."""
    from onetoall_cli.evaluation.pairs.evaluation import evaluate_pairs, kind_of
    from onetoall_cli.evaluation.pairs.metrics import set_up
    from onetoall_cli.evaluation.pairs.pairing import open_pairs
    from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS

    protocol = PROTOCOLS[options.protocol]
    opened = [open_pairs(pairs, protocol) for pairs in sides]
    kind = kind_of([pair for pairs in opened for pair in pairs])
    if options.plot and kind == "pictures":
        raise BadInput("--plot draws metrics over time, and these are pictures.", "Leave it out.")
    asked = [name.strip() for name in options.metrics.split(",")] if options.metrics else None
    instruments = set_up(asked, kind, protocol, device=device, detector=options.detector)
    counter = report.counter("Measuring", "frames")
    try:
        return [evaluate_pairs(pairs, protocol, instruments, progress=counter) for pairs in opened]
    finally:
        instruments.close()


def _pairs(paths: list[str], pictures: bool) -> list[Pair]:
    from onetoall_cli.evaluation.pairs.pairing import find_pairs, read_pairs

    if len(paths) == 1 and Path(paths[0]).suffix.lower() == ".csv":
        return read_pairs(Path(paths[0]))
    if len(paths) != 2:
        raise BadInput(f"--pairs takes two files or folders, not {len(paths)}.", "Give RESULTS TRUTH, or PAIRS.csv.")
    return find_pairs(Path(paths[0]), Path(paths[1]), pictures=pictures)


def _command(kind: str, paths: list[str], options: PairOptions) -> str:
    """The command line that measures the same again."""
    words = ["onetoall", "evaluate", kind, *paths]
    words += ["--pictures"] if options.pictures else []
    words += ["--protocol", options.protocol] if options.protocol != "default" else []
    words += ["--metrics", options.metrics] if options.metrics else []
    return shlex.join(words)

"""`onetoall evaluate --against`, `--answers`: two results, models or settings, and a study of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onetoall_cli.cli.evaluations.asked import Asked
from onetoall_cli.cli.evaluations.generating import Made, make, tasks_by, ways_of
from onetoall_cli.cli.evaluations.pairs import measured
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.pairs.pairing import Pair, find_pairs, pairs_with_truth
from onetoall_cli.evaluation.pairs.study import StudyFiles, tally, tally_as_text, write_study
from onetoall_cli.evaluation.table_files import write_markdown
from onetoall_cli.files import Output
from onetoall_cli.files.names import PICTURE_SUFFIXES

RESULTS = Path("against-results")


def compare_two(asked: Asked) -> None:
    """Compare A with B by the metrics, by a study, or by both; with `--inputs` make them first."""
    study = StudyFiles.beside(asked.against.study) if asked.against.study else None
    is_measured = asked.against.truth is not None or study is None
    _check(asked, study, is_measured)
    a, b = _made(asked) if asked.against.inputs else _found(asked)
    texts: list[str] = []
    found: dict[str, Any] = {"names": asked.subjects[:2]}
    if is_measured:
        text, figures = _measured(asked, a, b)
        texts.append(text)
        found |= figures
    if study:
        shown = [Pair(name, result.shown, b[name].shown) for name, result in a.items()]
        write_study(study, shown, asked.against.question, (asked.subjects[0], asked.subjects[1]))
        texts.append(f"{study.page}\n  for raters; {study.sheet} shows the same, {study.key} says which side is which.")
        found |= {"study": study.page, "sheet": study.sheet, "key": study.key, "pairs": len(shown)}
    asked.report.result("\n\n".join(texts), **found, markdown=asked.written.markdown)


def count_answers(asked: Asked) -> None:
    """Count the answers of a study."""
    if len(asked.subjects) < 2:
        raise BadInput("--answers takes the key and the files of answers.", "Give study-key.json, then answers-*.json.")
    counted = tally(Path(asked.subjects[0]), [Path(path) for path in asked.subjects[1:]])
    asked.report.result(tally_as_text(counted), **asdict(counted))


def _check(asked: Asked, study: StudyFiles | None, is_measured: bool) -> None:
    count = len(asked.subjects)
    if asked.against.inputs and count not in (3, 4):
        raise BadInput(
            f"--against with --inputs takes A B and REF DANCE, or A B and a manifest, not {count} names.",
            "For example: onetoall evaluate --against 1.3b '1.3b --fast both' --inputs ref.png dance.mp4",
        )
    if not asked.against.inputs and count != 2:
        raise BadInput(f"--against takes A B, not {count} names.", "The truth goes behind --truth.")
    if not is_measured and (asked.measuring.metrics or asked.written.markdown):
        raise BadInput("--metrics and --markdown are for what is measured, and there is no truth.", "Add --truth.")
    if study and study.key.exists():
        raise BadInput(f"{study.key} is the key of an earlier study.", "Give --study another name, or remove the key.")
    from onetoall_cli.media import PICTURE_ENDINGS

    more = [
        Output(study.page, (".html",), option="--study") if study else None,
        Output(study.sheet, PICTURE_ENDINGS, option="--study") if study else None,
        Output(study.key, (".json",), option="--study") if study else None,
    ]
    read = asked.subjects[2:] if asked.against.inputs else asked.subjects
    asked.check_written(more, [Path(path) for path in read])


def _found(asked: Asked) -> tuple[dict[str, Made], dict[str, Made]]:
    """The two results that are there, by the names that they share."""
    pairs = find_pairs(*map(Path, asked.subjects), pictures=asked.measuring.pictures)
    return (
        {pair.name: Made(pair.result, pair.result) for pair in pairs},
        {pair.name: Made(pair.truth, pair.truth) for pair in pairs},
    )


def _made(asked: Asked) -> tuple[dict[str, Made], dict[str, Made]]:
    """The results of the same inputs by two ways."""
    from onetoall_cli.batch import Row, rows_of_folders, rows_of_manifest

    ways, inputs = ways_of(asked.subjects[:2]), [Path(path) for path in asked.subjects[2:]]
    defaults, base = asked.model_defaults, Path()
    if len(inputs) == 1:
        rows, stated = rows_of_manifest(inputs[0])
        defaults, base = {**defaults, **stated}, inputs[0].parent
    elif all(path.is_dir() for path in inputs):
        rows, _ = rows_of_folders(*inputs, pairs=False)
    else:
        reference, driving = inputs
        rows = [Row({"command": "animate", "reference": str(reference), "driving": str(driving)}, "--inputs")]
    folder = asked.written.output or RESULTS
    wanted = {way.name: tasks_by(way, rows, folder, source="--inputs", base=base, defaults=defaults) for way in ways}
    if len({task.job.command == "transfer" for by_name in wanted.values() for task in by_name.values()}) > 1:
        raise BadInput("Some of the inputs become videos and some pictures.", "Compare each kind by itself.")
    made = make(asked.report, folder, wanted)
    return made[ways[0].name], made[ways[1].name]


def _measured(asked: Asked, a: Mapping[str, Made], b: Mapping[str, Made]) -> tuple[str, dict[str, Any]]:
    """Paired differences of A and B against the truth; without one, B against A."""
    from onetoall_cli.evaluation.pairs.comparison import (
        comparison_as_json,
        comparison_as_markdown,
        comparison_as_text,
    )
    from onetoall_cli.evaluation.pairs.tables import as_json, as_markdown, as_text

    truth, named = asked.against.truth, f"A: {asked.subjects[0]}\nB: {asked.subjects[1]}\n"
    if truth is not None:
        sides = [_with_truth(asked, side, truth) for side in (a, b)]
        of_a, of_b = measured(asked, sides)
        text, figures = comparison_as_text(of_a, of_b), comparison_as_json(of_a, of_b)
        markdown = comparison_as_markdown(of_a, of_b, asked.command())
    else:
        (of_b,) = measured(asked, [[Pair(name, b[name].measured, result.measured) for name, result in a.items()]])
        text, figures = f"B against A, in the place of the truth.\n{as_text(of_b)}", as_json(of_b)
        markdown = as_markdown(of_b, asked.command())
    if asked.written.markdown:
        write_markdown(asked.written.markdown, markdown)
    return f"{named}{text}", figures


def _with_truth(asked: Asked, side: Mapping[str, Made], truth: Path) -> list[Pair]:
    results = {name: result.measured for name, result in side.items()}
    pictures = asked.measuring.pictures or all(path.suffix in PICTURE_SUFFIXES for path in results.values())
    return pairs_with_truth(results, truth, pictures=pictures)

"""`onetoall evaluate`: models on test sets and puppets, results against the truth, two against each other."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from onetoall_cli.cli.evaluations.asked import (
    AgainstOptions,
    Asked,
    BenchmarkOptions,
    KindOptions,
    MeasureOptions,
    PuppetOptions,
    WrittenOptions,
)
from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.report import Report


@subcommand
def evaluate(
    subjects: Annotated[
        list[str],
        Argument(
            metavar="WHAT",
            help="Models, perhaps with options ('14b --fast both'); --pairs: RESULTS TRUTH; --against: A B.",
        ),
    ],
    report: Report,
    kind: KindOptions,
    measuring: MeasureOptions,
    against: AgainstOptions,
    benchmark: BenchmarkOptions,
    puppets: PuppetOptions,
    written: WrittenOptions,
) -> None:
    """Measure models on puppets or on published test sets, results against the truth, or two against each other.

    Puppets: aligned animation, misaligned animation (bust reference, full-body motion, another face driving) and pose
    transfer; beside each, a copy of the reference, the nearest training picture, and what the VAE alone loses.

    All else by PSNR, SSIM, LPIPS, FVD, FID-VID, FID, CSIM and APD-body. What is made is kept: the same command goes on.

    \b
    Examples:
    onetoall evaluate tiny --count 8 --sheet examples.png
    onetoall evaluate --benchmark tiktok 1.3b-v1 --variants
    onetoall evaluate --pairs results/ truth/ --plot drift.png
    onetoall evaluate --against 1.3b "1.3b --fast both" --inputs ref.png dance.mp4
    """
    asked = Asked(subjects, report, kind, measuring, against, benchmark, puppets, written)
    asked.check_options()

    # only now: they import numpy and more, which `--help` of other commands does not wait for
    from onetoall_cli.cli.evaluations.against import compare_two, count_answers
    from onetoall_cli.cli.evaluations.benchmark import measure_benchmark
    from onetoall_cli.cli.evaluations.pairs import measure_pairs
    from onetoall_cli.cli.evaluations.puppets import measure_puppets

    kinds = {
        "puppets": measure_puppets,
        "benchmark": measure_benchmark,
        "pairs": measure_pairs,
        "against": compare_two,
        "answers": count_answers,
    }
    kinds[asked.what](asked)

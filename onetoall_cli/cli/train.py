"""`onetoall train`: train what a config describes, or continue where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onetoall_cli.cli.evaluate import EvaluationOptions, measure
from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import Output


@subcommand
def train(
    report: Report,
    config: Annotated[
        Path | None,
        Argument(help="YAML: a VAE (`phases`), a stage (`stage`), a sequence (`runs`) or an ablation (`arms`)."),
    ] = None,
    export: Annotated[
        Path | None, Option(metavar="DIR", help="When it is trained, also write it as a model for --model.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing model there.")] = False,
    evaluate: Annotated[
        str | None, Option(metavar="MODEL", help="Measure a model instead, as `onetoall evaluate MODEL` does.")
    ] = None,
) -> None:
    """Train a VAE, a stage of the network or a sequence of them, or continue it.

    Checkpoints, the loss log (loss.csv) and sample sheets go to each run's `output`. Interrupted at any point, the
    same command continues at the last checkpoint. Recipes to begin with: onetoall_cli/training/recipes.

    On several devices: accelerate launch -m onetoall_cli train config.yaml

    Example: onetoall train tiny.yaml --export my-model/
    """
    if config is None:
        if evaluate is None:
            raise BadInput("A config is needed.", "For example: onetoall train config.yaml")
        measure([evaluate], report, EvaluationOptions())
        return
    if evaluate is not None:
        raise BadInput("--evaluate takes the place of a config.", "Train first, then evaluate the run's folder.")
    from onetoall_cli.training.runs import is_export_of, run_config

    if export is not None:
        target = Output(export, is_folder=True, option="--export")
        check_targets([target], inputs=[config], overwrite=overwrite or is_export_of(export, config))
    result = run_config(
        config,
        progress=report.counter("Training", "steps"),
        data_progress=report.counter("Detecting poses", "frames"),
        export=export,
    )
    report.result(f"{export or result}", output=export or result)

"""`onetoall train`: train what configs describe, or continue where they stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onetoall_cli.cli.evaluate import EvaluationOptions, measure
from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput


@subcommand
def train(
    report: Report,
    configs: Annotated[
        list[Path] | None,
        Argument(metavar="CONFIG...", help="YAML: a VAE (`phases`) or a stage of the network (`stage`)."),
    ] = None,
    evaluate: Annotated[
        str | None, Option(metavar="MODEL", help="Measure a model instead, as `onetoall evaluate MODEL` does.")
    ] = None,
) -> None:
    """Train a network stage or a VAE, or continue it.

    Checkpoints, the loss log (loss.csv) and sample sheets go to the config's `output`. Interrupted at any point, the
    same command continues at the last checkpoint. Several configs are trained one after the other. Recipes to begin
    with: onetoall_cli/training/recipes.

    On several devices: accelerate launch -m onetoall_cli train config.yaml

    Example: onetoall train tiny-stage1.yaml
    """
    if bool(configs) == bool(evaluate):
        raise BadInput("Either a config or --evaluate MODEL is needed.", "For example: onetoall train config.yaml")
    if evaluate:
        measure([evaluate], report, EvaluationOptions())
        return
    from onetoall_cli.training.runs import run_config

    folders = []
    for config in configs or ():
        with report.progress() as progress:
            poses = progress.add_task("Detecting poses", total=None, visible=False)
            steps = progress.add_task(f"Training {config.stem}", total=None)
            folders.append(
                run_config(
                    config,
                    progress=lambda done, total, steps=steps, bar=progress: bar.update(
                        steps, completed=done, total=total
                    ),
                    data_progress=lambda done, total, poses=poses, bar=progress: bar.update(
                        poses, completed=done, total=total, visible=True
                    ),
                )
            )
    report.result("\n".join(map(str, folders)), outputs=folders)

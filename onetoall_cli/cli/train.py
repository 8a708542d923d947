"""`onetoall train`: train what a config describes, or continue where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.report import Report


@subcommand
def train(
    config: Annotated[Path, Argument(help="YAML: a VAE (`phases`) or a stage of the network (`stage`).")],
    report: Report,
) -> None:
    """Train a network stage or a VAE, or continue it.

    Checkpoints, the loss log (loss.csv) and sample sheets go to the config's `output`. Interrupted at any point, the
    same command continues at the last checkpoint. Recipes to begin with: onetoall_cli/training/recipes.

    On several devices: accelerate launch -m onetoall_cli train config.yaml

    Example: onetoall train tiny-stage1.yaml
    """
    from onetoall_cli.training.runs import run_config

    with report.progress() as progress:
        poses = progress.add_task("Detecting poses", total=None, visible=False)
        steps = progress.add_task("Training", total=None)
        result = run_config(
            config,
            progress=lambda done, total: progress.update(steps, completed=done, total=total),
            data_progress=lambda done, total: progress.update(poses, completed=done, total=total, visible=True),
        )
    report.result(f"{result}", output=result)

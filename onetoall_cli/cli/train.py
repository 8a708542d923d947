"""`onetoall train`: train what a config describes, or continue where it stopped."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from onetoall_cli.cli.evaluations.asked import Asked, PuppetOptions
from onetoall_cli.cli.evaluations.puppets import measure_puppets
from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files import Output

if TYPE_CHECKING:
    from onetoall_cli.training.runs import Config


@subcommand
def train(
    report: Report,
    config: Annotated[
        str | None,
        Argument(help="A recipe's name (videos-1.3b-lora), or a YAML file: a VAE, a stage, a sequence or an ablation."),
    ] = None,
    data: Annotated[Path | None, Option(metavar="DIR", help="Your videos, in place of the config's.")] = None,
    output: Annotated[Path | None, Option("-o", "--output", metavar="DIR", help="The run's folder.")] = None,
    strict: Annotated[bool, Option("--strict", help="Stop if a video cannot be used, or only in part.")] = False,
    prepare: Annotated[
        bool, Option("--prepare", help="Find poses and encode latents, shared by all processes, and stop.")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Print what it needs (memory, disk, time), what would fit, and stop.")
    ] = False,
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
    same command continues at the last checkpoint. Recipes: videos-1.3b-lora, videos-1.3b, videos-14b-lora,
    tiny-lora, tiny.

    On several devices: accelerate launch -m onetoall_cli train config.yaml

    Example: onetoall train videos-1.3b-lora --data my-clips/ -o my-lora/
    """
    if config is None:
        if evaluate is None:
            raise BadInput("A config is needed.", "For example: onetoall train config.yaml")
        measure_puppets(Asked([evaluate], report, puppets=PuppetOptions()))
        return
    if evaluate is not None:
        raise BadInput("--evaluate takes the place of a config.", "Train first, then evaluate the run's folder.")
    from onetoall_cli.training.runs import is_export_of, open_config, prepare_config, run_config

    opened = open_config(config, data=data, output=output, strict=strict)
    if export is not None:
        target = Output(export, kind="model", option="--export")
        inputs = [opened.source, data]
        check_targets([target], inputs=inputs, overwrite=overwrite or is_export_of(export, opened))
    if dry_run:
        _report_plan(opened, report)
        return
    detecting = report.counter("Finding poses", "steps")
    if prepare:
        caches = prepare_config(opened, report.counter("Encoding", "steps"), detecting, report.note)
        report.result(", ".join(map(str, caches)), caches=caches)
        return
    result = run_config(
        opened,
        progress=report.counter("Training", "steps"),
        data_progress=detecting,
        export=export,
        note=report.note,
    )
    report.result(f"{export or result}", output=export or result)


def _report_plan(config: Config, report: Report) -> None:
    """What `--dry-run` prints of every stage of a config."""
    import torch

    from onetoall_cli.runtime.machine import model_memory
    from onetoall_cli.training.plan import described, plan_training, probed_rate
    from onetoall_cli.training.recipe import TrainingSettings

    device, memory = torch.device("cuda" if torch.cuda.is_available() else "cpu"), model_memory()
    texts, plans = [], []
    for run in config.runs:
        if not isinstance(run, TrainingSettings):
            continue
        plan = plan_training(run)
        rate = probed_rate(run, device)
        texts.append(f"{run.output}\n{described(run, plan, rate, memory)}")
        plans.append(
            {**asdict(plan), "output": run.output, "peak": plan.peak, "seconds_a_step": plan.operations / rate}
        )
    report.result("\n\n".join(texts) or "No stage of the network is trained.", plans=plans)

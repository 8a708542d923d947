"""Training configs: `run_config` reads a YAML file and trains the runs that it describes.

A config is one run (of a VAE or of a stage of the network), a sequence of runs (`runs`), or an ablation (`arms`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onetoall_cli.errors import BadInput
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.settings import load_settings, read_settings, read_yaml
from onetoall_cli.training.vae_data import VaeSettings

Progress = Callable[[int, int | None], None]
Run = VaeSettings | TrainingSettings


def run_config(
    path: Path | str,
    progress: Progress | None = None,
    data_progress: Progress | None = None,
    *,
    export: Path | None = None,
) -> Path:
    """Train, or continue, all runs of a config in order.

    Every run continues at its own newest checkpoint, so the same call continues an interrupted config. Relative paths
    in the config are relative to the working directory.

    Args:
        path: The YAML file.
        progress: Called with (steps done, steps of all runs) after each step.
        data_progress: Called with (videos done, all videos) while the poses of a folder are detected.
        export: Folder to write the last run's network to as a model; one that onetoall wrote before is replaced.

    Returns:
        The folder of the finished VAE or network, of the last run; for an ablation the folder of its arms.

    Raises:
        BadInput: The config or what it names does not fit.
        ModelMissing: The VAE it names is not there.
    """
    path = Path(path)
    data, runs = _read_config(path)
    if export is not None and ("arms" in data or isinstance(runs[-1], VaeSettings)):
        raise BadInput(
            f"{path} does not end with a stage of the network.", "Only a trained stage can be exported as a model."
        )
    steps = sum(run.steps for run in runs)
    before, finished = 0, path
    for run in runs:
        finished = _train(run, _counted_from(before, steps, progress), data_progress)
        before += run.steps
    if export is not None:
        from onetoall_cli.training.export import export_run

        export_run(runs[-1].output, export)
    return Path(data["output"]) if "arms" in data else finished


def is_export_of(folder: Path, config: Path) -> bool:
    """Whether `folder` is a model that an earlier attempt of the same config exported.

    Raises:
        BadInput: The config does not fit.
    """
    _, runs = _read_config(config)
    try:
        exported = load_settings(TrainingSettings, folder / "training.yaml")
    except BadInput:
        return False
    return exported.output.resolve() == runs[-1].output.resolve()


def _read_config(path: Path) -> tuple[dict[str, Any], list[Run]]:
    """The contents of a config, and the settings of its runs in order."""
    data = read_yaml(path)
    return data, [_settings(run, where) for where, run in runs_of(data, path).items()]


def runs_of(data: Any, path: Path) -> dict[str, dict[str, Any]]:
    """The settings of each run of a config, by where they stand in it (for error messages).

    A run of `runs` or an arm of `arms` trains in a folder of its own name in `output`. An arm also takes the settings
    outside `arms`; its own come before them, and `conditions` are merged.

    Raises:
        BadInput: The config describes no run.
    """
    if not isinstance(data, dict) or not {"phases", "stage", "runs"} & set(data):
        raise BadInput(
            f"{path} describes no VAE (`phases`), stage of the network (`stage`) or sequence of both (`runs`).",
            "Begin with one of the recipes in onetoall_cli/training/recipes.",
        )
    kind = next((kind for kind in ("runs", "arms") if kind in data), None)
    if kind is None:
        return {str(path): data}
    common = {name: value for name, value in data.items() if name not in ("output", kind)}
    parts = data[kind]
    if not isinstance(parts, dict) or not parts or not all(isinstance(part, dict) for part in parts.values()):
        raise BadInput(
            f"{path}: {kind} is not a mapping of settings.", f"Write `{kind}: {{name: {{setting: value}}}}`."
        )
    if not isinstance(data.get("output"), str):
        raise BadInput(f"{path} lacks the setting 'output'.", "Name the folder that the runs go to.")
    if kind == "runs" and common:
        raise BadInput(f"{path} has settings beside 'runs': {', '.join(common)}.", "Write them into the runs.")
    return {
        f"{path}: {kind[:-1]} {name}": {
            **common,
            **part,
            "output": str(Path(data["output"]) / str(name)),
            **_conditions(common, part),
        }
        for name, part in parts.items()
    }


def _conditions(common: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    merged = {**(common.get("conditions") or {}), **(part.get("conditions") or {})}
    return {"conditions": merged} if merged else {}


def _settings(run: dict[str, Any], where: str) -> Run:
    return read_settings(VaeSettings, run, where) if "phases" in run else read_settings(TrainingSettings, run, where)


def _train(run: Run, progress: Progress | None, data_progress: Progress | None) -> Path:
    if isinstance(run, VaeSettings):
        from onetoall_cli.training.vae import train_vae

        return train_vae(run, progress)
    from onetoall_cli.training.trainer import train

    return train(run, progress, data_progress)


def _counted_from(before: int, steps: int, progress: Progress | None) -> Progress | None:
    """Progress of one run as progress of all."""
    return None if progress is None else lambda done, _: progress(before + done, steps)

"""One entry for every kind of training config: `run_config` reads the file and trains what it describes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from onetoall_cli.errors import BadInput
from onetoall_cli.training.settings import load_settings, read_settings

Progress = Callable[[int, int | None], None]


def run_config(
    path: Path | str,
    progress: Progress | None = None,
    data_progress: Progress | None = None,
    *,
    export: Path | None = None,
) -> Path:
    """Train, or continue, what a config describes.

    That is a VAE (it has `phases`), a stage of the network (it has `stage`), or an ablation: a stage with `arms`,
    trained once for each of them, with what the arm sets instead, into a folder of its name in `output`.

    Relative paths in the config are relative to the working directory.

    Args:
        progress: Called with (steps done, steps) after each step; the arms of an ablation count together.
        data_progress: Called with (videos done, videos) while the poses of a folder are detected.
        export: A folder to write the trained stage to as a model; replaced if it exists.

    Returns:
        The folder of the finished VAE or network, or that of the arms.

    Raises:
        BadInput: The config or what it names does not fit.
        ModelMissing: The VAE it names is not there.
    """
    path = Path(path)
    data = _peek(path)
    if export is not None and ("phases" in data or "arms" in data):
        raise BadInput(f"{path} is no single stage of the network.", "Only a trained stage can be exported as a model.")
    if "phases" in data:
        from onetoall_cli.training.vae import train_vae
        from onetoall_cli.training.vae_data import VaeSettings

        return train_vae(load_settings(VaeSettings, path), progress)
    from onetoall_cli.training.export import export_run
    from onetoall_cli.training.recipe import TrainingSettings
    from onetoall_cli.training.trainer import train

    if "arms" not in data:
        settings = load_settings(TrainingSettings, path)
        network = train(settings, progress, data_progress)
        if export is not None:
            export_run(settings.output, export)
        return network
    arms = [read_settings(TrainingSettings, arm, f"{path}: arm {name}") for name, arm in arms_of(data, path).items()]
    steps = sum(arm.steps for arm in arms)
    before = 0
    for arm in arms:
        train(arm, _counted_from(before, steps, progress), data_progress)
        before += arm.steps
    return arms[0].output.parent


def arms_of(data: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """The settings of each arm of an ablation: the common ones, with the arm's instead, `conditions` merged.

    Raises:
        BadInput: There are no arms, or they are no mappings.
    """
    common = {name: value for name, value in data.items() if name != "arms"}
    arms = data["arms"]
    if not isinstance(arms, dict) or not arms or not all(isinstance(arm, dict) for arm in arms.values()):
        raise BadInput(f"{path}: arms is not a mapping of settings.", "Write `arms: {name: {setting: value}}`.")
    if not isinstance(common.get("output"), str):
        raise BadInput(f"{path} lacks the setting 'output'.", "Name the folder that the arms' runs go to.")
    merged = {}
    for name, arm in arms.items():
        conditions = {**(common.get("conditions") or {}), **(arm.get("conditions") or {})}
        merged[name] = {**common, **arm, "conditions": conditions, "output": str(Path(common["output"]) / str(name))}
    return merged


def _counted_from(before: int, steps: int, progress: Progress | None) -> Progress | None:
    """Progress of one arm as progress of all."""
    return None if progress is None else lambda done, _: progress(before + done, steps)


def _peek(path: Path) -> dict[str, Any]:
    """A config's contents, to tell its kind; other mistakes in it are left for `load_settings` to name."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    if not isinstance(data, dict):
        return {}
    if "phases" not in data and "stage" not in data:
        raise BadInput(
            f"{path} describes neither a VAE (`phases`) nor a stage of the network (`stage`).",
            "Begin with one of the recipes in onetoall_cli/training/recipes.",
        )
    return data

"""One entry for every kind of training config: `run_config` reads the file and trains what it describes."""

from collections.abc import Callable
from pathlib import Path

import yaml

from onetoall_cli.errors import BadInput
from onetoall_cli.training.settings import load_settings

Progress = Callable[[int, int | None], None]


def run_config(path: Path | str, progress: Progress | None = None, data_progress: Progress | None = None) -> Path:
    """Train, or continue, what a config describes: a VAE (it has `phases`) or a stage of the network (it has `stage`).

    Relative paths in the config are relative to the working directory.

    Args:
        progress: called with (steps done, steps) after each step.
        data_progress: called with (videos done, videos) while the poses of a folder are detected.

    Returns:
        The folder of the finished VAE or network.

    Raises:
        BadInput: the config or what it names does not fit.
        ModelMissing: the VAE it names is not there.
    """
    path = Path(path)
    if _has_phases(path):
        from onetoall_cli.training.vae import train_vae
        from onetoall_cli.training.vae_data import VaeSettings

        return train_vae(load_settings(VaeSettings, path), progress)
    from onetoall_cli.training.recipe import TrainingSettings
    from onetoall_cli.training.trainer import train

    return train(load_settings(TrainingSettings, path), progress, data_progress)


def _has_phases(path: Path) -> bool:
    """Whether a config is a VAE's; mistakes in it are left for `load_settings` to name."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return False
    if isinstance(data, dict) and "phases" not in data and "stage" not in data:
        raise BadInput(
            f"{path} describes neither a VAE (`phases`) nor a stage of the network (`stage`).",
            "Begin with one of the recipes in onetoall_cli/training/recipes.",
        )
    return isinstance(data, dict) and "phases" in data

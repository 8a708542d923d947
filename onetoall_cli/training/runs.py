"""Training configs: `open_config` reads a YAML file or a recipe, `run_config` trains the runs that it describes.

A config is one run (of a VAE or of a stage of the network), a sequence of runs (`runs`), or an ablation (`arms`).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onetoall_cli.errors import BadInput
from onetoall_cli.training.preparation import Progress
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.settings import load_settings, read_settings, read_yaml
from onetoall_cli.training.vae_data import VaeSettings

RECIPES = Path(__file__).parent / "recipes"
Run = VaeSettings | TrainingSettings


@dataclass(frozen=True)
class Config:
    """A config that was read.

    Attributes:
        source: Its file.
        runs: The runs in order.
        arms: Folder of an ablation's arms; None if it is no ablation.
    """

    source: Path
    runs: tuple[Run, ...]
    arms: Path | None = None

    @property
    def steps(self) -> int:
        """Steps of all runs."""
        return sum(run.steps for run in self.runs)


def open_config(
    source: Path | str, *, data: Path | None = None, output: Path | None = None, strict: bool = False
) -> Config:
    """Read a config.

    Args:
        source: A YAML file, or the name of a recipe of the package (`videos-1.3b-lora`).
        data: Takes the place of `data.folder`, in a config of one stage.
        output: Takes the place of `output`.
        strict: Sets `data.strict`, in a config of one stage.

    Raises:
        BadInput: It cannot be read, or does not fit.
    """
    path = _find(source)
    content = read_yaml(path)
    parts = runs_of(content, path)
    given = {"data": data, "-o": output, "--strict": strict or None}
    if len(parts) > 1 or (isinstance(content, dict) and "runs" in content):
        refused = next((name for name, value in given.items() if value is not None), None)
        if refused:
            raise BadInput(f"{refused} is for a config of one run, not for {path}.", "Write it into the config.")
    for part in parts.values():
        _override(part, data, output, strict)
    runs = tuple(_settings(part, where) for where, part in parts.items())
    return Config(path, runs, Path(content["output"]) if "arms" in content else None)


def recipes() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _find(source: Path | str) -> Path:
    path, recipe = Path(source), RECIPES / f"{source}.yaml"
    if path.is_file() or str(source) not in recipes():
        if not path.exists() and path.suffix.lower() not in (".yaml", ".yml"):
            raise BadInput(f"There is no config or recipe '{source}'.", f"Recipes: {', '.join(recipes())}.")
        return path
    return recipe


def _override(run: dict[str, Any], data: Path | None, output: Path | None, strict: bool) -> None:
    if output is not None:
        run["output"] = str(output)
    if data is None and not strict:
        return
    given: dict[str, Any] = {"strict": True} if strict else {}
    given |= {"source": "videos", "folder": str(data)} if data is not None else {}
    before = run.get("data")
    run["data"] = {**before, **given} if isinstance(before, dict) else given


def run_config(
    config: Config | Path | str,
    progress: Progress | None = None,
    data_progress: Progress | None = None,
    *,
    export: Path | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Train, or continue, all runs of a config in order.

    Every run continues at its own newest checkpoint, so the same call continues an interrupted config. Relative paths
    in the config are relative to the working directory.

    Args:
        config: From `open_config`, or what that takes.
        progress: Called with (steps done, steps of all runs) after each step.
        data_progress: Called with (videos done, all videos) while the poses of a folder are detected.
        export: Folder to write the last run's network to as a model; one that onetoall wrote before is replaced.
        note: Called with lines on what was found in the data.

    Returns:
        The folder of the finished VAE or network, or the LoRA's file, of the last run; for an ablation the folder of
        its arms.

    Raises:
        BadInput: The config or what it names does not fit.
        ModelMissing: The VAE or model it names is not there.
    """
    config = config if isinstance(config, Config) else open_config(config)
    if export is not None and (config.arms or isinstance(config.runs[-1], VaeSettings)):
        raise BadInput(
            f"{config.source} does not end with a stage of the network.",
            "Only a trained stage can be exported as a model.",
        )
    if export is not None:
        from onetoall_cli.training.export import check_exportable, export_run

        check_exportable(next(run for run in config.runs if isinstance(run, TrainingSettings)))
    before, finished = 0, config.source
    for run in config.runs:
        finished = _train(run, _counted_from(before, config.steps, progress), data_progress, note)
        before += run.steps
    if export is not None and _is_main_process():
        export_run(config.runs[-1].output, export)
    return config.arms or finished


def prepare_config(
    config: Config,
    progress: Progress | None = None,
    data_progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Path]:
    """Prepare the videos and pictures of all runs of a config (see `encoding.prepare`); returns the caches' folders.

    Raises:
        BadInput: None of them has any, or they cannot be used.
        ModelMissing: The VAE or the pose detector is missing.
    """
    from onetoall_cli.training.encoding import prepare

    runs = [run for run in config.runs if isinstance(run, TrainingSettings) and run.data.source != "puppets"]
    if not runs:
        raise BadInput(f"{config.source} has neither videos nor pictures to prepare.", "Leave out --prepare.")
    told = note if _is_main_process() else None
    return [prepare(run, progress, data_progress, told) for run in runs]


def is_export_of(folder: Path, config: Config) -> bool:
    """Whether `folder` is a model that an earlier attempt of the same config exported."""
    try:
        exported = load_settings(TrainingSettings, folder / "training.yaml")
    except BadInput:
        return False
    return exported.output.resolve() == config.runs[-1].output.resolve()


def runs_of(data: Any, path: Path) -> dict[str, dict[str, Any]]:
    """The settings of each run of a config, by where they stand in it (for error messages).

    A run of `runs` or an arm of `arms` trains in a folder of its own name in `output`. An arm also takes the settings
    outside `arms`, a run those of an earlier one that it names in `like`; its own come before them, and `conditions`
    are merged.

    Raises:
        BadInput: The config describes no run.
    """
    if not isinstance(data, dict) or not {"phases", "stage", "runs"} & set(data):
        raise BadInput(
            f"{path} describes no VAE (`phases`), stage of the network (`stage`) or sequence of both (`runs`).",
            f"Begin with one of the recipes: {', '.join(recipes())}.",
        )
    kind = next((kind for kind in ("runs", "arms") if kind in data), None)
    if kind is None:
        return {str(path): dict(data)}
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
    described: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        base = common if kind == "arms" else _earlier(part, described, f"{path}: run {name}")
        described[name] = {**_merged(base, part), "output": _folder_of(data["output"], name, path)}
    return {f"{path}: {kind[:-1]} {name}": run for name, run in described.items()}


def _earlier(part: dict[str, Any], described: dict[str, dict[str, Any]], where: str) -> dict[str, Any]:
    """The settings of the earlier run that `like` names."""
    like = part.get("like")
    if like is None:
        return {}
    if not isinstance(like, str) or like not in described:
        raise BadInput(f"{where} is like no run before it.", f"Runs before it: {', '.join(described) or 'none'}.")
    return described[like]


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **{name: value for name, value in own.items() if name != "like"}}
    conditions = base.get("conditions"), own.get("conditions")
    if all(isinstance(each, dict) for each in conditions):
        merged["conditions"] = {name: value for each in conditions for name, value in each.items()}  # type: ignore[union-attr]
    return merged


def _folder_of(output: str, name: str, path: Path) -> str:
    if Path(name).name != name:
        raise BadInput(f"{path}: {name!r} is no name of a folder.", "Name the run without slashes.")
    return str(Path(output) / name)


def _settings(run: dict[str, Any], where: str) -> Run:
    return read_settings(VaeSettings, run, where) if "phases" in run else read_settings(TrainingSettings, run, where)


def _train(
    run: Run, progress: Progress | None, data_progress: Progress | None, note: Callable[[str], None] | None
) -> Path:
    if isinstance(run, VaeSettings):
        from onetoall_cli.training.vae import train_vae

        return train_vae(run, progress) if _is_main_process() else _waited_for(run.output / "vae")
    from onetoall_cli.training.trainer import train

    return train(run, progress, data_progress, note)


def _is_main_process() -> bool:
    """Whether this is the one process of several (`accelerate launch`) that does what only one may do."""
    return os.environ.get("RANK", "0") == "0"


def _waited_for(folder: Path) -> Path:
    """A folder that the main process writes: once it is written anew. (If that fails, the launcher ends us.)"""
    began, config = time.time(), folder / "config.json"
    while not (config.is_file() and config.stat().st_mtime >= began - 1):
        time.sleep(0.5)
    return folder


def _counted_from(before: int, steps: int, progress: Progress | None) -> Progress | None:
    """Progress of one run as progress of all."""
    return None if progress is None else lambda done, _: progress(before + done, steps)

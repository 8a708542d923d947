"""Checkpoints, written whole or not at all, with averaged weights, and the loss log of a run.

Data and noise of a step depend on (seed, step) alone. So a checkpoint needs weights, optimiser state and step number,
but no random state.
"""

import csv
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_folder

_NAME = re.compile(r"step-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """The state that a run continues from. `parts` holds state dicts by name ("model", "optimiser", "average" ...)."""

    step: int
    parts: Mapping[str, Any]


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Write `run/checkpoints/step-N`, whole or not at all, and return its path. An existing one is replaced."""
    folder = Path(run) / "checkpoints" / f"step-{checkpoint.step:07d}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as temporary:
        for name, state in checkpoint.parts.items():
            with open(temporary / f"{name}.pt", "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())  # the rename must not reach the disk before the contents
    return folder


def latest_checkpoint(run: Path) -> Path | None:
    """The checkpoint of `run` with the highest step; None if there is none."""
    return max(_checkpoints(run), key=_step_of, default=None)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        BadInput: The folder is not a checkpoint, or cannot be read.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.pt"))
    if not _NAME.match(folder.name) or not files:
        raise BadInput(f"{folder} is not a training checkpoint.", "Name a folder like RUN/checkpoints/step-0001000.")
    try:
        parts = {file.stem: torch.load(file, map_location="cpu", weights_only=True) for file in files}
    except (RuntimeError, OSError, EOFError) as error:
        problem = f"The checkpoint {folder} cannot be read: {error}."
        raise BadInput(problem, "Delete it: training then continues from an earlier one.") from error
    return Checkpoint(_step_of(folder), parts)


def prune_checkpoints(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints; 0 keeps every one."""
    folders = sorted(_checkpoints(run), key=_step_of)
    for folder in folders[:-keep] if keep else []:
        shutil.rmtree(folder)


def _checkpoints(run: Path) -> list[Path]:
    return [path for path in (Path(run) / "checkpoints").glob("step-*") if _NAME.match(path.name)]


def _step_of(folder: Path) -> int:
    match = _NAME.match(folder.name)
    assert match is not None
    return int(match.group(1))


class Average:
    """An exponential moving average of a module's trainable parameters, in float32.

    The decay of update k is at most (1 + k) / (10 + k), so that the average soon forgets the initial weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {
            name: parameter.detach().float().clone()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Include the module's current parameters."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = dict(module.named_parameters())
        for name, value in self.values.items():
            value.lerp_(parameters[name].detach().float(), 1 - decay)

    def merged(self, module: nn.Module) -> dict[str, Tensor]:
        """The module's state dict with averaged parameters in place of the trained ones."""
        state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        for name, value in self.values.items():
            state[name] = value.to(state[name].dtype).clone()
        return state

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if set(state["values"]) != set(self.values):
            raise BadInput(
                "The checkpoint's averaged parameters are not those this stage trains.",
                "Resume with the config the run was started with; start another stage with `init_from`.",
            )
        self.updates = state["updates"]
        for name, value in state["values"].items():
            self.values[name].copy_(value)


class LossLog:
    """A CSV file with a row of figures for each step.

    Opening it at a step drops the rows from that step on, so that a continued run has one row for each step.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], first_step: int) -> None:
        self.path, self.columns = Path(path), ("step", *columns)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in self._rows() if int(row["step"]) < first_step]
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(kept)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8") as file:
            # A row cut short by a kill has empty columns: it is dropped.
            return [row for row in csv.DictReader(file) if list(row) == list(self.columns) and all(row.values())]

    def add(self, step: int, **figures: float) -> None:
        """Append one row."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            values = {name: format(value, ".6g") for name, value in figures.items()}
            csv.DictWriter(file, self.columns).writerow({"step": str(step), **values})

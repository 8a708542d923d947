"""Checkpoints, written whole or not at all, with averaged weights, and the loss log of a run.

A checkpoint is safetensors files and a list of them, so nothing in it can be executed. Data and noise of a step depend
on (seed, step) alone: a checkpoint needs weights, optimiser state and step number, but no random state.
"""

import csv
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_folder
from onetoall_cli.training.sharding import part_of

_NAME = re.compile(r"step-(\d+)$")
_STATE = "state.json"
PARTS = ("weights", "average", "optimiser")
_BLOCK = 1 << 22  # bytes read at a time for a checksum


@dataclass(frozen=True)
class Checkpoint:
    """The state that a run continues from.

    Attributes:
        step: Steps done.
        updates: Updates of the average.
        weights: The trained parameters, as they are trained.
        average: Their averages, if the run keeps any.
        optimiser: What the optimisers keep of each of them, from `optimiser_tensors`.
    """

    step: int
    updates: int
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]

    @property
    def result(self) -> dict[str, Tensor]:
        """What the training has reached: the averaged parameters, or the trained ones."""
        return {**self.weights, **self.average}


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Write `run/checkpoints/step-N`, whole or not at all, and return its path. An existing one is replaced."""
    folder = Path(run) / "checkpoints" / f"step-{checkpoint.step:07d}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder, "checkpoint") as temporary:
        checksums = {}
        for part in PARTS:
            file = temporary / f"{part}.safetensors"
            save_file({name: value.detach().contiguous() for name, value in getattr(checkpoint, part).items()}, file)
            checksums[part] = _checksum(file)
            _to_disk(file)
        state = {"step": checkpoint.step, "updates": checkpoint.updates, "checksums": checksums}
        (temporary / _STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        _to_disk(temporary / _STATE)
    return folder


def latest_checkpoint(run: Path) -> Path | None:
    """The checkpoint of `run` with the highest step; None if there is none."""
    return max(_checkpoints(run), key=_step_of, default=None)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        BadInput: The folder is not a checkpoint, or it is damaged; the message names the file.
    """
    folder = Path(folder)
    if not _NAME.match(folder.name) or not folder.is_dir():
        raise BadInput(f"{folder} is not a training checkpoint.", "Name a folder like RUN/checkpoints/step-0001000.")
    step, updates, checksums = _read_state(folder)
    tensors = {part: _read_part(folder / f"{part}.safetensors", checksums[part]) for part in PARTS}
    return Checkpoint(step, updates, **tensors)


def _read_state(folder: Path) -> tuple[int, int, dict[str, int]]:
    file = folder / _STATE
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        step, updates = int(state["step"]), int(state["updates"])
        checksums = {part: int(state["checksums"][part]) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise _damaged(file) from error
    if step != _step_of(folder):
        raise _damaged(file)
    return step, updates, checksums


def _read_part(file: Path, checksum: int) -> dict[str, Tensor]:
    try:
        if _checksum(file) != checksum:
            raise _damaged(file)
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise _damaged(file) from error


def _damaged(file: Path) -> BadInput:
    advice = f"Delete {file.parent}: training then continues from the checkpoint before it, or from the start."
    return BadInput(f"The checkpoint {file.parent} is damaged: {file.name} is not what was written.", advice)


def _checksum(file: Path) -> int:
    """The CRC-32 of a file: safetensors itself notices no changed byte of a tensor."""
    value = 0
    with open(file, "rb") as opened:
        while block := opened.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _to_disk(file: Path) -> None:
    """Wait until a file is on the disk: the rename must not reach it before the contents."""
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


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


# -- optimisers ---------------------------------------------------------------------------------------------------


def optimiser_tensors(optimisers: Sequence[Optimizer], module: nn.Module) -> dict[str, Tensor]:
    """What optimisers keep of a module's parameters, by `PARAMETER/STATE`. Their settings are the config's."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for optimiser in optimisers
        for parameter, kept in optimiser.state.items()
        for key, value in kept.items()
    }


def restore_optimisers(optimisers: Sequence[Optimizer], module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give optimisers the state that `optimiser_tensors` returned.

    Raises:
        BadInput: It is the state of other optimisers.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    kept: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, kind = key.rpartition("/")
        kept.setdefault(name, {})[kind] = value
    for optimiser in optimisers:
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state = {
            number: {kind: part_of(value, parameter) for kind, value in kept.pop(names[parameter]).items()}
            for number, parameter in enumerate(parameters)
            if names[parameter] in kept
        }
        _check_kind(optimiser, state)
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    if kept:
        raise _other_optimiser()


def _check_kind(optimiser: Optimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Refuse the state of another kind of optimiser, of which each keeps tensors of its own names."""
    wanted = {"momentum_buffer"} if _is_muon(optimiser) else {"step", "exp_avg", "exp_avg_sq"}
    if any(set(kept) != wanted for kept in state.values()):
        raise _other_optimiser()


def _is_muon(optimiser: Optimizer) -> bool:
    return isinstance(getattr(optimiser, "optimizer", optimiser), torch.optim.Muon)  # accelerate wraps optimisers


def _other_optimiser() -> BadInput:
    return BadInput(
        "The checkpoint has another optimiser than this config.",
        "Resume with the run's own optimiser; go on with another by init_from.",
    )


# -- averages -----------------------------------------------------------------------------------------------------


class Average:
    """An exponential moving average of a module's trainable parameters, in float32; with decay 0 it keeps none.

    The decay of update k is at most (1 + k) / (10 + k), so that the average soon forgets the initial weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {
            name: parameter.detach().float().clone()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and decay > 0
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

    @contextmanager
    @torch.no_grad()
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Give the module its averaged parameters, in evaluation mode, while the context is active."""
        parameters = dict(module.named_parameters())
        trained = {name: parameters[name].detach().clone() for name in self.values}
        for name, value in self.values.items():
            parameters[name].copy_(value)
        module.eval()
        try:
            yield
        finally:
            for name, value in trained.items():
                parameters[name].copy_(value)
            module.train()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on with a checkpoint's averages.

        Raises:
            BadInput: They are those of other parameters.
        """
        shapes = {name: value.shape for name, value in self.values.items()}
        if {name: value.shape for name, value in checkpoint.average.items()} != shapes:
            raise BadInput(
                "The checkpoint's averaged parameters are not those this stage trains.",
                "Resume with the config the run was started with; start another stage with `init_from`.",
            )
        self.updates = checkpoint.updates
        for name, value in checkpoint.average.items():
            self.values[name].copy_(part_of(value, self.values[name]))


# -- the log ------------------------------------------------------------------------------------------------------


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

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows: list[dict[str, Any]] = list(csv.DictReader(file))
            if rows and not self._is_whole(rows[-1]):
                rows.pop()  # a kill cut it short
            if not all(map(self._is_whole, rows)):
                raise ValueError("not rows of this log")
        except (OSError, ValueError, csv.Error) as error:
            advice = "Move it away: the run then goes on, with a new log."
            raise BadInput(f"{self.path} is damaged, or no log of this run.", advice) from error
        return rows

    def _is_whole(self, row: dict[str, Any]) -> bool:
        # What is not measured at every step is empty, but the last figure never: a kill cuts rows short.
        values = list(row.values())
        return list(row) == list(self.columns) and None not in values and values[-1] and str(row["step"]).isdecimal()

    def add(self, step: int, **figures: float | None) -> None:
        """Append one row; None is an empty figure."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            values = {name: "" if value is None else format(value, ".6g") for name, value in figures.items()}
            csv.DictWriter(file, self.columns).writerow({"step": str(step), **values})

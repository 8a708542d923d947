"""Checkpoints: whole or absent, newest first; the averages and logs that go with them."""

import pytest
import torch
from torch import nn

from onetoall_cli.errors import BadInput
from onetoall_cli.training.checkpoints import (
    Average,
    Checkpoint,
    LossLog,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"trained": {"weight": torch.full((2,), float(step))}})


def test_the_newest_checkpoint_is_found_and_read_back(tmp_path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for step in (90, 1000, 200):
        save_checkpoint(tmp_path, checkpoint(step))
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    loaded = load_checkpoint(newest)
    assert loaded.step == 1000
    assert torch.equal(loaded.parts["trained"]["weight"], torch.tensor([1000.0, 1000.0]))


def test_what_a_kill_leaves_half_written_is_no_checkpoint(tmp_path) -> None:
    save_checkpoint(tmp_path, checkpoint(5))
    (tmp_path / "checkpoints" / ".step-0000010-abc").mkdir()  # the temporary name while writing
    newest = latest_checkpoint(tmp_path)
    assert newest is not None and newest.name == "step-0000005"


def test_a_failing_save_leaves_nothing(tmp_path) -> None:
    with pytest.raises(Exception):  # noqa: B017 - whatever torch raises
        save_checkpoint(tmp_path, Checkpoint(7, {"good": {}, "trained": lambda: None}))
    assert latest_checkpoint(tmp_path) is None
    assert not list((tmp_path / "checkpoints").iterdir())


def test_pruning_keeps_the_newest(tmp_path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, checkpoint(step))
    prune_checkpoints(tmp_path, 0)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4
    prune_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-0000003", "step-0000004"]


def test_damaged_and_foreign_folders_are_named(tmp_path) -> None:
    folder = save_checkpoint(tmp_path, checkpoint(3))
    (folder / "trained.pt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(BadInput, match="step-0000003"):
        load_checkpoint(folder)
    with pytest.raises(BadInput, match="not a training checkpoint"):
        load_checkpoint(tmp_path)


def test_the_average_follows_slowly_and_only_what_is_trained() -> None:
    module = nn.Linear(2, 1, bias=True)
    module.bias.requires_grad_(False)
    with torch.no_grad():
        module.weight.zero_()
    average = Average(module, decay=0.9)
    with torch.no_grad():
        module.weight.fill_(1.0)
        module.bias.fill_(5.0)
    for _ in range(200):
        average.update(module)
    merged = average.merged(module)
    assert merged["weight"].mean() == pytest.approx(1.0, abs=1e-6)
    with torch.no_grad():
        module.weight.fill_(2.0)
    average.update(module)
    assert average.merged(module)["weight"].mean() == pytest.approx(1.1)
    assert average.merged(module)["bias"].item() == 5.0


def test_the_first_updates_forget_the_random_start() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, decay=0.999)
    with torch.no_grad():
        module.weight.fill_(3.0)
    for _ in range(20):
        average.update(module)
    assert average.merged(module)["weight"].item() == pytest.approx(3.0, abs=0.01)


def test_an_average_of_other_parameters_is_refused() -> None:
    first, second = Average(nn.Linear(1, 1), 0.9), Average(nn.Linear(1, 1, bias=False), 0.9)
    with pytest.raises(BadInput, match="not those"):
        second.load_state_dict(first.state_dict())


def test_a_continued_log_has_one_row_per_step(tmp_path) -> None:
    path = tmp_path / "loss.csv"
    log = LossLog(path, ("loss",), 0)
    for step in range(5):
        log.add(step, loss=float(step))
    with open(path, "a") as file:
        file.write("5,")  # killed while writing
    log = LossLog(path, ("loss",), 3)
    log.add(3, loss=30.0)
    assert path.read_text().splitlines() == ["step,loss", "0,0", "1,1", "2,2", "3,30"]

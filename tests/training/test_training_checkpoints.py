"""Checkpoints: whole or absent, newest first; the averages and logs that go with them."""

from dataclasses import replace

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
    optimiser_tensors,
    prune_checkpoints,
    restore_optimisers,
    save_checkpoint,
)


def checkpoint(step: int) -> Checkpoint:
    weights = {"weight": torch.full((2,), float(step))}
    return Checkpoint(step, 2, weights, weights, {"weight/step": torch.tensor(float(step))})


def test_the_newest_checkpoint_is_found_and_read_back(tmp_path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for step in (90, 1000, 200):
        save_checkpoint(tmp_path, checkpoint(step))
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    loaded = load_checkpoint(newest)
    assert loaded.step == 1000
    assert torch.equal(loaded.weights["weight"], torch.tensor([1000.0, 1000.0]))
    assert loaded.updates == 2 and loaded.optimiser["weight/step"] == 1000
    assert {path.suffix for path in newest.iterdir() if not path.name.startswith(".")} == {".safetensors", ".json"}


def test_what_a_kill_leaves_half_written_is_no_checkpoint(tmp_path) -> None:
    save_checkpoint(tmp_path, checkpoint(5))
    (tmp_path / "checkpoints" / ".step-0000010-abc").mkdir()  # the temporary name while writing
    newest = latest_checkpoint(tmp_path)
    assert newest is not None and newest.name == "step-0000005"


def test_a_failing_save_leaves_nothing(tmp_path) -> None:
    broken = replace(checkpoint(7), optimiser={"weight/step": None})
    with pytest.raises(AttributeError):
        save_checkpoint(tmp_path, broken)
    assert latest_checkpoint(tmp_path) is None
    assert not list((tmp_path / "checkpoints").iterdir())


def test_pruning_keeps_the_newest(tmp_path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, checkpoint(step))
    prune_checkpoints(tmp_path, 0)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4
    prune_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-0000003", "step-0000004"]


@pytest.mark.parametrize("name", ["weights.safetensors", "average.safetensors", "optimiser.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "garbage", "missing"])
def test_a_damaged_checkpoint_is_named(tmp_path, name, damage) -> None:
    folder = save_checkpoint(tmp_path, checkpoint(3))
    whole = (folder / name).read_bytes()
    place = whole.index(b'"step": 3') + 8 if name == "state.json" else len(whole) - 1
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    damaged = {"empty": b"", "cut": whole[:-9], "flipped": flipped, "garbage": b"\x80\x04\xff" * 50}
    (folder / name).unlink()
    if damage in damaged:
        (folder / name).write_bytes(damaged[damage])
    with pytest.raises(BadInput, match="step-0000003 is damaged") as error:
        load_checkpoint(folder)
    assert name in str(error.value) and "weights_only" not in str(error.value)


def test_other_folders_are_no_checkpoints(tmp_path) -> None:
    with pytest.raises(BadInput, match="not a training checkpoint"):
        load_checkpoint(tmp_path)


def stepped(kind: type, **options) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Linear(3, 2, bias=False)
    optimiser = kind(module.parameters(), lr=0.1, **options)
    module(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return module, optimiser


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Muon])
def test_an_optimiser_goes_on_from_its_tensors(kind) -> None:
    (module, optimiser), (other, continued) = stepped(kind), stepped(kind)
    optimiser.step()
    other.load_state_dict(module.state_dict())
    kept = {name: value.clone() for name, value in optimiser_tensors([optimiser], module).items()}
    restore_optimisers([continued], other, kept)
    for each in (optimiser, continued):
        each.step()
    assert torch.equal(module.weight, other.weight)


def test_another_optimisers_state_is_refused() -> None:
    module, adam = stepped(torch.optim.AdamW)
    other, muon = stepped(torch.optim.Muon)
    with pytest.raises(BadInput, match="another optimiser"):
        restore_optimisers([muon], other, optimiser_tensors([adam], module))
    with pytest.raises(BadInput, match="another optimiser"):
        restore_optimisers([adam], module, {"no.such/step": torch.tensor(1.0)})


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
        second.restore(Checkpoint(1, first.updates, {}, first.values, {}))


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


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"step,loss\nzero,1\n1,2\n", b"a,b\n1,2\n3,4\n"])
def test_a_damaged_log_is_named(tmp_path, content) -> None:
    path = tmp_path / "loss.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"loss\.csv is damaged"):
        LossLog(path, ("loss",), 3)
    assert path.read_bytes() == content

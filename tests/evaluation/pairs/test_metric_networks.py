"""Metric networks against their published implementations: names of the weights, and outputs on the recipe's weights.

The golden outputs were computed with the published code of each network on `recipe_tensor`'s weights.
"""

import json
import pickle

import pytest
import torch
from golden_recipe import DATA, recipe_tensor, rnd
from safetensors.torch import save_file

from onetoall_cli.errors import ModelMissing
from onetoall_cli.evaluation.networks import stored

GOLDEN = json.loads((DATA / "metric_networks.json").read_text())
GOLDEN["inception"]["tensors"] = {
    **GOLDEN["inception-tv"]["tensors"],
    "fc.weight": [1008, 2048],
    "fc.bias": [1008],
}
INPUTS = {
    "i3d": lambda: [rnd(1, 1, 3, 8, 224, 224).tanh()],
    "resnet3d": lambda: [rnd(2, 1, 3, 16, 112, 112).tanh() * 100],
    "inception-tv": lambda: [rnd(3, 1, 3, 299, 299).tanh()],
    "inception": lambda: [rnd(3, 1, 3, 299, 299).tanh()],
    "lpips-vgg": lambda: [rnd(4, 1, 3, 64, 72).tanh(), rnd(5, 1, 3, 64, 72).tanh()],
    "lpips-alex": lambda: [rnd(4, 1, 3, 64, 72).tanh(), rnd(5, 1, 3, 64, 72).tanh()],
}


def published(entry: str) -> dict[str, torch.Tensor]:
    """The recipe's weights under the published names, without classifiers, which no feature depends on."""
    tensors = {}
    for name, shape in GOLDEN[entry]["tensors"].items():
        if name.startswith(stored.NETWORKS[entry].unused or "\0") or name.endswith("num_batches_tracked"):
            continue
        tensors[name] = recipe_tensor(name, shape)
        if name.endswith("running_var"):
            tensors[name] = tensors[name].abs() + 0.5
    return tensors


@pytest.mark.parametrize("entry", stored.NETWORKS)
def test_every_published_tensor_has_its_place_and_shape(entry):
    with torch.device("meta"):
        module = stored.NETWORKS[entry].make()
        tensors = {name: torch.empty(shape) for name, shape in GOLDEN[entry]["tensors"].items()}
    unused = stored.NETWORKS[entry].unused or "\0"
    stored.fill(module, {name: value for name, value in tensors.items() if not name.startswith(unused)}, source="it")


@pytest.mark.parametrize("entry", stored.NETWORKS)
@torch.no_grad()
def test_outputs_equal_the_published_implementations(entry):
    module = stored.NETWORKS[entry].make().eval()
    stored.fill(module, published(entry), source="the recipe")
    found = module(*INPUTS[entry]()).flatten()[:8]
    torch.testing.assert_close(found, torch.tensor(GOLDEN[entry]["output"]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_weights_of_another_network_are_refused_by_name(change):
    tensors = published("lpips-alex")
    if change == "missing":
        del tensors["features.3.bias"]
    elif change == "unknown":
        tensors["features.99.bias"] = torch.zeros(1)
    else:
        tensors["features.3.bias"] = torch.zeros(7)
    with pytest.raises(ModelMissing, match=r"features\.(3|99)\.bias"):
        stored.fill(stored.NETWORKS["lpips-alex"].make(), tensors, source="it")


@pytest.fixture
def installed_as(monkeypatch, machine):
    def install(path):
        monkeypatch.setattr(stored, "entry_file", lambda entry: path)

    return install


def test_a_pickle_of_a_training_run_is_read_as_tensors_once_and_kept_as_safetensors(tmp_path, machine, installed_as):
    checkpoint = tmp_path / "alexnet.pth"
    tensors = {f"module.{name}": value for name, value in published("lpips-alex").items()}
    torch.save({"epoch": 3, "arch": "alexnet", "state_dict": tensors}, checkpoint)
    installed_as(checkpoint)
    first = stored.load_network("lpips-alex", torch.device("cpu"))
    (kept,) = machine.rglob("alexnet-*.safetensors")
    date = kept.stat().st_mtime_ns
    second = stored.load_network("lpips-alex", torch.device("cpu"))
    assert kept.stat().st_mtime_ns == date
    pictures = INPUTS["lpips-alex"]()
    assert torch.equal(first(*pictures), second(*pictures))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, installed_as):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return open, (str(ran), "w")

    (tmp_path / "i3d.pt").write_bytes(pickle.dumps({"state_dict": Evil()}, protocol=2))
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    torch.save(["no", "tensors"], tmp_path / "list.pt")
    for name in ("i3d.pt", "evil.pt", "list.pt"):
        installed_as(tmp_path / name)
        with pytest.raises(ModelMissing, match="more than tensors"):
            stored.load_network("i3d", torch.device("cpu"))
    assert not ran.exists()


def test_a_truncated_file_is_named(tmp_path, installed_as):
    file = tmp_path / "model.safetensors"
    save_file(published("lpips-alex"), file)
    file.write_bytes(file.read_bytes()[:-100])
    installed_as(file)
    with pytest.raises(ModelMissing, match=r"model\.safetensors"):
        stored.load_network("lpips-alex", torch.device("cpu"))

"""A machine of its own for every test: empty cache, empty data folder, and a hub on the loopback."""

import pytest
from fake_hub import FakeHub
from hub_models import CATALOGUE, NETWORK_REPOSITORY, WAN_REPOSITORY, network_files, wan_files


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty machine; nothing of the real user's folders is seen. Returns its root."""
    from huggingface_hub import constants

    for name in ("DATA", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # for the processes that tests start
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("onetoall_cli.hub.remote.FIRST_WAIT", 0.01)
    return tmp_path


@pytest.fixture
def hub(machine, monkeypatch):
    """A hub that holds the reduced 1.3B and Wan's repository."""
    from huggingface_hub import constants

    hub = FakeHub()
    endpoint = hub.start()
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    hub.add(NETWORK_REPOSITORY, network_files())
    hub.add(WAN_REPOSITORY, wan_files())
    own = machine / "config" / "onetoall" / "catalogue.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(CATALOGUE)
    yield hub
    hub.stop()


@pytest.fixture
def fetch():
    """Fetch entries in this process; returns the plan that was carried out."""
    from onetoall_cli.hub.fetch import plan_fetch, run_plan

    def run(*names, **options):
        plan = plan_fetch(names, **options)
        run_plan(plan)
        return plan

    return run

"""What holds for all tests."""

import logging
import os
import subprocess
import sys
import warnings

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes run tests as pyproject.toml says: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
THREADS = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)

pytest_plugins = ["command_fixtures", "hub_fixtures"]

# How long a test takes says how busy the machine is. CI draws the same examples every time.
settings.register_profile("onetoall", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("onetoall")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Nothing that a test finds comes from the user's cache, or from another test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def logging_as_before():
    """A command run in a test routes the process's logging and warnings to its own console: take that back."""
    root, ours = logging.getLogger(), logging.getLogger("onetoall_cli")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    with warnings.catch_warnings():
        yield
    logging.disable(logging.NOTSET)
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture(autouse=True)
def threads_as_before():
    """Training sets the number of threads for the whole process: take that back, or what follows takes longer."""
    yield
    if "torch" in sys.modules:
        import torch

        if torch.get_num_threads() < THREADS:
            torch.set_num_threads(THREADS)


@pytest.fixture
def busy_machine():
    """Every core has something else to do."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    yield
    for each in busy:
        each.kill()
        each.wait()

"""What holds for all tests."""

import logging
import os
import warnings

import pytest
from hypothesis import settings

pytest_plugins = ["command_fixtures", "hub_fixtures"]

# How long a test takes says how busy the machine is. CI draws the same examples every time.
settings.register_profile("onetoall", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("onetoall")


@pytest.fixture(autouse=True)
def logging_as_before():
    """A command run in a test routes the process's logging and warnings to its own console: take that back."""
    root, ours = logging.getLogger(), logging.getLogger("onetoall_cli")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    with warnings.catch_warnings():
        yield
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])

"""What torch is told so that the same seed gives the same result, and what promises no such thing."""

import os

import pytest
import torch

from onetoall_cli.runtime import compute_deterministically, why_not_repeatable


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """`compute_deterministically`, undone afterwards."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    fills = torch.utils.deterministic.fill_uninitialized_memory
    compute_deterministically()
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills


def test_torch_takes_the_deterministic_way_and_fills_no_new_tensor_for_it():
    assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_workspace_that_the_user_chose_stays(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    compute_deterministically()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.parametrize(
    ("device", "attention", "named"),
    [("cpu", "auto", None), ("cuda:1", "flash", None), ("mps", "auto", "mps"), ("cuda", "sage", "sage")],
)
def test_what_promises_no_equal_results_is_named(device, attention, named):
    why = why_not_repeatable(torch.device(device), attention)
    assert (why is None) if named is None else (named in why)

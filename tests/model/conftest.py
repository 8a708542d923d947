import pytest
import torch
from golden_cases import new_model

from onetoall_cli.model import OneToAllTransformer3DModel


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """These tensors are so small that threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny() -> OneToAllTransformer3DModel:
    """The golden tiny network; tests that change it build their own with `new_model`."""
    return new_model()

"""Several processes that know each other, as torchrun starts them, but forked: nothing is imported again."""

import multiprocessing
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

Found = TypeVar("Found")


def in_processes(count: int, folder: Path, work: Callable[[], Found]) -> list[Found]:
    """What `work` returns in each of `count` processes, by rank; they leave it in `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    fork = multiprocessing.get_context("fork")
    forks = [fork.Process(target=_run, args=(rank, address, folder, work)) for rank in range(count)]
    for each in forks:
        each.start()
    for each in forks:
        each.join(120)
        each.kill()
        assert each.exitcode == 0
    return [pickle.loads((folder / f"rank{rank}").read_bytes()) for rank in range(count)]


def _run(rank: int, address: dict[str, str], folder: Path, work: Callable[[], object]) -> None:
    torch.set_num_threads(1)  # threads do not survive a fork
    os.environ.update({**address, "RANK": str(rank), "LOCAL_RANK": str(rank)})
    (folder / f"rank{rank}").write_bytes(pickle.dumps(work()))

"""Who makes a batch beside the process that holds its journal: other processes here, or on the nodes of a cluster.

All run the same loop (`worker.Worker`) and meet in the leases; crews differ only in how they start it and end it.
"""

import _thread
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from onetoall_cli.animator.progress import Listener
from onetoall_cli.batch.leases import Leases
from onetoall_cli.batch.worker import MOST_TRIES, Share, Worker
from onetoall_cli.errors import BadInput, OnetoallError
from onetoall_cli.stopping import Stop, raise_if_stopped, raise_signals

ENDS_WITHIN = 60.0  # seconds that a worker has to end after it was asked to


class Crew(Protocol):
    """Workers that are started together."""

    @property
    def size(self) -> int:
        """How many there are."""

    @contextmanager
    def at_work(self, share: Share) -> Iterator[None]:
        """Have them work while the block lasts; what is not ended by then can be taken up later."""

    def check(self) -> None:
        """Start those anew that ended without need.

        Raises:
            OnetoallError: None of them can go on.
        """


@dataclass
class LocalCrew:
    """Processes on this machine, each with a part of its processors and, where there are any, a GPU of its own.

    Attributes:
        size: How many.
        gpus: The GPUs, as `CUDA_VISIBLE_DEVICES` names them; none: they work on the CPU.
    """

    size: int
    gpus: tuple[str, ...] = ()
    _processes: list[Any] = field(default_factory=list)
    _share: Share | None = None
    _deaths: int = 0

    @contextmanager
    def at_work(self, share: Share) -> Iterator[None]:
        self._share = share
        try:
            self._processes = [self._started(index) for index in range(self.size)]
            yield
        finally:
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.join(ENDS_WITHIN)
                process.kill()

    def check(self) -> None:
        for index, process in enumerate(self._processes):
            if process.exitcode:  # None: it lives; 0: all tasks have ended
                self._deaths += 1
                if self._deaths > MOST_TRIES * self.size:
                    raise OnetoallError(
                        f"The workers end as soon as they have begun (exit code {process.exitcode}).",
                        f"See {self._log(index)}.",
                    )
                self._processes[index] = self._started(index)

    def _started(self, index: int) -> Any:
        assert self._share is not None
        arguments = (self._share, index, self.size, self.gpus, self._log(index))
        process = multiprocessing.get_context("spawn").Process(target=_work_here, args=arguments)
        process.start()
        return process

    def _log(self, index: int) -> Path:
        assert self._share is not None
        return Leases(self._share.journal).folder / f"worker-{index + 1}.log"


def local_crew(size: int, devices: Iterable[str]) -> LocalCrew:
    """So many processes here.

    Args:
        size: How many.
        devices: What the tasks' models ask for (`ModelSettings.device`).

    Raises:
        BadInput: There are fewer GPUs, or a task asks for a certain one.
    """
    import torch

    wanted = set(devices)
    if numbered := sorted(device for device in wanted if ":" in device):
        raise BadInput(f"Each worker has a GPU of its own, and {numbered[0]} is asked for.", "Leave --device out.")
    if wanted == {"cpu"} or not torch.cuda.is_available():
        return LocalCrew(size)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = tuple(named.split(",") if named else map(str, range(torch.cuda.device_count())))
    if size > len(gpus):
        raise BadInput(f"{size} workers need a GPU each, and there are {len(gpus)}.", f"Say --workers {len(gpus)}.")
    return LocalCrew(size, gpus)


def _work_here(share: Share, index: int, size: int, gpus: tuple[str, ...], log: Path) -> NoReturn:
    """What a process of `LocalCrew` runs; torch is not loaded yet, so it sees what it is given here."""
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process ends it
    raise_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index]
    if hasattr(os, "sched_setaffinity"):
        own = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, own[index * len(own) // size : (index + 1) * len(own) // size] or own)
    else:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // size))
    try:
        Worker(share, Listener(progress=lambda *_: raise_if_stopped())).run()
    except Stop:
        sys.exit(128 + signal.SIGTERM)
    sys.exit()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _thread.interrupt_main(signal.SIGTERM)

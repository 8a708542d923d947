"""Several processes that make one video together: how they find each other, take orders, and end together.

They are started by `torchrun`, `accelerate launch` or `started`. The first one leads: it alone reads inputs, writes and
talks, and the others do what it says. Whichever fails first tells why; the others end in silence.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from onetoall_cli.errors import BadInput, OnetoallError, OutOfResources

if TYPE_CHECKING:
    import torch

_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun, accelerate and `started`
_LEADER = "ONETOALL_LEADER"  # process id of the one that started this one
# Others wait so long for the first, which may detect poses or encode a video meanwhile. If it ends, they end at once.
PATIENCE = timedelta(days=1)
GRACE = 15.0  # seconds that a process may wait in a collective for one that is gone, before it is ended
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket Timeout", "recv, timeout")
_HERE, _FAILURE = "here", "failure"  # keys of the store

_store: Any = None  # shared by the processes once they have met
_lost: list[int] = []  # exit codes of processes that ended before the first


def count() -> int:
    """How many processes were started for this run."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _NAMES) else 1


def rank() -> int:
    """This process's number; 0 leads."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def local_device(name: str) -> str:
    """The device of this process where the run's is `name`: "cuda" becomes the GPU of its number on this machine."""
    if count() == 1 or name not in ("auto", "cuda"):
        return name
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', rank())}" if torch.cuda.is_available() else name


def check_devices(name: str, processes: int) -> None:
    """Check that each process on this machine can have a GPU of its own, unless they are to use the CPU.

    Args:
        name: The run's device, as the user names it.
        processes: How many there are to be.

    Raises:
        BadInput: It cannot.
    """
    import torch

    here, found = int(os.environ.get("LOCAL_WORLD_SIZE", processes)), torch.cuda.device_count()
    if name != "cpu" and (name not in ("auto", "cuda") or here > found):
        raise BadInput(
            f"{here} processes need as many GPUs; this machine has {found}, and the device is {name!r}.",
            "Lower --gpus and leave --device out; --device cpu runs them on the CPU, which is no faster.",
        )


@contextmanager
def started(processes: int) -> Iterator[None]:
    """Start the others of so many processes, each with this process's command line, and lead them.

    They are ended with the block, and the run ends if one of them does.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # torch's complaints where the first process is gone
    command = [sys.executable, "-m", "onetoall_cli", *sys.argv[1:]]
    others: list[subprocess.Popen] = []
    ending = threading.Event()
    os.environ.update({**shared, "RANK": "0", "LOCAL_RANK": "0"})
    try:
        for number in range(1, processes):
            own = {"RANK": str(number), "LOCAL_RANK": str(number), _LEADER: str(os.getpid())}
            environment = {**quiet, **os.environ, **own}
            # in a session of their own, as the terminal's Ctrl-C is for the first, which ends them
            other = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
            threading.Thread(target=_end_with, args=(other, ending), daemon=True).start()
            others.append(other)
        yield
    finally:
        ending.set()
        for other in others:
            other.kill()  # they own nothing that they would have to clean up
        for name in (*shared, "RANK", "LOCAL_RANK"):
            os.environ.pop(name, None)


def _end_with(other: subprocess.Popen, ending: threading.Event) -> None:
    """End this process where another one failed and the collective that it is in does not notice."""
    code = other.wait()
    if code != 0 and not ending.is_set():
        _lost.append(code)
        if not ending.wait(GRACE):
            os._exit(code if code > 0 else OutOfResources.exit_code)


def watch_leader() -> None:
    """End this process once the one that started it is gone."""
    leader = os.environ.get(_LEADER)

    def watch() -> None:
        while str(os.getppid()) == leader:
            time.sleep(1)
        os._exit(1)

    if leader is not None and os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def meet(device: "torch.device") -> None:
    """Wait until all processes are here; orders then go over the CPU, tensors over the device."""
    global _store
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count()))
    keeps_store = rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    shared = dist.TCPStore(*address, is_master=keeps_store, timeout=PATIENCE, wait_for_workers=False)
    _store = dist.PrefixStore("onetoall", shared)
    arrived = _store.add(_HERE, 1)
    while arrived < count() and not _lost:
        time.sleep(0.05)
        arrived = _store.add(_HERE, 0)
    if _lost:
        raise RuntimeError(_LOST[0])
    dist.init_process_group(backend, store=_store, rank=rank(), world_size=count(), timeout=PATIENCE)


def part() -> None:
    """Leave the others."""
    global _store
    import torch.distributed as dist

    if _store is not None:
        _store = None
        dist.destroy_process_group()


def send_order(order: object) -> None:
    """Tell all other processes what comes next; called by the first."""
    _broadcast([order])


def next_order() -> Any:
    """What the first process says; waits for it."""
    return _broadcast([None])[0]


def _broadcast(orders: list[Any]) -> list[Any]:
    import torch
    import torch.distributed as dist

    dist.broadcast_object_list(orders, src=0, device=torch.device("cpu"))
    return orders


def told_elsewhere(code: int) -> int | None:
    """Ask whether another process has failed before this one and told why; if not, the failure is this one's to tell.

    Args:
        code: The exit code of this process's own failure.

    Returns:
        The other's exit code, or None.
    """
    if _store is None:
        return None
    try:
        first = _store.compare_set(_FAILURE, "", f"{rank()}:{code}").decode()
    except RuntimeError:  # the first process keeps the store, and is gone
        return code
    who, told = map(int, first.split(":"))
    return None if who == rank() else told


def loss(error: BaseException) -> OnetoallError | None:
    """The error that another process's silent end amounts to; None where `error` is something else."""
    if _store is None or not isinstance(error, RuntimeError) or not any(text in str(error) for text in _LOST):
        return None
    return OutOfResources(
        "Another process of this run ended without a word.", "The system may have killed it for lack of memory."
    )

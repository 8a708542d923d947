"""What every process of a run but the first does: follow."""

from dataclasses import replace

from onetoall_cli.animator.animator import Animator
from onetoall_cli.animator.settings import ModelSettings
from onetoall_cli.runtime import pick_device, processes
from onetoall_cli.sampling.parallel import Team


def follow(settings: ModelSettings) -> None:
    """Do what the first process says, until it is done; it has the model by the time it calls.

    Args:
        settings: How the model is loaded, the same in all processes.
    """
    processes.watch_leader()
    processes.meet(pick_device(processes.local_device(settings.device)))
    parallel = processes.next_order()
    if parallel is not None:
        Animator.load(replace(settings, auto_fetch=False)).engine.follow(Team(parallel))
    processes.part()

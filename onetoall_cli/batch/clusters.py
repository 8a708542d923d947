"""Crews on the nodes of a cluster, started by Ray or by Slurm; files come and go by a folder that all nodes share."""

import importlib
import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onetoall_cli.batch.crews import ENDS_WITHIN, Crew, local_crew
from onetoall_cli.batch.leases import Leases
from onetoall_cli.batch.worker import Share, Worker
from onetoall_cli.errors import BadInput, OnetoallError

SLURM_CPUS, SLURM_MINUTES = 4, 24 * 60  # of a worker; SBATCH_TIMELIMIT has precedence
PROBE = "probe"
AGAIN = 1000  # how often a Slurm worker whose time is over is queued again

Problem = tuple[str, str]


def crew_for(cluster: str | None, size: int | None, devices: Sequence[str]) -> Crew | None:
    """Who makes a batch; None: the process that asks.

    Args:
        cluster: "slurm", "ray" or "ray://HOST:PORT"; None: this machine.
        size: How many workers; None: one, and of Ray as many as there are GPUs.
        devices: What the tasks' models ask for (`ModelSettings.device`).

    Raises:
        BadInput: There is no such cluster, its package is not installed, or there are too few GPUs.
    """
    if cluster is None:
        return None if size is None else local_crew(size, devices)
    needs_gpu = set(devices) != {"cpu"}
    if cluster == "slurm":
        if shutil.which("sbatch") is None:
            raise BadInput("Slurm's commands are not on this machine.", "Start the batch where `sbatch` is.")
        return SlurmCrew(size or 1, needs_gpu=needs_gpu)
    if cluster == "ray" or cluster.startswith("ray://"):
        return ray_crew(None if cluster == "ray" else cluster, size, needs_gpu=needs_gpu)
    raise BadInput(f"There is no cluster '{cluster}'.", "Say slurm, ray or ray://HOST:PORT.")


@dataclass(frozen=True)
class _Work:
    """What runs on a node.

    Attributes:
        share: What is to be made.
        folder: What its paths are relative to.
        probe: What a file beside the leases says.
    """

    share: Share
    folder: Path
    probe: str

    @staticmethod
    def of(share: Share) -> "_Work":
        """The work on a share, with a probe for the nodes to see."""
        probe = uuid.uuid4().hex
        (Leases(share.journal).folder / PROBE).write_text(probe)
        return _Work(share, Path.cwd(), probe)

    def __call__(self) -> Problem | None:
        """Work until all has come to an end, or say why this node cannot, and what to do."""
        if unseen := self._unseen():
            return (
                f"{platform.node()} does not see {unseen}.",
                "Keep inputs and outputs in a folder that all nodes share.",
            )
        Worker(self.share).run()
        return None

    def _unseen(self) -> Path | None:
        """A file of the batch that this node does not see."""
        place, seen = Leases(self.share.journal).folder / PROBE, ""
        with suppress(OSError):
            os.chdir(self.folder)
            seen = place.read_text()
        if seen != self.probe:
            return self.folder / place
        return next((path for task in self.share.tasks for path in task.job.files if not path.exists()), None)

    def checkpoint(self) -> Any:
        """For submitit: what goes on where Slurm ended this early."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class _ClusterCrew:
    """What crews have in common.

    Attributes:
        size: How many workers.
    """

    size: int

    def check(self) -> None:
        """As `Crew.check`."""
        said = self._said()
        for each in said:
            if isinstance(each, tuple):
                raise BadInput(*each)
        errors = [each for each in said if isinstance(each, Exception)]
        if len(errors) == self.size:
            raise OnetoallError(f"All workers have ended: {errors[0]}.", "The same command goes on.") from errors[0]

    def _said(self) -> list[Problem | Exception | None]:
        """What came of the workers that have ended."""
        raise NotImplementedError


@dataclass
class SlurmCrew(_ClusterCrew):
    """An array of Slurm jobs.

    Attributes:
        needs_gpu: Whether each has a GPU.
        kind: As submitit names it; its "local" has processes here in the place of jobs.
    """

    needs_gpu: bool = True
    kind: str = "slurm"
    _jobs: list[Any] = field(default_factory=list)

    @contextmanager
    def at_work(self, share: Share) -> Iterator[None]:
        """As `Crew.at_work`."""
        executor = _package("submitit", "slurm").AutoExecutor(
            folder=Leases(share.journal).folder / "slurm", cluster=self.kind, slurm_max_num_timeout=AGAIN
        )
        executor.update_parameters(name="onetoall", cpus_per_task=SLURM_CPUS, timeout_min=SLURM_MINUTES)
        if self.needs_gpu:
            executor.update_parameters(gpus_per_node=1)
        try:
            self._jobs = executor.submit_array([_Work.of(share)] * self.size)
            yield
        finally:
            for job in self._jobs:
                job.cancel(check=False)
            for job in self._jobs:
                with suppress(Exception):  # it was ended
                    job.wait()

    def _said(self) -> list[Problem | Exception | None]:
        return [job.exception() or job.result() for job in self._jobs if job.done()]


@dataclass
class RayCrew(_ClusterCrew):
    """Long tasks of Ray, which starts those again elsewhere whose node dies.

    Attributes:
        options: What each needs, as Ray names it.
    """

    options: dict[str, Any] = field(default_factory=dict)
    _tasks: list[Any] = field(default_factory=list)

    @contextmanager
    def at_work(self, share: Share) -> Iterator[None]:
        """As `Crew.at_work`."""
        import ray

        work, remote = _Work.of(share), ray.remote(**self.options)(_work)
        try:
            self._tasks = [remote.remote(work) for _ in range(self.size)]
            yield
        finally:
            for task in self._tasks:
                ray.cancel(task)  # as if interrupted
            ray.wait(self._tasks, num_returns=self.size, timeout=ENDS_WITHIN)
            ray.shutdown()

    def _said(self) -> list[Problem | Exception | None]:
        import ray

        ended, _ = ray.wait(self._tasks, num_returns=self.size, timeout=0)
        return [_result(task) for task in ended]


def ray_crew(address: str | None, size: int | None, *, needs_gpu: bool) -> RayCrew:
    """Workers on a Ray cluster, each with a GPU, or with the processors of a node where there are no GPUs.

    Args:
        address: "ray://HOST:PORT"; None: the cluster of RAY_ADDRESS or of this machine, or else one that is made now.
        size: How many; None: as many as there is room for.
        needs_gpu: Whether GPUs are taken where there are any.

    Raises:
        BadInput: Ray is not installed, or does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _package("ray", "cluster")
    # Ray would print what it hears of nodes to stdout, whatever the settings of `init`; our results go there
    ray._private.worker.listen_error_messages = lambda *_: None
    try:
        ray.init(address, logging_level="error", log_to_driver=False)
    except (ConnectionError, ImportError, ValueError) as error:
        raise BadInput(f"Ray does not answer: {error}.", "Look at `ray status`.") from error
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    with_gpus = [node for node in nodes if needs_gpu and node.get("GPU")]
    if not nodes:
        raise BadInput("No node of the Ray cluster has a processor to give.", "Look at `ray status`.")
    room = int(sum(node["GPU"] for node in with_gpus)) or len(nodes)
    cpus = min(node["CPU"] / (node["GPU"] if with_gpus else 1) for node in with_gpus or nodes)
    options = {"num_gpus": int(bool(with_gpus)), "num_cpus": max(1, int(cpus)), "max_retries": -1}
    return RayCrew(size or room, options)


def _work(work: _Work) -> Problem | None:
    return work()


def _result(task: Any) -> Problem | Exception | None:
    import ray

    try:
        return ray.get(task)  # type: ignore[no-any-return]
    except Exception as error:
        return error


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(
            f"{name} is not installed, which starts the workers.", f"Install it: pip install 'onetoall-cli[{extra}]'."
        ) from error

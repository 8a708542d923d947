"""Crews: however many make a batch, and whoever of them dies, each job is made once and as one process makes it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from command_fixtures import real_poses

from onetoall_cli.animator.jobs import Job
from onetoall_cli.animator.progress import Listener
from onetoall_cli.animator.settings import ModelSettings, VideoSettings
from onetoall_cli.batch import Batch, Journal, Task, clusters, crews, worker
from onetoall_cli.batch.journal import Failed
from onetoall_cli.batch.leases import Leases, Said
from onetoall_cli.batch.worker import Share, Worker
from onetoall_cli.errors import BadInput, OutOfResources

ROOT = Path(__file__).parents[2]


class Threads:
    """A crew of threads, of which the first dies in its first task."""

    size = 3

    @contextmanager
    def at_work(self, share: Share) -> Iterator[None]:
        workers = [threading.Thread(target=Worker(share).run, daemon=True) for _ in range(self.size)]
        for each in workers:
            each.start()
        yield
        for each in workers:
            each.join()

    def check(self) -> None:
        pass


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    def task(number: int) -> Task:
        job = Job("animate", {"reference": tmp_path / f"{number}.png"})
        place = tmp_path / f"{number}.mp4"
        return Task("here", {"n": number}, job, ModelSettings(), VideoSettings(), place, None, None, ())

    with Journal.open(tmp_path / "journal.jsonl") as journal:
        yield Batch([task(number) for number in range(8)], journal, Listener())


def failing(task: Task, error: str) -> Failed:
    return Failed(key=task.key, output=str(task.output), seconds=1.0, error=error, advice="", arguments=())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_each_task_ends_once_though_a_worker_dies(batch: Batch, monkeypatch) -> None:
    died, finished, notes, jobs = [], [], [], []

    def event(self, task: Task, tries: int) -> Failed:
        if not died:
            died.append(task)
            raise ZeroDivisionError
        self._note("Seen.")
        time.sleep(0.02)
        return failing(task, "made")

    monkeypatch.setattr(Worker, "_event", event)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.01)
    monkeypatch.setattr("onetoall_cli.batch.running.LOOK_EVERY", 0.01)
    monkeypatch.setattr("onetoall_cli.batch.running.this_host", lambda: "of the one who looks")
    batch.listener = Listener(notes.append, lambda stage, done, total: jobs.append((done, total)))
    batch.run(lambda task, event: finished.append(task.key), crew=Threads())
    assert sorted(finished) == sorted(task.key for task in batch.tasks) and len(died) == 1
    assert {event.error for event in Journal(batch.journal.path).last.values()} == {"made"}
    assert jobs[-1] == (8, 8) and "3.mp4: Seen." in notes
    assert not list(batch.journal.path.parent.glob(".*leases*"))


def test_a_task_for_which_memory_does_not_suffice_is_tried_later_and_not_for_ever(batch: Batch, monkeypatch) -> None:
    tries = []

    def result(self, animator) -> None:
        tries.append(self.inputs["reference"].name)
        raise OutOfResources("Memory ran out.", "") if tries.count(tries[-1]) < 3 or "1" in tries[-1] else ValueError

    monkeypatch.setattr(Job, "result", result)
    monkeypatch.setattr(Worker, "_animator_for", lambda *_: None)
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: None)
    batch.tasks = batch.tasks[:2]
    batch.leases.open()
    Worker(batch.share(is_shared=True)).run()
    said = batch.leases.all()
    ends = [getattr(said[task.key].event, "error", "") for task in batch.tasks]
    assert ends == ["A bug: ValueError: ", "Memory ran out."]
    assert tries[:4] == ["0.png", "1.png"] * 2 and tries.count("1.png") == worker.MOST_TRIES


def test_workers_have_a_gpu_each_or_are_refused(monkeypatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert crews.local_crew(2, ["auto"]).gpus == ("0", "1")
    assert crews.local_crew(3, ["cpu"]).gpus == ()
    for size, device, problem in ((3, "auto", "3 workers need a GPU each"), (1, "cuda:1", "cuda:1 is asked for")):
        with pytest.raises(BadInput, match=problem):
            crews.local_crew(size, [device])
    with pytest.raises(BadInput, match="no cluster 'slum'"):
        clusters.crew_for("slum", None, [])


# -- with real workers --------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, reference, ref_pose, model, monkeypatch) -> tuple[str, ...]:
    """Eight jobs that take some seconds each; run on one core as the workers are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("refs", "dances"):
        (tmp_path / name).mkdir()
    shutil.copy(ref_pose, tmp_path / "ref.json")
    for name in ("a", "b"):
        shutil.copy(reference, tmp_path / "refs" / f"{name}.png")
    for frames in (14, 15, 16, 17):
        real_poses("dance_full", frames).save(tmp_path / "dances" / f"{frames}.json")
    sizes = ("--ref-pose", "ref.json", "--short-side", "32", "--steps", "20", "--segment-frames", "9")
    return ("batch", "refs", "dances", "--model", str(model), "--device", "cpu", "--json", *sizes)


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "onetoall_cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def serial(command: tuple[str, ...]) -> dict[str, bytes]:
    """The results of one process, by name."""
    made = start(*command, "-o", "serial")
    assert made.communicate()[1] is not None and made.returncode == 0
    return {path.name: path.read_bytes() for path in Path("serial").glob("*.mp4")}


def wait_for(said: Callable[[list[Said]], Said | None]) -> Said:
    """The first lease of "out" on which `said` answers."""
    for _ in range(1200):
        if found := said([each for each in Leases(Path("out/journal.jsonl")).all().values() if each.state == "held"]):
            return found
        time.sleep(0.1)
    raise AssertionError("nothing is made")


def check_made_once(out: str, expected: dict[str, bytes]) -> None:
    *jobs, summary = [json.loads(line) for line in out.splitlines()]
    assert summary["done"] == 8 and sorted(Path(job["output"]).name for job in jobs) == sorted(expected)
    ends = [line for line in Path("out/journal.jsonl").read_text().splitlines() if '"done"' in line]
    assert len(ends) == 8
    assert {path.name: path.read_bytes() for path in Path("out").glob("*.mp4")} == expected
    assert not list(Path("out").glob(".*leases*"))


@pytest.mark.slow
def test_workers_here_survive_a_death_an_interruption_and_the_death_of_all(command) -> None:
    expected = serial(command)
    here = (*command, "-o", "out", "--workers", "2")
    first = start(*here)
    killed = wait_for(lambda held: held[0] if len(held) == 2 else None)
    os.kill(killed.process, signal.SIGKILL)
    wait_for(lambda held: held[0] if len(held) == 2 and killed.process not in [each.process for each in held] else None)
    first.terminate()
    said = first.communicate()[1]
    assert first.returncode == 143 and "Terminated" in said, said
    assert {each.state for each in Leases(Path("out/journal.jsonl")).all().values()} <= {"free", "ended"}
    again = start(*here)
    workers = [psutil.Process(wait_for(lambda held: held[0] if len(held) == 2 else None).process)]
    joined = start(*command, "-o", "out", "--join")
    again.kill()
    again.wait()
    assert not psutil.wait_procs(workers, timeout=60)[1], "workers end with who started them"
    last = start(*here)
    said = last.communicate()[1]
    assert last.returncode == 0, said
    assert joined.communicate()[1] is not None and joined.returncode == 0
    events = [json.loads(line) for line in Path("out/journal.jsonl").read_text().splitlines()]
    assert len([each for each in events if each["event"] == "done"]) == 8
    assert {path.name: path.read_bytes() for path in Path("out").glob("*.mp4")} == expected


@pytest.mark.slow
def test_a_slurm_array_takes_the_jobs(command, onetoall, monkeypatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(clusters.shutil, "which", lambda name: name)
    monkeypatch.setattr(clusters, "SlurmCrew", partial(clusters.SlurmCrew, kind="local"))
    made = onetoall(*command, "-o", "out", "--cluster", "slurm", "--workers", 2)
    assert made.exit_code == 0, made.err
    check_made_once(made.out, serial(command))


@pytest.mark.slow
def test_ray_finishes_all_though_a_node_dies(command, monkeypatch) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    expected = serial(command)
    cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        doomed = cluster.add_node(num_cpus=1, node_ip_address="127.0.0.2")
        cluster.add_node(
            num_cpus=0
        )  # whose address or the head's the command takes for its own, so not the doomed one's
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        made = start(*command, "-o", "out", "--cluster", "ray")
        (raylet,) = doomed.all_processes["raylet"]

        def is_there(said: Said) -> bool:
            return raylet.process.pid in [each.pid for each in psutil.Process(said.process).parents()]

        wait_for(lambda held: next(filter(is_there, held), None) if len(held) == 2 else None)
        time.sleep(1)
        cluster.remove_node(doomed, allow_graceful=False)
        out, said = made.communicate()
        assert made.returncode == 0, said
    finally:
        cluster.shutdown()
    check_made_once(out, expected)
    taken = [line.partition(" (")[0] for line in said.splitlines() if line.startswith("Job ")]
    assert len(taken) == 9 and len(set(taken)) == 8, "one was begun twice"

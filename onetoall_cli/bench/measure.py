"""Time and peak memory of one piece of work, each in a process of its own, so that no measurement inherits another's.

    python -m onetoall_cli.bench.measure '{"work": "step", ...}'

is what `measure` starts; it prints one JSON line.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from onetoall_cli.errors import OutOfResources
from onetoall_cli.runtime.shortage import TEXTS

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan

    from onetoall_cli.model import OneToAllTransformer3DModel


@dataclass(frozen=True)
class BenchJob:
    """One measurement.

    Attributes:
        work: One of `steps.WORKS` or `steps.VAE_WORKS`.
        shape: Of random weights, one of `networks.SHAPES`; None with `model`.
        model: Name or folder of an installed model.
        width, height: Of the video in pixels, multiples of 16.
        frames: 4k + 1.
        context_frames: Latent frames that are clean context, 0 or 2.
        device, dtype: As `--device` and `--dtype`.
        repeats: How often the work is timed; above 1 it also runs once before, untimed.
    """

    work: str
    shape: str | None
    model: str | None
    width: int
    height: int
    frames: int
    context_frames: int = 0
    device: str = "cpu"
    dtype: str = "bfloat16"
    repeats: int = 1


@dataclass(frozen=True)
class Measurement:
    """What came of a job.

    Attributes:
        seconds: The median over the repeats.
        cpu_seconds: What the process's threads computed meanwhile, a run: what to compare by on a busy machine.
        weights: Bytes of the network's weights.
        peak: Most bytes in use at once during the work, weights and inputs included: of the process where the device
            is a CPU, of the device's allocator on CUDA, None elsewhere.
        working: What the work itself added to the bytes in use before it; None where `peak` is.
    """

    seconds: float
    cpu_seconds: float
    weights: int
    peak: int | None
    working: int | None

    @property
    def needed(self) -> int | None:
        """Bytes of weights and work: the peak without the libraries, which on a CPU it includes."""
        return None if self.working is None else self.weights + self.working


def measure(job: BenchJob) -> Measurement:
    """Run a job in a fresh process.

    Raises:
        OutOfResources: It ran out of memory.
        RuntimeError: It failed otherwise; the message is its own.
    """
    command = [sys.executable, "-m", "onetoall_cli.bench.measure", json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return Measurement(**json.loads(done.stdout.splitlines()[-1]))
    if done.returncode == -9 or any(text in done.stderr for text in ("OutOfMemoryError", *TEXTS)):
        raise OutOfResources(
            f"'{job.work}' at {job.width} x {job.height} ran out of memory.", "Measure a smaller size."
        )
    raise RuntimeError(f"measuring '{job.work}' failed: {done.stderr.strip().splitlines()[-1:]}")


def run(job: BenchJob) -> Measurement:
    """Do a job in this process."""
    import torch

    from onetoall_cli.bench.networks import random_inputs
    from onetoall_cli.bench.steps import VAE_WORKS, vae_work, work
    from onetoall_cli.runtime import pick_device, pick_dtype
    from onetoall_cli.runtime.peak_memory import read_peak, start_peak

    device = pick_device(job.device)
    dtype = pick_dtype(job.dtype, device)
    network = _network(job, device, dtype)
    inputs = random_inputs(network, job.width, job.height, job.frames, context_frames=job.context_frames)
    if job.work in VAE_WORKS:
        action = vae_work(job.work, _vae(job, device, dtype), inputs)
    else:
        action = work(job.work, network, inputs)
    before = start_peak(device)
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    for attempt in range(job.repeats + (job.repeats > 1)):
        started, cpu_started = time.perf_counter(), time.process_time()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if attempt or job.repeats == 1:
            seconds.append(time.perf_counter() - started)
            cpu_seconds.append(time.process_time() - cpu_started)
    peak = read_peak(device)
    weights = sum(parameter.nbytes for parameter in network.parameters())
    working = None if peak is None or before is None else peak - before
    return Measurement(median(seconds), median(cpu_seconds), weights, peak, working)


def _network(job: BenchJob, device: "torch.device", dtype: "torch.dtype") -> "OneToAllTransformer3DModel":
    from onetoall_cli.bench.networks import random_network
    from onetoall_cli.hub import locate_model
    from onetoall_cli.weights import load_network

    if job.shape is not None:
        return random_network(job.shape, dtype, device)
    assert job.model is not None
    return load_network(locate_model(job.model), dtype).to(device)


def _vae(job: BenchJob, device: "torch.device", dtype: "torch.dtype") -> "AutoencoderKLWan":
    """The model's, or one of Wan2.1's shape with random weights."""
    from diffusers import AutoencoderKLWan

    from onetoall_cli.hub import locate_model
    from onetoall_cli.weights import load_vae

    if job.model is None:
        return AutoencoderKLWan().to(device, dtype)  # diffusers' defaults are Wan2.1's
    return load_vae(locate_model(job.model).vae, dtype).to(device)


if __name__ == "__main__":
    print(json.dumps(asdict(run(BenchJob(**json.loads(sys.argv[1]))))))

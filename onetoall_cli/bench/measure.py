"""Time and peak memory of a job, measured in a process of its own, so that earlier jobs do not affect it.

`measure` starts `python -m onetoall_cli.bench.measure '{"work": "step", ...}'`, which prints one JSON line.
"""

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from onetoall_cli.errors import OutOfResources
from onetoall_cli.precisions import CAST, QUANTISED, UNQUANTISED
from onetoall_cli.runtime.shortage import TEXTS

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan

    from onetoall_cli.model import OneToAllTransformer3DModel


@dataclass(frozen=True)
class BenchJob:
    """A job to measure.

    Attributes:
        work: One of `steps.WORKS` or `steps.VAE_WORKS`.
        shape: One of `networks.SHAPES` for random weights; None with `model`.
        model: Name or folder of an installed model.
        width, height: Size of the video in pixels, multiples of 16.
        frames: Frames of the video, 4k + 1.
        context_frames: Latent frames that are clean context, 0 or 2.
        device, dtype: As `--device` and `--dtype`.
        repeats: Number of timed runs; above 1 an untimed run comes first.
        attention: One of `sampling.kernels.KERNELS`, or "auto".
        compiled: Whether our network's blocks are compiled.
        quantisation, offload: As in `runtime.MemoryPlan`, of our network.
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
    attention: str = "auto"
    compiled: bool = False
    quantisation: str = "none"
    offload: str = "none"


@dataclass(frozen=True)
class Measurement:
    """The result of a job.

    Attributes:
        seconds: Time of a run, the median over the repeats.
        cpu_seconds: CPU time of all threads in a run, the median; better to compare on a busy machine.
        weights: Bytes of the network's weights.
        peak: Peak bytes during the work, weights and inputs included: of the process on a CPU, of the allocator on
            CUDA, None elsewhere.
        working: Peak bytes above those in use before the work; None where `peak` is None.
        operations: Floating-point operations of a run, counted in the untimed one; 0 where there is none.
    """

    seconds: float
    cpu_seconds: float
    weights: int
    peak: int | None
    working: int | None
    operations: int = 0

    @property
    def needed(self) -> int | None:
        """Bytes of weights and work: the peak without the libraries, which are part of it on a CPU."""
        return None if self.working is None else self.weights + self.working


def measure(job: BenchJob) -> Measurement:
    """Run a job in a new process.

    Raises:
        OutOfResources: The job ran out of memory.
        RuntimeError: The job failed otherwise; the message is the job's.
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
    """Run a job in this process."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from onetoall_cli.bench.networks import random_inputs
    from onetoall_cli.bench.steps import VAE_WORKS, vae_work, work
    from onetoall_cli.runtime import pick_device, pick_dtype
    from onetoall_cli.runtime.peak_memory import read_peak, start_peak
    from onetoall_cli.sampling.kernels import choose_attention, compile_blocks, kernel_for

    device = pick_device(job.device)
    dtype = pick_dtype(job.dtype, device)
    network = load_job_network(job)
    choose_attention(network, kernel_for(job.attention, device, dtype, compiled=job.compiled))
    if job.compiled:
        compile_blocks(network)
    inputs = random_inputs(network, job.width, job.height, job.frames, context_frames=job.context_frames)
    if job.work in VAE_WORKS:
        action = vae_work(job.work, _vae(job, device, dtype), inputs)
    else:
        action = work(job.work, network, inputs)
    before = start_peak(device)
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    counter = FlopCounterMode(display=False)
    if job.repeats > 1:
        with nullcontext() if job.compiled else counter:
            action()
    for _ in range(job.repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    peak = read_peak(device)
    weights = sum(parameter.nbytes for parameter in network.parameters())
    working = None if peak is None or before is None else peak - before
    operations = counter.get_total_flops()
    return Measurement(median(seconds), median(cpu_seconds), weights, peak, working, operations)


def load_job_network(job: BenchJob) -> "OneToAllTransformer3DModel":
    """The network of a job, on its device or offloaded."""
    import torch

    from onetoall_cli.bench.networks import random_network
    from onetoall_cli.hub import locate_model
    from onetoall_cli.runtime import pick_device, pick_dtype
    from onetoall_cli.runtime.offloading import offload_blocks
    from onetoall_cli.weights import load_network
    from onetoall_cli.weights.casting import store_in_fp8
    from onetoall_cli.weights.quantise import quantise_in_place

    device = pick_device(job.device)
    dtype = pick_dtype(job.dtype, device)
    first = torch.device("cpu") if job.offload == "blocks" or job.quantisation != "none" else device
    if job.shape is not None:
        network = random_network(job.shape, dtype, first)
        if job.quantisation in QUANTISED:
            quantise_in_place(network, job.quantisation, dtype)
    else:
        assert job.model is not None
        stored = job.quantisation if job.quantisation in QUANTISED else UNQUANTISED
        network = load_network(locate_model(job.model), dtype, quantisation=stored)
    if job.quantisation in CAST:
        store_in_fp8(network, dtype)
    if job.offload == "blocks":
        offload_blocks(network, device)
        return network
    return network.to(device)


def _vae(job: BenchJob, device: "torch.device", dtype: "torch.dtype") -> "AutoencoderKLWan":
    """The model's VAE, or one of Wan2.1's shape with random weights."""
    from diffusers import AutoencoderKLWan

    from onetoall_cli.hub import locate_model
    from onetoall_cli.weights import load_vae

    if job.model is None:
        return AutoencoderKLWan().to(device, dtype)  # diffusers' defaults are Wan2.1's
    return load_vae(locate_model(job.model).vae, dtype).to(device)


if __name__ == "__main__":
    print(json.dumps(asdict(run(BenchJob(**json.loads(sys.argv[1]))))))

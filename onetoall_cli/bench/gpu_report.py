"""A new GPU, measured whole: exactness, precisions, the memory plan, speed, kernels, training; as JSON and Markdown.

`python -m onetoall_cli.bench.gpu_report FOLDER` writes `gpu.json` and `gpu.md`. Each row is a process of its own; one
that fails is recorded, and the others go on. `--small --device cpu` tries the script itself.
"""

import argparse
import importlib
import itertools
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from onetoall_cli.bench.measure import BenchJob, load_job_network, run
from onetoall_cli.bench.networks import SegmentInputs, random_inputs, random_network
from onetoall_cli.bench.steps import TIMESTEP, our_step, prepare
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.precisions import REDUCED
from onetoall_cli.runtime import pick_device
from onetoall_cli.runtime.memory import Workload, config_json, estimate
from onetoall_cli.runtime.peak_memory import read_peak, start_peak
from onetoall_cli.runtime.vae import decode_frames
from onetoall_cli.sampling import OneToAllPipeline
from onetoall_cli.sampling.guidance import Guidance
from onetoall_cli.sampling.kernels import KERNELS
from onetoall_cli.sampling.loading import place
from onetoall_cli.sampling.solvers import make_scheduler

Values = dict[str, Any]

TESTS = Path(__file__).parents[2] / "tests"  # of a checkout
PATIENCE = 1800.0  # seconds for a row
LORA_RANK = 32
STEPS = 30  # released
EXACT: Values = {"device": "cpu", "dtype": "float32", "quantisation": "none", "offload": "none"}
SIZE, SMALL_SIZE = (832, 480, 81), (64, 64, 9)  # width, height, frames
WAN_VAE: Values = {}  # diffusers' defaults
SMALL_VAE: Values = {"base_dim": 8, "num_res_blocks": 1}


def rows(device: str, *, small: bool) -> list[Values]:
    """What is measured: the part, the row's name in it, and the arguments of the part's function."""
    first, *others = ["tiny"] if small else ["1.3b", "14b"]
    width, height, frames = SMALL_SIZE if small else SIZE
    size = {"width": width, "height": height, "frames": frames}
    common = {"device": device, **size}
    step = {**common, "work": "step", "model": None, "repeats": 2}
    found: list[Values] = [_row("machine", "matrix products", device=device, side=512 if small else 8192)]
    found += [_row("goldens", dtype, device=device, dtype=dtype) for dtype in ("float32", "bfloat16")]
    ways = [("bfloat16", "none", "none"), ("float16", "none", "none"), ("float32", "none", "none")]
    ways += [("bfloat16", precision, "none") for precision in REDUCED] + [("bfloat16", "none", "blocks")]
    for dtype, quantisation, offload in ways:
        name = ", ".join(each for each in (dtype, quantisation, offload) if each != "none")
        how = {"dtype": dtype, "quantisation": quantisation, "offload": offload}
        found.append(_row("precisions", name, **step, **how, shape=first))
    for offload, tiling in itertools.product(("none", "blocks"), (False, True)):
        name = f"offload {offload}, tiling {tiling}"
        way = {"offload": offload, "tiling": tiling, "vae": SMALL_VAE if small else WAN_VAE}
        found.append(_row("memory plan", name, **common, shape=first, **way))
    for shape in (first, *others):
        for work in ("step", "plain step"):
            found.append(_row("steps", f"{shape} {work}", **{**step, "work": work}, shape=shape))
    found += [_row("kernels", kernel, **step, attention=kernel, shape=first) for kernel in KERNELS]
    found.append(_row("kernels", "compiled", **step, compiled=True, shape=first))
    found += [_row("training", f"{first} {how}", **common, shape=first, lora=how == "LoRA") for how in ("LoRA", "full")]
    return found


def _row(part: str, name: str, **arguments: Any) -> Values:
    return {"part": part, "name": name, "arguments": arguments}


# -- parts: arguments to plain values -----------------------------------------------------------------------------


def machine(device: str, side: int) -> Values:
    """The device, and how fast it multiplies matrices (`side` x `side`, bfloat16)."""
    chosen = pick_device(device)
    matrix = torch.randn(side, side, device=chosen).bfloat16()
    matrix @ matrix
    started = _now(chosen)
    for _ in range(10):
        matrix @ matrix
    rate = 10 * 2 * side**3 / (_now(chosen) - started)
    on_gpu = chosen.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(chosen) if on_gpu else platform.processor() or platform.machine(),
        "TFLOP/s": rate / 1e12,
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
    }


@torch.no_grad()
def goldens(device: str, dtype: str) -> Values:
    """The research code's numbers on reproducible weights: the largest difference to them, of values near 1."""
    from safetensors.torch import load_file

    sys.path[:0] = [str(TESTS), str(TESTS / "model")]
    cases = importlib.import_module("golden_cases")
    expected = load_file(TESTS / "data" / "transformer_tiny.safetensors")
    network = cases.new_model().to(pick_device(device), getattr(torch, dtype))
    differences = {}
    for name, case in cases.CASES.items():
        inputs = {key: value.to(network.device, network.dtype) for key, value in case.inputs().items()}
        settings = {"pose_scale": case.pose_scale, "num_context_frames": case.num_context_frames}
        velocity = network(**inputs, **settings).sample.float().cpu()
        differences[name] = float((velocity - expected[name]).abs().max())
    return differences


def step(**arguments: Any) -> Values:
    """A denoising step: seconds, peak memory, and the rate of its operations."""
    measured = run(BenchJob(**arguments))
    rate = measured.operations / measured.seconds / 1e12
    return {"seconds": measured.seconds, "peak GB": _gb(measured.peak), "TFLOP/s": rate or None}


def precision(**arguments: Any) -> Values:
    """A step as `step`, and how far its velocity is from that of float32 on the CPU, at a small size."""
    job = BenchJob(**arguments)
    exact, own = (_small_velocity(each) for each in (replace(job, **EXACT), job))
    return {**step(**arguments), "error": float((own - exact).norm() / exact.norm())}


def _small_velocity(job: BenchJob) -> torch.Tensor:
    network = load_job_network(job)
    inputs = random_inputs(network, *SMALL_SIZE)
    return our_step(network, inputs, prepare(network, inputs)).float().cpu()


@torch.no_grad()
def memory_plan(
    shape: str, vae: Values, device: str, width: int, height: int, frames: int, offload: str, tiling: bool
) -> Values:
    """Estimated and measured peak of each phase in GB; on a CPU libraries are left out of the measured one."""
    from diffusers import AutoencoderKLWan

    chosen, dtype = pick_device(device), torch.bfloat16
    base = (start_peak(chosen) or 0) if chosen.type == "cpu" else 0
    network = random_network(shape, dtype)
    codec = AutoencoderKLWan(**vae).to(dtype)
    pipeline = OneToAllPipeline(codec, network, make_scheduler("euler", 7.0))
    place(pipeline, chosen, offload=offload, tiling=tiling)
    work = Workload(config_json(network.config), config_json(codec.config), height, width, frames)
    expected = estimate(work, device=chosen.type, dtype=dtype, quantisation="none", offload=offload, tiling=tiling)
    inputs = random_inputs(network, width, height, frames)
    picture, texts = torch.zeros(3, height, width), inputs.texts
    passes = Guidance.of_scales(2.5, 1.5, 1).all_passes()
    kept: dict[str, Any] = {}

    def denoise() -> None:
        our_step(network, inputs, kept["segment"])

    phases: dict[str, Callable[[], Any]] = {
        "conditions": lambda: pipeline.encode_subject(passes, picture, picture[0], texts[False], texts[True]),
        "pose": lambda: kept.update(segment=prepare(network, inputs)),
        "denoising": denoise,
        "decoding": lambda: [None for _ in decode_frames(codec, inputs.latents)],
    }
    values = {}
    for name, phase in phases.items():
        start_peak(chosen)
        phase()
        peak = read_peak(chosen)
        values[f"{name} estimated"] = _gb(expected.phases[name])
        values[f"{name} measured"] = None if peak is None else _gb(peak - base)
    return values


def training(shape: str, device: str, width: int, height: int, frames: int, lora: bool) -> Values:
    """A training step (forward, backward, AdamW) of one video with checkpointed blocks: seconds and peak memory."""
    chosen = pick_device(device)
    network = random_network(shape, torch.bfloat16 if lora else torch.float32, chosen)
    if lora:
        from peft import LoraConfig

        network.add_adapter(LoraConfig(r=LORA_RANK, target_modules=["to_q", "to_k", "to_v", "to_out"]))
    else:
        network.requires_grad_(True)
    network.train().enable_gradient_checkpointing()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser, inputs = torch.optim.AdamW(trained), random_inputs(network, width, height, frames)
    start_peak(chosen)
    for _ in range(2):
        started = _now(chosen)
        with torch.autocast(chosen.type, torch.bfloat16):
            loss = _loss(network, inputs)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        seconds = _now(chosen) - started
    count = sum(parameter.numel() for parameter in trained)
    return {"trained millions": count / 1e6, "seconds": seconds, "peak GB": _gb(read_peak(chosen))}


def _loss(network: OneToAllTransformer3DModel, inputs: SegmentInputs) -> torch.Tensor:
    conditions = (inputs.texts[False], inputs.references[True], inputs.pose_video, inputs.reference_pose)
    return (network(inputs.latents, TIMESTEP, *conditions).sample.float() - inputs.latents.float()).square().mean()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _gb(size: int | None) -> float | None:
    return None if size is None else size / 1e9


PARTS: Mapping[str, Callable[..., Values]] = {
    "machine": machine,
    "goldens": goldens,
    "precisions": precision,
    "memory plan": memory_plan,
    "steps": step,
    "kernels": step,
    "training": training,
}

# -- the report ---------------------------------------------------------------------------------------------------


def measured(row: Values) -> Values:
    """A row with its values, or with what went wrong."""
    command = [sys.executable, "-m", "onetoall_cli.bench.gpu_report", "--row", json.dumps(row)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {**row, "error": f"took longer than {PATIENCE:.0f} s"}
    if done.returncode:
        return {**row, "error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return {**row, "values": json.loads(done.stdout.splitlines()[-1])}


def with_shares(done: list[Values]) -> list[Values]:
    """The rows, with what follows from several: a step's share of the machine's peak, and the plain one's factor."""
    values = {(row["part"], row["name"]): row.get("values", {}) for row in done}
    peak = values.get(("machine", "matrix products"), {}).get("TFLOP/s")
    for (part, name), own in values.items():
        if part in ("steps", "precisions", "kernels") and own.get("TFLOP/s") and peak:
            own["share of matrix products"] = own["TFLOP/s"] / peak
        plain = values.get(("steps", name.replace(" step", " plain step")), {})
        if part == "steps" and "plain" not in name and own and plain:
            own["times faster than plain"] = plain["seconds"] / own["seconds"]
            own[f"seconds of {STEPS} steps"] = STEPS * own["seconds"]
    return done


def markdown(done: list[Values]) -> str:
    """A table for each part."""
    lines = []
    for part, group in itertools.groupby(done, key=lambda row: row["part"]):
        members = list(group)
        columns = list(dict.fromkeys(key for row in members for key in row.get("values", {})))
        lines += [f"## {part[0].upper()}{part[1:]}", "", f"| | {' | '.join([*columns, 'failed'])} |"]
        lines += ["|" + "---|" * (len(columns) + 2)]
        for row in members:
            cells = [_cell(row.get("values", {}).get(column)) for column in columns]
            lines.append(f"| {' | '.join([row['name'], *cells, row.get('error', '').replace('|', '/')])} |")
        lines.append("")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def report(folder: Path, device: str, *, small: bool) -> list[Values]:
    """Measure all rows and write both files after each, so that whatever ends the run, the rows before it are there."""
    folder.mkdir(parents=True, exist_ok=True)
    done: list[Values] = []
    for row in rows(device, small=small):
        done.append(measured(row))
        told = with_shares(done)
        (folder / "gpu.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        (folder / "gpu.md").write_text(markdown(told), encoding="utf-8")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, help="where gpu.json and gpu.md go")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        row = json.loads(given.row)
        print(json.dumps(PARTS[row["part"]](**row["arguments"])))
    elif given.folder:
        report(given.folder, given.device, small=given.small)
    else:
        parser.error("name a folder")


if __name__ == "__main__":
    main()

"""Loading at real scale, without the hub: random weights of the released shapes, made, loaded, quantised, measured.

    python tests/hub/scale_check.py FOLDER [1.3b|14b|tiny]

Not part of CI: the 1.3B takes 8 GB of disk and some minutes. Each step runs in a process of its own, and says its
time and peak memory; the peak counts pages of weight files that are mapped and can be dropped again.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
SHARD_BYTES = 1.2e9
STEPS = ("make", "load plain", "convert int8", "load int8", "convert nf4", "load nf4")


def make(folder: Path, size: str) -> None:
    """bfloat16 weights under the released names, in shards with an index."""
    import torch
    from safetensors.torch import save_file

    shapes = json.loads((DATA / f"state_dict_{size}.json").read_text())
    pool = (torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)) * 0.02).bfloat16()
    shards: list[dict] = [{}]
    filled = 0
    for number, (name, shape) in enumerate(shapes.items()):
        count = math.prod(shape)
        start = number * 7919 % (len(pool) // 2)
        repeated = pool[start:].repeat(-(-count // (len(pool) - start)))
        tensor = repeated[:count].clone().reshape(shape)
        shards[-1][name] = tensor + 1 if len(shape) == 1 and name.endswith("weight") else tensor
        filled += 2 * count
        if filled > SHARD_BYTES:
            _write(folder, shards, save_file)
            shards.append({})
            filled = 0
    _write(folder, shards, save_file)
    files = [f"model-{number:05d}.safetensors" for number in range(1, len(shards) + 1)]
    weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _write(folder: Path, shards: list[dict], save_file) -> None:
    save_file(shards[-1], folder / f"model-{len(shards):05d}.safetensors", metadata={"format": "pt"})
    shards[-1] = dict.fromkeys(shards[-1])  # the names stay, the memory goes


def run_step(step: str, folder: Path, size: str) -> None:
    import bitsandbytes  # noqa: F401 (its import is not what is measured)
    import torch

    import onetoall_cli.model  # noqa: F401
    from onetoall_cli.hub import GenerationDefaults, ModelLocation
    from onetoall_cli.hub.weight_files import weight_files
    from onetoall_cli.weights import load_network
    from onetoall_cli.weights.architecture import architecture_of
    from onetoall_cli.weights.quantise import quantise_network
    from onetoall_cli.weights.tensors import read_tensors

    before = peak()
    started = time.monotonic()
    action, _, kind = step.partition(" ")
    if action == "make":
        make(folder, size)
        print(f"{step:<14} {time.monotonic() - started:7.1f} s   peak {peak():5.2f} GB")
        return
    config = architecture_of(read_tensors(weight_files(folder)), folder)
    if action == "convert":
        quantise_network(folder, config, folder / kind, kind, origin={"name": size, "repository": "-", "commit": "-"})
    else:
        place = (folder, config) if kind == "plain" else (folder / kind, None)
        location = ModelLocation(size, *place, folder, None, None, None, (), GenerationDefaults(), None)
        network = load_network(location, torch.bfloat16)
        loaded = time.monotonic() - started
        for value in network.state_dict().values():  # mapped pages come in when they are used
            value.flatten()[::512].float().sum()
        print(f"{'':<14} {loaded:7.1f} s   loaded, then every page used:")
    print(f"{step:<14} {time.monotonic() - started:7.1f} s   peak {peak():5.2f} GB (libraries alone {before:.2f})")


def peak() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e6  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size", nargs="?", default="1.3b", choices=("tiny", "1.3b", "14b"))
    parser.add_argument("--step", choices=STEPS, help="only this one, in this process")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.step:
        run_step(chosen.step, chosen.folder, chosen.size)
        return
    for step in STEPS:
        subprocess.run([sys.executable, __file__, chosen.folder, chosen.size, "--step", step], check=True)


if __name__ == "__main__":
    main()

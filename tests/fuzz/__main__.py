"""The long part of fuzzing: python -m tests.fuzz --inputs 50000 --seed 1 [--door NAME] [--keep FOLDER]

Each door is tried in a process of its own, which is started again behind an input that ends it. Inputs are shared out
between the doors as in the quick part. Exit code 1 where anything was found.
"""

import argparse
import faulthandler
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' own modules, which make seeds

from fuzz.doors import DOORS
from fuzz.running import LARGE, SLOW, attempt, damage, seed_of, warm_up

MOST_MEMORY = 8 * 10**9  # bytes of address space of a worker, which keeps the machine alive
FUSE = 60.0  # seconds after which a process that hangs is ended


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--door", choices=DOORS, action="append", help="only this one; repeatable")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that found something")
    parser.add_argument("--only", type=int, help="one input of --door, with its traceback")
    parser.add_argument("--worker", nargs=3, metavar=("DOOR", "FIRST", "LAST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.worker:
            name, first, last = options.worker
            return _work(name, range(int(first), int(last)), options, Path(folder))
        if options.only is not None:
            return _show(options.door[0], options, Path(folder))
    doors = options.door or list(DOORS)
    weight = sum(DOORS[name].quick for name in doors)
    print(
        f"{'door':18} {'inputs':>7} {'refused':>8} {'exit 1':>7} {'hangs':>6} {'>1 GB':>6} {'slowest':>8} {'memory':>8}"
    )
    found, total = 0, Counter[str]()
    for name in doors:
        count = round(options.inputs * DOORS[name].quick / weight)
        sums = _door(name, count, options)
        most = {key: max(total[key], sums[key]) for key in ("slowest", "memory")}
        total = Counter({**(total + sums), **most})
        found += sums["bugs"] + sums["hangs"] + sums["large"]
        _print_row(name, sums)
    _print_row("all", total)
    return 1 if found else 0


def _print_row(name: str, sums: Counter) -> None:
    slowest, memory = sums["slowest"] / 1000, sums["memory"] / 10**6
    print(
        f"{name:18} {sums['inputs']:7} {sums['refused']:8} {sums['bugs']:7} {sums['hangs']:6} {sums['large']:6} "
        f"{slowest:6.1f} s {memory:5.0f} MB",
        flush=True,
    )


def _door(name: str, count: int, options: argparse.Namespace) -> Counter[str]:
    """Try a door in other processes; one that ends too early ended at the input behind its last line."""
    sums, at = Counter[str](), 0
    while at < count:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--seed",
            str(options.seed),
            "--worker",
            name,
            str(at),
            str(count),
        ]
        if options.keep:
            command += ["--keep", str(options.keep)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        for line in done.stdout.splitlines():
            if not line.startswith('{"index"'):
                continue
            each = json.loads(line)
            at = each["index"] + 1
            _count(sums, name, each)
        if at < count and done.returncode:
            lines = done.stderr.strip().splitlines() or ["?"]
            bug = f"the process ended with {done.returncode}: {lines[0][:200]} ... {lines[-1][:200]}"
            _count(sums, name, {"index": at, "bug": bug, "refused": False, "seconds": 0, "bytes": 0})
            at += 1
        elif at < count:
            raise RuntimeError(f"{name}: the worker stopped at {at} without a reason: {done.stderr[-2000:]}")
    return sums


def _count(sums: Counter[str], name: str, each: dict) -> None:
    sums["inputs"] += 1
    sums["refused"] += each["refused"]
    sums["bugs"] += each["bug"] is not None
    sums["hangs"] += each["seconds"] > SLOW
    sums["large"] += each["bytes"] > LARGE
    sums["slowest"] = max(sums["slowest"], round(1000 * each["seconds"]))
    sums["memory"] = max(sums["memory"], each["bytes"])
    if each["bug"] or each["seconds"] > SLOW or each["bytes"] > LARGE:
        print(f"  {name} {each['index']}: {each['bug'] or ''} {each['seconds']:.1f} s {each['bytes'] / 1e6:.0f} MB")


def _work(name: str, indexes: range, options: argparse.Namespace, folder: Path) -> int:
    seed = seed_of(name, folder)
    warm_up(name, seed, folder / "target")
    with suppress(ImportError, ValueError):  # not Linux
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for index in indexes:
        target = _damaged(name, index, options.seed, seed, folder)
        faulthandler.dump_traceback_later(FUSE, exit=True)
        outcome = attempt(DOORS[name], target)
        faulthandler.cancel_dump_traceback_later()
        row = {"index": index, "bug": outcome.bug, "refused": outcome.refused}
        print(json.dumps({**row, "seconds": outcome.seconds, "bytes": outcome.bytes}), flush=True)
        if options.keep and (outcome.bug or outcome.seconds > SLOW or outcome.bytes > LARGE):
            kept = options.keep / f"{name.replace(' ', '-')}-{index}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(_damaged(name, index, options.seed, seed, folder), kept)
    return 0


def _damaged(name: str, index: int, number: int, seed: Path, folder: Path) -> Path:
    """Input `index` of a door: the same for the same seed, whatever came before."""
    target = folder / "target"
    damage(name, seed, target, random.Random(f"{number} {name} {index}"))
    return target


def _show(name: str, options: argparse.Namespace, folder: Path) -> int:
    target = _damaged(name, options.only, options.seed, seed_of(name, folder), folder)
    started = time.monotonic()
    try:
        DOORS[name].open(target)
    finally:
        print(f"{time.monotonic() - started:.2f} s; files: {[str(path) for path in target.rglob('*')]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

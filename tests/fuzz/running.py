"""One damaged input at a time, through its door: what came of it, how long it took, how much memory."""

import os
import random
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .doors import DOORS, Door
from .mutation import mutate

SLOW = 10.0  # seconds that count as hanging
LARGE = 10**9  # bytes of memory for one input
CONTROL = set(map(chr, [*range(32), *range(127, 160)]))
INDEPENDENT = {"info", "manifest", "arrays", "poses", "pictures", "videos"}  # doors whose seed is one file of several


@dataclass(frozen=True)
class Outcome:
    """What came of one input.

    Attributes:
        refused: The door said what is wrong.
        bug: Another exception than an `OnetoallError`, or a message that is unsafe; None if all is well.
        seconds, bytes: What it took.
    """

    refused: bool
    bug: str | None
    seconds: float
    bytes: int


def seed_of(name: str, folder: Path) -> Path:
    """A folder with the door's valid seed, made once."""
    seed = folder / name.replace(" ", "-")
    if not seed.exists():
        seed.mkdir(parents=True)
        DOORS[name].make(seed)
    return seed


def warm_up(name: str, seed: Path, target: Path) -> None:
    """Open the door with its valid seed, which must succeed: imports are no part of what an input costs."""
    files = [path for path in sorted(seed.rglob("*")) if path.is_file()] if name in INDEPENDENT else [None]
    for file in files:
        shutil.rmtree(target, ignore_errors=True)
        if file is None or file.parent != seed:
            shutil.copytree(seed if file is None else file.parent, target / file.parent.name if file else target)
        else:
            target.mkdir()
            shutil.copyfile(file, target / file.name)
        DOORS[name].open(target)


def damage(name: str, seed: Path, target: Path, rng: random.Random) -> Path:
    """A copy of the seed with one file damaged; of independent files only that one is there. Returns it."""
    shutil.rmtree(target, ignore_errors=True)
    files = sorted(path for path in seed.rglob(rng.choice(DOORS[name].damaged)) if path.is_file())
    chosen = files[rng.randrange(len(files))]
    group = chosen.parent if chosen.parent != seed else None
    for file in sorted(path for path in seed.rglob("*") if path.is_file()):
        if file == chosen or name not in INDEPENDENT or (group and file.parent == group):
            copy = target / file.relative_to(seed)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, copy)
    damaged = target / chosen.relative_to(seed)
    damaged.unlink()
    shutil.copyfile(chosen, damaged)
    mutate(damaged, rng)
    return damaged


def attempt(door: Door, folder: Path) -> Outcome:
    """Open a door once."""
    from onetoall_cli.errors import OnetoallError

    before, started = _reset_peak(), time.monotonic()
    refused, bug = False, None
    try:
        door.open(folder)
    except OnetoallError as error:
        refused = True
        if len(str(error)) > 2100 or CONTROL & set(str(error)):
            bug = f"an unsafe message: {str(error)[:300]!r}"
        if "weights_only" in str(error):
            bug = f"torch's own advice: {str(error)[:300]!r}"
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        bug = f"{type(error).__name__}: {str(error)[:300]}"
    return Outcome(refused, bug, time.monotonic() - started, _peak() - before)


def _reset_peak() -> int:
    """Forget the process's peak of memory where Linux can; returns what it holds now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

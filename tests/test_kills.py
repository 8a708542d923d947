"""A hundred kills at random moments, by `kill -9`, TERM and INT: never part of an output, and the same result later.

Commands run in copies of one process that has everything imported, so that the kills hit the work and not the imports.
"""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import yaml
from fake_hub import FakeHub
from hub_models import CATALOGUE, NETWORK_REPOSITORY, WAN_REPOSITORY, network_files, wan_files

KILLS = {"animate": 34, "train": 33, "fetch": 33}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
SAID = {signal.SIGTERM: "Terminated", signal.SIGINT: "Interrupted"}
PRELOAD = ["onetoall_cli.cli", "onetoall_cli.animator", "onetoall_cli.training.runs", "onetoall_cli.hub.fetch"]
PRELOAD += ["onetoall_cli.sampling", "onetoall_cli.weights", "onetoall_cli.alignment", "onetoall_cli.media"]


def run_command(arguments: list[str], folder: str, said: str, begins: Event) -> None:
    """In a process of its own: the command line, what it says on stderr in a file."""
    from onetoall_cli.cli import app, main

    os.chdir(folder)
    for number in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["onetoall", *arguments]
    app.callback()(begins.set)  # main() has set its signal handlers by then
    main()


@dataclass
class Runner:
    """Starts one command again and again in `folder`."""

    arguments: list[str]
    folder: Path
    context: multiprocessing.context.ForkServerContext

    def start(self) -> multiprocessing.context.ForkServerProcess:
        begins = self.context.Event()
        arguments = (self.arguments, str(self.folder), str(self.said), begins)
        process = self.context.Process(target=run_command, args=arguments)
        process.start()
        assert begins.wait(60)
        return process

    @property
    def said(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.txt")

    def complete(self) -> float:
        """Run to the end; returns how long it took."""
        process = self.start()
        started = time.monotonic()
        process.join()
        assert process.exitcode == 0, self.said.read_text()
        return time.monotonic() - started

    def killed(self, signum: signal.Signals, after: float) -> bool:
        """Kill a run; returns whether it was still running."""
        process = self.start()
        process.join(after)
        if process.exitcode is None:
            os.kill(process.pid, signum)
        process.join(60)
        said = self.said.read_text()
        assert process.exitcode in (0, CODES[signum]), f"{process.exitcode}: {said}"
        assert "Traceback" not in said
        if process.exitcode and signum in SAID:
            assert SAID[signum] in said
        return process.exitcode != 0


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[FakeHub]:
    hub = FakeHub()
    hub.start()
    hub.add(NETWORK_REPOSITORY, network_files())
    hub.add(WAN_REPOSITORY, wan_files())
    hub.trickle("/cdn/", after=0.5, pause=0.05)
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def machine(hub, tmp_path_factory) -> Iterator[Path]:
    """A home of its own, for the server of processes too."""
    home = tmp_path_factory.mktemp("machine")
    names = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("DATA", "CONFIG", "CACHE")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**names, "HF_HOME": str(home / "hf"), "HF_ENDPOINT": hub.endpoint}.items():
            patch.setenv(name, value)
        own = home / "config" / "onetoall" / "catalogue.yaml"
        own.parent.mkdir(parents=True)
        own.write_text(CATALOGUE)
        yield home


@pytest.fixture(scope="module")
def context(machine) -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


@pytest.fixture
def commands(model, reference, ref_pose, dance_poses, tmp_path, machine, micro_run) -> dict[str, list[str]]:
    pictures = ["animate", reference, dance_poses, "--ref-pose", ref_pose, "--model", model, "-o", "out.mp4"]
    return {
        "animate": [*map(str, pictures), "--frames", "frames", "--steps", "3"],
        "train": ["train", str(micro_run), "--export", "exported"],
        "fetch": ["fetch", "1.3b", "--yes"],
    }


@pytest.fixture
def micro_run(tmp_path) -> Path:
    """A recipe whose three short runs write a checkpoint at each step."""
    from onetoall_cli.training.vae import build_vae
    from onetoall_cli.training.vae_data import Phase, VaeSettings

    network = {"num_attention_heads": 2, "attention_head_dim": 32, "text_dim": 8, "ffn_dim": 64, "num_layers": 4}
    network |= {"num_reference_layers": 1, "num_pose_layers": 2}
    sizes = {"base_dim": 8, "num_res_blocks": 1, "dim_mult": (1, 1, 1, 1)}
    settings = VaeSettings(output=tmp_path / "vae", phases=(Phase(steps=1, batch=1),), model=sizes)
    build_vae(settings).save_pretrained(tmp_path / "vae")
    recipe = {
        "output": "run",
        "stage": 1,
        "vae": str(tmp_path / "vae"),
        "steps": 4,
        "model": network,
        "frames": 13,
        "resolutions": [{"short_side": 32}],
        "sample_every": 0,
        "checkpoint_every": 1,
        "workers": 0,
        "threads": 1,
        "video_share": 0,
        "bf16": False,
    }
    config = tmp_path / "micro.yaml"
    config.write_text(yaml.safe_dump(recipe))
    return config


def contents(folder: Path) -> dict[str, str]:
    """Every file a user sees below `folder`, by what is in it."""
    return {str(path.relative_to(folder)): hash_of(path) for path in folder.rglob("*") if path.is_file()}


def hash_of(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".safetensors":  # whose metadata are in any order
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.dumps(json.loads(content[8:end]), sort_keys=True)
        content = header.encode() + content[end:]
    return hashlib.sha256(content).hexdigest()


def results(kind: str, folder: Path, machine: Path) -> dict[str, str]:
    """What the command is asked for, as far as it is there."""
    if kind == "animate":
        return {name: each for name, each in contents(folder).items() if name.split("/")[0] in ("out.mp4", "frames")}
    if kind == "train":
        network = [path for path in (folder / "run" / "network", folder / "exported") if path.exists()]
        return {f"{path.name}/{name}": each for path in network for name, each in contents(path).items()}
    snapshots = (machine / "hf").glob("hub/models--*/snapshots/*")
    return {f"{path.name}/{name}": each for path in snapshots for name, each in contents(path).items()}


def clear(kind: str, folder: Path, machine: Path) -> None:
    for path in (folder, machine / "hf", machine / "data") if kind == "fetch" else (folder,):
        shutil.rmtree(path, ignore_errors=True)
    folder.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KILLS))
def test_killed_at_random_moments_it_leaves_no_part_and_ends_the_same(kind, commands, context, machine, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    runner = Runner(commands[kind], folder, context)
    runner.complete()  # the server of processes starts with it
    expected = results(kind, folder, machine)
    assert expected
    clear(kind, folder, machine)
    seconds = runner.complete()
    assert results(kind, folder, machine) == expected
    clear(kind, folder, machine)
    rng, hits, tries = random.Random(kind), 0, 0
    while hits < KILLS[kind]:
        tries += 1
        assert tries < 5 * KILLS[kind]
        signum = SIGNALS[tries % 3]
        before = hidden(folder)
        hits += runner.killed(signum, rng.uniform(0, seconds))
        there = results(kind, folder, machine)
        assert there.items() <= expected.items(), "part of an output, or another one"
        if signum != signal.SIGKILL and kind == "animate":
            assert hidden(folder) <= before, "an unfinished output that nobody will finish"
        clear_outputs(folder)
        if there == expected or tries % 4 == 0:
            runner.complete()
            assert results(kind, folder, machine) == expected
            assert not hidden(folder)
            clear(kind, folder, machine)
    print(f"{kind}: {hits} kills in {tries} runs of up to {seconds:.1f} s")


def hidden(folder: Path) -> set[Path]:
    return {path for path in folder.rglob(".onetoall-*") if path.is_dir()}


def clear_outputs(folder: Path) -> None:
    """What `animate` and `train` would not write again without --overwrite."""
    (folder / "out.mp4").unlink(missing_ok=True)
    for name in ("frames", "exported"):
        shutil.rmtree(folder / name, ignore_errors=True)

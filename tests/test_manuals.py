"""What README and the manuals say to type runs on small stand-ins, or is marked as not run and at least parses."""

import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from command_fixtures import real_poses
from fake_hub import FakeHub
from hub_models import POSE_REPOSITORY, network_files, pose_files
from manuals import (
    MANUALS,
    MARKED_LANGUAGES,
    ROOT,
    Block,
    Command,
    anchors,
    blocks_of,
    command_of,
    inline_code,
    links,
    name_of,
    prose_of,
)
from safetensors.torch import save_file
from test_imports import ORDER

from onetoall_cli.batch import Row
from onetoall_cli.cli import app
from onetoall_cli.cli.batch_rows import tasks_of
from onetoall_cli.cli.options import OPTIONS as OPTION_GROUPS
from onetoall_cli.hub import load_catalogue
from onetoall_cli.hub.places import user_catalogue
from onetoall_cli.media import VideoWriter, write_picture
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.settings import read_settings

README = ROOT / "README.md"
README_BYTES = 10_000
LINE = 120
# What else a manual may call; that these run is not ours to test.
OTHER_PROGRAMS = {".ci/run", "accelerate", "git", "mypy", "pip", "pytest", "python", "ruff", "source", "uv"}

GROUP = typer.main.get_command(app)
OPTIONS = {
    option
    for command in GROUP.commands.values()  # type: ignore[attr-defined]
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {"--help", "--version"}

by_manual = pytest.mark.parametrize("manual", MANUALS, ids=name_of)


def by_manual_with_blocks(*, slow: bool) -> pytest.MarkDecorator:
    """Those manuals that have something to run."""
    chosen = [manual for manual in MANUALS if any(block.is_run(slow=slow) for block in blocks_of(manual))]
    return pytest.mark.parametrize("manual", chosen, ids=name_of)


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= README_BYTES


@by_manual
def test_lines_are_short_but_for_tables(manual: Path) -> None:
    lines = manual.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > LINE and not line.startswith("|")] == []


@by_manual
def test_the_rows_of_a_table_have_as_many_cells_as_its_head(manual: Path) -> None:
    lines = prose_of(manual).splitlines()
    cells = [line.count("|") if line.startswith("|") else 0 for line in lines]
    pairs = zip(cells, cells[1:], lines[1:], strict=False)
    assert [line for above, below, line in pairs if above and below and above != below] == []


@by_manual
def test_links_lead_to_files_and_headings_that_exist(manual: Path) -> None:
    for link in links(manual):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = (manual.parent / place).resolve() if place else manual
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("manual", MANUALS[1:], ids=name_of)
def test_every_manual_is_linked_from_the_readme(manual: Path) -> None:
    assert name_of(manual) in set(links(README))


@by_manual
def test_every_block_says_whether_it_is_run(manual: Path) -> None:
    blocks = [block for block in blocks_of(manual) if block.language in MARKED_LANGUAGES]
    assert [block.place for block in blocks if block.mark is None] == []
    for test in {block.mark["test"] for block in blocks if block.mark} - {None}:
        assert (ROOT / test).is_file(), test


@by_manual
def test_every_command_parses(manual: Path) -> None:
    for block in blocks_of(manual):
        if block.language in ("sh", "console"):
            for command in block.commands():
                check_parses(command, block.place)
        elif block.language == "python":
            compile(block.text, block.place, "exec")
    for code in inline_code(manual):
        if code.startswith("onetoall ") and code.count(" ") > 1 and "COMMAND" not in code:
            check_parses(command_of(code), name_of(manual))


@by_manual
def test_every_option_that_is_named_exists(manual: Path) -> None:
    named = [code for code in inline_code(manual) if code.startswith("--")]
    assert {option for code in named for option in re.findall(r"--[\w-]+", code)} - OPTIONS == set()


def check_parses(command: Command, place: str) -> None:
    """Fail unless the program is known and the command line takes these words."""
    program, *words = command.words
    ours = [word for word in words if word.startswith(("onetoall_cli/", "tests/"))]
    assert all((ROOT / word).exists() for word in ours), f"{place}: {ours}"
    if program in ("accelerate", "torchrun"):
        program, *words = words[words.index("-m") :]
    if program in ("python", "-m"):
        words = words[1:] if words[0] == "-m" else words
        if words[0] != "onetoall_cli":
            is_module = command.words[1] == "-m"
            assert importlib.util.find_spec(words[0]) if is_module else (ROOT / words[0]).is_file(), f"{place}: {words}"
            return
        program, words = "onetoall", words[1:]
    if program == "pip":
        extras = {extra for word in words for part in re.findall(r"\[(.+)\]", word) for extra in part.split(",")}
        known = re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
        assert extras <= set(known), f"{place}: {extras}"
    if program != "onetoall":
        assert program in OTHER_PROGRAMS, f"{place}: {program}"
        return
    try:
        with GROUP.make_context("onetoall", [words[0], "--help"], resilient_parsing=True) as context:
            subcommand = GROUP.commands[words[0]]  # type: ignore[attr-defined]
            subcommand.make_context(words[0], words[1:], parent=context).close()
    except Exception as error:
        pytest.fail(f"{place}: {' '.join(command.words)}: {getattr(error, 'message', None) or repr(error)}")


def test_the_readme_shows_the_python_example_of_the_package() -> None:
    import onetoall_cli

    (block,) = [block for block in blocks_of(README) if block.language == "python"]
    assert " ".join(block.text.split()) in " ".join((onetoall_cli.__doc__ or "").split())


def test_the_manual_of_the_library_names_every_setting() -> None:
    text = (ROOT / "onetoall_cli" / "animator" / "README.md").read_text(encoding="utf-8")
    for group in OPTION_GROUPS:
        (row,) = re.findall(rf"^\| `{group.__name__}`.*? \| (.*) \|$", text, flags=re.MULTILINE)
        assert row.split(", ") == [field.name for field in dataclasses.fields(group)]


def test_contributing_shows_the_order_of_imports() -> None:
    shown = [block.text for block in blocks_of(ROOT / "tests" / "README.md") if block.language == "text"]
    order = "\n".join(", ".join(room for room in rooms if room != "__main__") for rooms in ORDER) + "\n"
    assert order in shown


@by_manual
def test_settings_in_yaml_are_such_as_are_read(manual: Path, machine) -> None:
    for block in blocks_of(manual):
        if block.language != "yaml":
            continue
        settings = yaml.safe_load(block.text)
        if "entries" in settings:
            user_catalogue().parent.mkdir(parents=True)
            user_catalogue().write_text(block.text)
            assert set(settings["entries"]) <= set(load_catalogue().entries), block.place
        elif "jobs" in settings:
            rows = [Row(row, block.place) for row in settings["jobs"]]
            _, faults = tasks_of(rows, settings["defaults"], source=block.place, base=Path(), folder=Path())
            assert [fault for fault in faults if "does not exist" not in fault] == []
        else:
            read_settings(TrainingSettings, settings, block.place)


@by_manual
def test_json_is_json(manual: Path) -> None:
    for block in blocks_of(manual):
        if block.language == "json":
            assert all(json.loads(line) for line in block.text.splitlines()), block.place


# -- what is run ------------------------------------------------------------------------------------------------------


def run_blocks(manual: Path, onetoall: Callable, *, slow: bool) -> None:
    """Run a manual's blocks from top to bottom in one folder, as a reader would."""
    names: dict[str, object] = {}
    for block in blocks_of(manual):
        if not block.is_run(slow=slow):
            continue
        if block.language == "python":
            exec(compile(block.text_to_run(), block.place, "exec"), names)
            continue
        for command in block.commands():
            run_command(command, block, onetoall)


def run_command(command: Command, block: Block, onetoall: Callable) -> None:
    program, *words = command.words
    said = f"{block.place}: {' '.join(command.words)}"
    if program == "onetoall":
        result = onetoall(*words)
        assert result.exit_code == 0, f"{said}\n{result.err}"
        if command.file:
            Path(command.file).write_text(getattr(result, command.stream))
    else:
        assert program == "python", said
        subprocess.run([sys.executable, *words], check=True, capture_output=True)


@pytest.fixture
def inputs(tmp_path: Path) -> None:
    """The files that manuals name: a picture, two dances of 7 seconds, poses, somebody else, a LoRA."""
    picture = np.zeros((505, 256, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.linspace(0, 255, 256), np.linspace(0, 255, 505)[:, None]
    write_picture(tmp_path / "ref.png", picture)
    write_picture(tmp_path / "someone.jpg", np.zeros((192, 108, 3), np.uint8))
    for name in ("dance.mp4", "dance2.mp4"):
        with VideoWriter(tmp_path / name, 108, 192, fps=0.75) as video:
            for index in range(5):
                video.write(np.full((192, 108, 3), 10 * index, np.uint8))
    real_poses("ref_half").save(tmp_path / "ref.json")
    real_poses("dance_full", 1).save(tmp_path / "pose.json")
    part = "transformer.blocks.0.attn1.to_q.lora_"
    lora = {f"{part}A.weight": torch.full((2, 128), 0.01), f"{part}B.weight": torch.full((128, 2), 0.01)}
    save_file(lora, tmp_path / "style.safetensors")


@pytest.fixture
def small_models(hub: FakeHub) -> FakeHub:
    """A hub on which `1.3b`, `14b` and `pose` are small, and sample in two steps."""
    path = user_catalogue()
    catalogue = yaml.safe_load(path.read_text())
    model = catalogue["entries"]["1.3b"]
    model["defaults"].update(short_side=32, num_inference_steps=2, pose_canvas_short_side=256)
    catalogue["entries"]["14b"] = {**model, "repository": "MochunniaN1/One-to-All-14b"}
    path.write_text(json.dumps(catalogue))  # JSON is YAML too; YAML would be written with aliases
    hub.add("MochunniaN1/One-to-All-14b", network_files())
    hub.add(POSE_REPOSITORY, pose_files())
    return hub


@pytest.fixture
def one_thread() -> Iterator[None]:
    """What is this small, several threads only wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@by_manual_with_blocks(slow=False)
def test_the_manual_runs_from_top_to_bottom(manual, onetoall, inputs, small_models, seeing, fetch, one_thread) -> None:
    blocks = [block for block in blocks_of(manual) if block.is_run(slow=False)]
    if not any("fetch 1.3b" in block.text for block in blocks):
        fetch("1.3b")
    run_blocks(manual, onetoall, slow=False)


@pytest.mark.slow
@by_manual_with_blocks(slow=True)
def test_the_slow_parts_of_the_manual_run(manual, onetoall, inputs) -> None:
    run_blocks(manual, onetoall, slow=True)

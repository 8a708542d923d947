"""The commands `fetch`, `prompt-embeds`, `doctor`, and the whole way from an empty machine to a video."""

import json
from pathlib import Path

import pytest
import typer
from hub_models import NETWORK_REPOSITORY, network_files
from typer.testing import CliRunner

from onetoall_cli.cli.animate import animate
from onetoall_cli.cli.doctor import doctor
from onetoall_cli.cli.fetch import fetch as fetch_command
from onetoall_cli.cli.prompt_embeds import prompt_embeds
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.places import copy_folder, hub_cache
from onetoall_cli.weights import PromptStore

SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def onetoall(tmp_path, monkeypatch):
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode=None)
    for command in (animate, fetch_command, prompt_embeds, doctor):
        app.command()(command)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def asks_always(monkeypatch):
    monkeypatch.setattr("onetoall_cli.hub.fetch.ASK_ABOVE", 0)


def answer(result) -> dict:
    (line,) = result.stdout.splitlines()
    return json.loads(line)


@pytest.fixture
def job(tmp_path):
    """Arguments of `animate` for a picture, its pose and a motion of 9 frames in the current folder."""
    import numpy as np

    from onetoall_cli.media import write_picture
    from onetoall_cli.pose import PoseSequence

    stored = np.load(Path(__file__).parents[1] / "data" / "poses_real.npz")
    for name, keypoints in (("ref_half", stored["ref_half"]), ("dance_full", stored["dance_full"][:9])):
        people = keypoints.reshape(-1, 1, 133, 3)
        PoseSequence(people, *map(int, stored[f"{name}_size"]), fps=8).save(tmp_path / f"{name}.json")
    width, height = stored["ref_half_size"]
    write_picture(tmp_path / "ref.png", np.full((int(height), int(width), 3), 90, np.uint8))
    options = ("--ref-pose", "ref_half.json", "--steps", 1, "--align", "pose", "-o", "out.mp4")
    return ("animate", "ref.png", "dance_full.json", *options)


def test_from_an_empty_cache_fetch_then_animate_makes_a_video(hub, onetoall, job, tmp_path):
    from onetoall_cli.media import open_video

    assert onetoall("fetch", "1.3b", "--yes").exit_code == 0
    result = onetoall(*job)
    assert result.exit_code == 0, result.stderr
    assert "Using 1.3b: the only installed model" in result.stderr
    video = open_video(tmp_path / "out.mp4")
    assert len(list(video)) == 9 and min(video.width, video.height) == 64
    stores = answer(onetoall("prompt-embeds", "list", "--json"))["stores"]
    assert [len(prompts) for prompts in stores.values()] == [2]  # the empty and the negative prompt, for later runs


def test_a_command_that_needs_a_model_names_the_fetch_command_or_fetches(hub, onetoall, job):
    result = onetoall(*job, "--model", "1.3b")
    assert result.exit_code == 3 and "onetoall fetch 1.3b" in result.stderr
    result = onetoall(*job, "--model", "1.3b", "--auto-fetch", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert {"1.3b", "vae"} <= set(installed())


def test_dry_run_says_what_how_much_and_where_and_fetches_nothing(hub, onetoall):
    result = onetoall("fetch", "1.3b", "--dry-run", "--json")
    fields = answer(result)
    assert fields["dry_run"] and fields["cache"] == str(hub_cache())
    assert {part["name"] for part in fields["parts"]} == {"1.3b", "vae", "text-encoder"}
    assert fields["bytes"] == sum(part["to_fetch"] for part in fields["parts"]) > 0
    assert installed() == {} and hub.downloads() == []
    prose = onetoall("fetch", "1.3b", "--dry-run").stdout
    assert NETWORK_REPOSITORY in prose and str(hub_cache()) in prose


def test_a_large_download_without_a_terminal_needs_yes(hub, onetoall, asks_always):
    refused = onetoall("fetch", "1.3b")
    assert refused.exit_code == 2 and "--yes" in refused.stderr
    assert installed() == {}
    assert onetoall("fetch", "1.3b", "--yes").exit_code == 0
    assert onetoall("fetch", "1.3b").exit_code == 0  # nothing left to download, nothing to ask


@pytest.mark.parametrize(("said", "fetched"), [("y\n", True), ("n\n", False)])
def test_on_a_terminal_a_large_download_is_asked_about(hub, onetoall, asks_always, monkeypatch, said, fetched):
    monkeypatch.setattr("onetoall_cli.cli.fetch._on_terminal", lambda: True)
    app = typer.Typer()
    app.command()(fetch_command)
    result = CliRunner().invoke(app, ["1.3b"], input=said)
    assert result.exit_code == 0
    assert "Download" in result.stderr and NETWORK_REPOSITORY in result.stderr
    assert bool(installed()) == fetched


def test_list_verify_repair_path_and_remove_speak_json(hub, onetoall):
    assert answer(onetoall("fetch", "1.3b", "--json"))["fetched"] == ["1.3b", "vae", "text-encoder"]
    entries = {entry["name"]: entry for entry in answer(onetoall("fetch", "--list", "--json"))["entries"]}
    assert entries["1.3b"]["state"] == "installed" and entries["14b"]["state"] == "not installed"
    folder = Path(answer(onetoall("fetch", "1.3b", "--path", "--json"))["paths"]["1.3b"])
    assert onetoall("fetch", "1.3b", "--path").stdout.strip() == str(folder)
    assert answer(onetoall("fetch", "--verify", "--json"))["faults"] == []
    (folder / SHARD).resolve().write_bytes(b"damaged")
    broken = onetoall("fetch", "--verify")
    assert broken.exit_code == 3 and SHARD in broken.stderr and "--repair" in broken.stderr
    repaired = answer(onetoall("fetch", "--verify", "--repair", "--json"))
    assert repaired["repaired"] and [Path(fault["path"]).name for fault in repaired["faults"]] == [SHARD]
    assert onetoall("fetch", "--verify").exit_code == 0
    assert answer(onetoall("fetch", "1.3b", "--remove", "--json"))["bytes"] > 0
    assert onetoall("fetch", "1.3b", "--path").exit_code == 3


def test_list_is_for_people_too_and_the_default(hub, onetoall):
    lines = onetoall("fetch").stdout.splitlines()
    assert lines[0].split()[:4] == ["name", "state", "size", "revision,"[:-1]]
    assert any(line.startswith("1.3b ") and "not installed" in line for line in lines)
    assert any(line.startswith("detectors ") and "pose, dwpose" in line for line in lines)


def test_quantize_makes_a_copy_and_can_drop_the_original_for_good(hub, onetoall):
    result = onetoall("fetch", "1.3b", "--quantize", "nf4", "--no-keep-original", "--json")
    assert answer(result)["copies"] == ["1.3b-nf4"]
    assert "1.3b" not in installed() and (copy_folder("1.3b-nf4") / "config.json").is_file()
    hub.requests.clear()
    assert onetoall("fetch", "1.3b", "--quantize", "nf4", "--no-keep-original").exit_code == 0
    assert hub.requests == []  # the original is not downloaded again only to be dropped
    assert onetoall("fetch", "1.3b-nf4", "--remove").exit_code == 0
    assert not copy_folder("1.3b-nf4").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "no model 'nonsense'"),
        (["hf:nonsense"], 2, "does not name a repository"),
        (["1.3b", "--list", "--verify"], 2, "Only one of"),
        (["1.3b", "--repair"], 2, "--repair goes with --verify"),
        (["--remove"], 2, "--remove needs names"),
        (["--path"], 2, "--path needs a name"),
        (["vae", "--quantize", "int8"], 2, "--quantize is for networks"),
        (["1.3b", "--revision", "nowhere"], 3, "nowhere"),
        (["hf:nobody/nothing"], 3, "nobody/nothing"),
    ],
)
def test_wrong_requests_end_with_their_exit_code(hub, onetoall, arguments, code, said):
    result = onetoall("fetch", *arguments)
    assert result.exit_code == code and said in result.stderr


def test_embeddings_go_from_one_machine_to_another(hub, onetoall, tmp_path, monkeypatch):
    onetoall("fetch", "1.3b")
    exported = onetoall("prompt-embeds", "export", "prompts.safetensors", "--prompt", "a dancer", "--json")
    assert exported.exit_code == 0, exported.stderr
    assert "a dancer" in answer(exported)["prompts"] and len(answer(exported)["prompts"]) == 3
    assert sorted(path.name for path in tmp_path.glob("prompts*")) == ["prompts.safetensors"]
    assert onetoall("prompt-embeds", "export", "prompts.safetensors").exit_code == 2  # exists already
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    assert onetoall("fetch", "1.3b", "--without-text-encoder").exit_code == 0
    taken = onetoall("prompt-embeds", "import", "prompts.safetensors", "--json")
    assert len(answer(taken)["prompts"]) == 3
    stores = answer(onetoall("prompt-embeds", "list", "--json"))["stores"]
    assert any("a dancer" in prompts for prompts in stores.values())


def test_embeddings_of_unknown_origin_are_taken_for_every_model(hub, onetoall, tmp_path):
    import torch

    onetoall("fetch", "1.3b", "--without-text-encoder")
    PromptStore(tmp_path / "mine.safetensors").put("mine", torch.ones(1, 32))
    assert onetoall("prompt-embeds", "import", "mine.safetensors").exit_code == 0
    stores = answer(onetoall("prompt-embeds", "list", "--json"))["stores"]
    assert ["mine"] in stores.values()


def test_importing_what_is_no_store_is_an_error(hub, onetoall, tmp_path):
    (tmp_path / "x.safetensors").write_text("no")
    assert onetoall("prompt-embeds", "import", "x.safetensors").exit_code == 2
    assert onetoall("prompt-embeds", "import", "gone.safetensors").exit_code == 2
    assert onetoall("prompt-embeds", "export").exit_code == 2


def test_doctor_reports_for_people_and_machines(hub, onetoall):
    prose = onetoall("doctor")
    assert prose.exit_code == 0 and "onetoall fetch 1.3b" in prose.stdout
    fields = answer(onetoall("doctor", "--json"))
    assert {finding["state"] for finding in fields["findings"]} <= {"good", "note", "problem"}


def test_a_damaged_shard_of_the_network_is_named_by_the_command(hub, onetoall, job):
    onetoall("fetch", "1.3b")
    path = installed()["1.3b"].folder / SHARD
    path.resolve().write_bytes(bytes(len(network_files()[SHARD])))  # of the right size
    result = onetoall(*job)
    assert result.exit_code == 3 and SHARD in result.stderr and "--verify --repair" in result.stderr

"""Everything that goes wrong on the way: every run ends complete and verified, or says why and keeps what came."""

import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from fake_hub import etag_of
from hub_models import NETWORK_REPOSITORY, WAN_REPOSITORY, network_files

from onetoall_cli.errors import ModelMissing, OutOfResources
from onetoall_cli.hub import locate_model
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.verify import verify

SHARD = "model-00001-of-00002.safetensors"
SHARD_PATH = f"/cdn/{etag_of(network_files()[SHARD])}"
CODE = """
from onetoall_cli.hub.fetch import fetch_lock, plan_fetch, run_plan
with fetch_lock():
    run_plan(plan_fetch(["1.3b"], without=["vae", "text-encoder"]))
"""


@pytest.fixture
def fetch_network(fetch):
    """Fetch the network alone: three files, two of them large."""
    return partial(fetch, "1.3b", without=["vae", "text-encoder"])


def blobs(machine: Path, repository: str = NETWORK_REPOSITORY) -> Path:
    return machine / "hf" / "hub" / f"models--{repository.replace('/', '--')}" / "blobs"


@pytest.mark.parametrize("seed", range(50))
def test_cut_at_random_offsets_it_ends_complete_and_resumes_to_the_byte(hub, fetch_network, seed):
    hub.cut_randomly(seed, cuts=4)
    fetch_network()
    assert verify() == (["1.3b"], [])
    for name, content in network_files().items():
        sent = hub.bytes_sent[f"/cdn/{etag_of(content)}"]
        assert sent in (0, len(content)), f"{name}: {sent} of {len(content)} bytes were sent"


def test_a_partial_file_of_an_earlier_run_is_continued(hub, fetch, machine, monkeypatch):
    monkeypatch.setattr("onetoall_cli.hub.remote.ATTEMPTS", 1)
    hub.cut_once(SHARD_PATH, 0.6)
    with pytest.raises(ModelMissing, match="continues where it stopped"):
        fetch("1.3b")
    (left,) = (machine / "hf").rglob(f"{etag_of(network_files()[SHARD])}.incomplete")
    assert left.stat().st_size > 0
    assert installed()["1.3b"].missing()  # seen by --list and --remove, and refused by --model
    with pytest.raises(ModelMissing, match="missing or cut short"):
        locate_model("1.3b")
    hub.faults.clear()
    hub.requests.clear()
    fetch("1.3b")
    assert any(request.range for request in hub.requests)
    assert verify()[1] == []


def test_bytes_that_are_wrong_once_are_noticed_and_fetched_again(hub, fetch_network):
    digest = etag_of(network_files()[SHARD])
    hub.served_wrong[digest] = bytes(len(network_files()[SHARD]))

    def heal(handler, path):
        if hub.bytes_sent[SHARD_PATH] >= len(network_files()[SHARD]):
            hub.served_wrong.clear()
        return False

    hub.faults.append(heal)
    fetch_network()
    assert hub.bytes_sent[SHARD_PATH] == 2 * len(network_files()[SHARD])
    assert verify()[1] == []


def test_bytes_that_stay_wrong_are_refused_by_name_and_never_enter_the_cache(hub, fetch_network, machine):
    digest = etag_of(network_files()[SHARD])
    hub.served_wrong[digest] = bytes(len(network_files()[SHARD]))
    with pytest.raises(ModelMissing, match=SHARD):
        fetch_network()
    assert not (blobs(machine) / digest).exists()
    hub.served_wrong.clear()
    fetch_network()
    assert verify()[1] == []


def test_a_partial_file_with_wrong_bytes_is_not_built_upon(hub, fetch_network, machine):
    content = network_files()[SHARD]
    blobs(machine).mkdir(parents=True)
    (blobs(machine) / f"{etag_of(content)}.incomplete").write_bytes(b"x" * 1000)
    fetch_network()
    assert verify()[1] == []


def test_a_partial_file_that_is_too_long_is_not_built_upon(hub, fetch_network, machine):
    content = network_files()[SHARD]
    blobs(machine).mkdir(parents=True)
    (blobs(machine) / f"{etag_of(content)}.incomplete").write_bytes(content + b"more")
    fetch_network()
    assert verify()[1] == []


def test_a_server_that_ignores_ranges_is_coped_with(hub, fetch_network, machine):
    content = network_files()[SHARD]
    blobs(machine).mkdir(parents=True)
    (blobs(machine) / f"{etag_of(content)}.incomplete").write_bytes(content[:1000])
    hub.ignore_ranges()
    fetch_network()
    assert verify()[1] == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_faults_are_waited_for(hub, fetch_network, status):
    hub.fail(status, times=2, where="/cdn/")
    hub.fail(status, times=2, where="/resolve/")
    fetch_network()
    assert verify()[1] == []


def test_429_waits_as_long_as_the_hub_asks(hub, fetch_network):
    hub.fail(429, headers={"Retry-After": "1"}, where=SHARD_PATH)
    started = time.monotonic()
    fetch_network()
    assert time.monotonic() - started >= 1
    assert verify()[1] == []


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (401, {}, "does not show"),
        (403, {}, "does not show"),
        (403, {"X-Error-Code": "GatedRepo"}, "terms"),
        (404, {"X-Error-Code": "RepoNotFound"}, "does not show"),
        (404, {"X-Error-Code": "EntryNotFound"}, "404"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "404"),
        (429, {}, "429"),
        (500, {}, "500"),
    ],
)
def test_lasting_faults_end_with_exit_code_3_and_advice(hub, fetch_network, status, headers, said):
    hub.fail(status, times=100, headers=headers, where="/resolve/")
    with pytest.raises(ModelMissing, match=said) as failed:
        fetch_network()
    assert failed.value.exit_code == 3 and failed.value.advice
    hub.faults.clear()
    fetch_network()
    assert verify()[1] == []


@pytest.mark.parametrize("status", [401, 404])
def test_a_repository_that_is_not_there_or_not_shown_is_named(hub, fetch_network, status):
    hub.fail(status, times=100, where="/api/models/")
    with pytest.raises(ModelMissing, match=NETWORK_REPOSITORY):
        fetch_network()


def test_an_unknown_revision_is_named(hub, fetch_network):
    with pytest.raises(ModelMissing, match="no-such-branch") as failed:
        fetch_network(revision="no-such-branch")
    assert "--revision" in failed.value.advice


def test_a_hub_that_does_not_answer_is_named_with_its_address(hub, fetch_network):
    hub.stop()
    with pytest.raises(ModelMissing, match=f"127.0.0.1:{hub.port} does not answer"):
        fetch_network()


def test_offline_with_a_full_cache_everything_works(hub, fetch, monkeypatch):
    from huggingface_hub import constants

    fetch("1.3b")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.stop()
    fetch("1.3b")
    assert locate_model("1.3b").text_encoder is not None


def test_offline_with_an_empty_cache_says_so(hub, fetch_network, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelMissing, match="HF_HUB_OFFLINE"):
        fetch_network()
    assert hub.requests == []


def test_an_update_that_fails_leaves_the_former_commit_usable(hub, fetch):
    fetch("1.3b")
    former = locate_model("1.3b").revision
    hub.add(NETWORK_REPOSITORY, network_files(3))
    hub.fail(404, times=100, where="/cdn/")
    with pytest.raises(ModelMissing):
        fetch("1.3b", revision="main")
    assert locate_model("1.3b").revision == former
    hub.faults.clear()
    fetch("1.3b", revision="main")
    assert locate_model("1.3b").revision != former


def test_a_full_disk_on_the_way_is_exit_code_4_and_keeps_what_came(hub, fetch_network, machine, monkeypatch):
    """The real thing, by the size limit of a process: the kernel refuses the write in mid-file."""
    limit = len(network_files()[SHARD]) // 2
    code = (
        "import sys\nfrom onetoall_cli.errors import OnetoallError\n"
        f"try:\n    exec({CODE!r})\nexcept OnetoallError as error:\n"
        "    print(error.problem)\n    sys.exit(error.exit_code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == OutOfResources.exit_code, ended.stderr
    assert "is full" in ended.stdout
    kept = sum(path.stat().st_size for path in (machine / "hf").rglob("*.incomplete"))
    assert kept > 0
    fetch_network()
    assert verify()[1] == []


def test_killed_in_mid_download_the_next_run_continues(hub, fetch_network, machine):
    reached = hub.trickle(SHARD_PATH, after=0.6, pause=30)
    process = subprocess.Popen([sys.executable, "-c", CODE], start_new_session=True)
    assert reached.wait(30)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = blobs(machine) / f"{etag_of(network_files()[SHARD])}.incomplete"
    came = left.stat().st_size
    assert came >= 0.5 * len(network_files()[SHARD])
    hub.faults.clear()
    hub.requests.clear()
    fetch_network()
    assert [request.range for request in hub.requests if request.path == SHARD_PATH] == [f"bytes={came}-"]
    assert verify()[1] == []


def test_two_at_once_download_everything_once(hub, machine):
    hub.trickle("/cdn/", after=0.5, pause=0.05)
    runs = [subprocess.Popen([sys.executable, "-c", CODE]) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert verify()[1] == []
    for name, content in network_files().items():
        assert hub.bytes_sent[f"/cdn/{etag_of(content)}"] in (0, len(content)), name


def test_interrupted_in_mid_download_it_stops_at_once_and_continues_later(hub, fetch_network):
    reached = hub.trickle(SHARD_PATH, after=0.6, pause=1)
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + CODE
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True)
    assert reached.wait(30)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors
    hub.faults.clear()
    fetch_network()
    assert verify()[1] == []


@pytest.mark.slow
def test_a_full_file_system_is_exit_code_4_and_recovers(hub, fetch, machine, monkeypatch):
    """On a small tmpfs, past the check beforehand: another program may fill the disk meanwhile."""
    cache = machine / "hf"
    cache.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(cache)]).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with pytest.raises(OutOfResources, match="not enough disk space"):
            fetch("1.3b")
        monkeypatch.setattr("onetoall_cli.hub.fetch.check_disk", lambda *_: None)
        with pytest.raises(OutOfResources, match="is full"):
            fetch("1.3b")
        subprocess.run(["mount", "-o", "remount,size=64m", str(cache)], check=True)
        fetch("1.3b")
        assert verify()[1] == []
        assert WAN_REPOSITORY in str(installed()["vae"])
    finally:
        subprocess.run(["umount", str(cache)], check=True)

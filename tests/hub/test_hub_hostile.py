"""A hub that misbehaves: whatever it answers, one sentence, exit code 2 or 3, in bounded time, and no secret told."""

import json
import socket
import threading
from pathlib import Path

import pytest
from fake_hub import etag_of
from hub_models import NETWORK_REPOSITORY, network_files

from onetoall_cli.errors import BadInput
from onetoall_cli.hub import load_catalogue, web
from onetoall_cli.hub.remote import ATTEMPTS
from onetoall_cli.hub.repository_file import repository_file
from onetoall_cli.hub.verify import verify

SHARD = "model-00001-of-00002.safetensors"
SHARD_PATH = f"/cdn/{etag_of(network_files()[SHARD])}"
HTML = b"<!DOCTYPE html><html><body>Please log in to this network.</body></html>"
COMMIT = "a" * 40
FILE = {"type": "file", "path": "model.safetensors", "size": 5, "oid": "b" * 40}
LARGE = {"oid": "c" * 64, "size": 5, "pointerSize": 134}


def tree(**changed) -> bytes:
    return json.dumps([{**FILE, **changed}]).encode()


DESCRIPTIONS = {
    "a web page": HTML,
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "a number": b"3",
    "an empty mapping": b"{}",
    "a null commit": b'{"sha": null}',
    "a commit that is a number": b'{"sha": 3}',
    "a branch for a commit": b'{"sha": "main"}',
    "a commit that leaves its folder": b'{"sha": "../../../../tmp"}',
    "half of a description": b'{"sha": "aaaa',
    "no UTF-8": b'{"sha": "\xff\xfe"}',
    "lists in lists": b"[" * 100_000,
    "a number of a million digits": b'{"sha": ' + b"9" * 10**6 + b"}",
}
TREES = {
    "a web page": HTML,
    "nothing": b"",
    "a mapping": b'{"error": "no"}',
    "null": b"null",
    "names alone": b'["model.safetensors"]',
    "an unknown kind": tree(type="symlink"),
    "no name": b'[{"type": "file", "size": 5, "oid": "%s"}]' % (b"b" * 40),
    "a name that is a number": tree(path=5),
    "a name that leaves its folder": tree(path="../../../x.safetensors"),
    "a name at the root": tree(path="/etc/x.safetensors"),
    "a name that leaves its folder on Windows": tree(path="..\\x.safetensors"),
    "a name on another drive": tree(path="C:x.safetensors"),
    "a name of 5000 letters": tree(path="x" * 5000 + ".safetensors"),
    "a name with a null": tree(path="x\0.safetensors"),
    "a negative size": tree(size=-1),
    "an absurd size": tree(size=10**30),
    "a size as text": tree(size="5"),
    "no size": tree(size=None),
    "a fractional size": tree(size=5.5),
    "no hash": tree(oid=None),
    "a hash that leaves its folder": tree(lfs={**LARGE, "oid": "../" * 21 + "x"}),
    "a large file without a hash": tree(lfs={"size": 5}),
    "a large file as text": tree(lfs="yes"),
    "no files": b"[]",
}
FILES = {
    "a web page": (200, HTML, {}),
    "nothing": (200, b"", {}),
    "not changed": (304, b"", {}),
    "a redirect to itself": (302, b"", {"Location": f"/{NETWORK_REPOSITORY}/resolve/x/model-loop"}),
    "a redirect to a file": (302, b"", {"Location": "file:///etc/passwd"}),
    "a redirect to nowhere": (302, b"", {"Location": "http://[::1"}),
    "a redirect without a place": (302, b"", {}),
    "another part than asked for": (206, b"x" * 100, {"Content-Range": "bytes 7-106/107"}),
    "a part of what is not said": (206, b"x" * 100, {"Content-Range": "lines 1-2"}),
    "no such part": (416, b"", {}),
    "a teapot": (418, b"", {}),
}


def refused(result, machine: Path) -> str:
    """Asserts that a command ended in two short sentences, and that nothing was put anywhere else."""
    assert result.exit_code in (2, 3), result.err
    assert "bug" not in result.err and "Traceback" not in result.err
    last = result.err.splitlines()[-2:]
    assert last[0].startswith("onetoall: ") and max(map(len, last)) < 1100
    names = ("One-to-All-1.3b_2/snapshots/*/" + name for name in (SHARD, "model.safetensors"))
    assert not any(list(machine.glob(f"hf/hub/models--MochunniaN1--{name}")) for name in names)
    return last[0]


@pytest.mark.parametrize("body", DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_a_description_that_is_none_is_refused_in_one_sentence(hub, onetoall, machine, body):
    hub.answer("/api/models/", body)
    assert NETWORK_REPOSITORY in refused(onetoall("fetch", "1.3b"), machine)


@pytest.mark.parametrize("body", TREES.values(), ids=TREES.keys())
def test_a_list_of_files_that_is_none_is_refused_in_one_sentence(hub, onetoall, machine, body):
    hub.answer("/tree/", body)
    assert NETWORK_REPOSITORY in refused(onetoall("fetch", "1.3b"), machine)


@pytest.mark.parametrize("answer", FILES.values(), ids=FILES.keys())
def test_a_file_that_is_none_is_refused_in_one_sentence(hub, onetoall, machine, answer):
    status, body, headers = answer
    hub.answer("/resolve/", body, headers, status)
    refused(onetoall("fetch", "1.3b"), machine)


@pytest.mark.parametrize("host", ["http://localhost:1/api/models/x", None], ids=["another host", "the same for ever"])
def test_pages_that_lead_astray_are_not_followed(hub, onetoall, machine, monkeypatch, host):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    url = host or f"{hub.endpoint}/api/models/{NETWORK_REPOSITORY}/tree/{COMMIT}"
    hub.answer("/tree/", tree(), {"Link": f'<{url}>; rel="next"'})
    assert "astray" in refused(onetoall("fetch", "1.3b"), machine)
    assert len(hub.requests) <= 3


@pytest.mark.parametrize("longer", [-1000, 1000])
def test_a_wrong_size_is_noticed(hub, onetoall, machine, longer):
    content = network_files()[SHARD]
    size = len(content) + longer
    hub.answer("/tree/", tree(path=SHARD, size=size, lfs={**LARGE, "oid": etag_of(content)}))
    refused(onetoall("fetch", "1.3b"), machine)


def test_a_server_that_ignores_ranges_and_breaks_off_is_given_up(hub, onetoall, machine):
    """What counts as progress is a new byte of the file, not a byte of the answer."""
    hub.ignore_ranges()
    hub.cut_always(SHARD_PATH, 0.6)
    said = refused(onetoall("fetch", "1.3b", "--without-text-encoder"), machine)
    length = len(network_files()[SHARD])
    assert f"at byte {int(length * 0.6)} of {length}" in said
    assert hub.bytes_sent[SHARD_PATH] <= (ATTEMPTS + 1) * length
    hub.faults.clear()
    assert onetoall("fetch", "1.3b").exit_code == 0 and verify()[1] == []


def test_an_endless_file_is_read_as_far_as_it_was_announced(hub, onetoall):
    content = network_files()[SHARD]
    hub.served_wrong[etag_of(content)] = content + bytes(50 * len(content))
    assert onetoall("fetch", "1.3b").exit_code == 0 and verify()[1] == []


@pytest.fixture
def silent_server():
    """Accepts every connection and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


def test_a_server_that_never_answers_is_given_up(silent_server, machine, onetoall, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", silent_server)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.05)
    assert "does not answer" in refused(onetoall("fetch", "1.3b"), machine)


def test_a_download_that_goes_silent_is_given_up(hub, onetoall, machine, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    hub.trickle(SHARD_PATH, after=0, pause=1)
    refused(onetoall("fetch", "1.3b"), machine)


def test_a_description_that_trickles_is_given_up(hub, monkeypatch):
    monkeypatch.setattr(web, "LONGEST_WAIT_FOR_ANSWER", 0.05)
    hub.trickle("/api/", after=0.5, pause=0.1)
    with pytest.raises(web.HTTPError, match="no whole answer"):
        web.described(f"{hub.endpoint}/api/models/{NETWORK_REPOSITORY}")


@pytest.mark.parametrize(
    "name", ["a/..", "-/-", "../..", "a/b.", ".a/b", "a--b/c", "a/b..c", "a", "a/b/c", "ä/b", "a/" + "b" * 97]
)
def test_names_that_no_repository_has_are_refused_before_the_hub_is_asked(hub, onetoall, machine, name):
    assert "does not name a repository" in refused(onetoall("fetch", f"hf:{name}"), machine)
    with pytest.raises(BadInput, match="names no file"):
        repository_file(f"hf:{name}/../x.safetensors")
    assert hub.requests == []


@pytest.mark.parametrize(
    "name", ["a/b", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "MochunniaN1/One-to-All-1.3b_2", "_a/b_.c"]
)
def test_names_that_repositories_have_are_taken(machine, name):
    assert load_catalogue().entry(f"hf:{name}").repository == name


def test_a_password_in_the_hubs_address_is_sent_to_the_hub_alone_and_never_told(hub, onetoall, machine, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint.replace("//", "//me:s%65cret@"))
    done = onetoall("fetch", "vae", "--verbose")
    assert done.exit_code == 0, done.err
    assert all(request.authorised != request.path.startswith("/cdn/") for request in hub.requests)
    hub.answer("/api/", HTML)
    said = [done, onetoall("fetch", "1.3b", "--verbose"), onetoall("doctor", "--verbose")]
    hub.stop()
    said.append(onetoall("fetch", "1.3b", "--verbose"))
    assert said[1].exit_code == said[3].exit_code == 3
    assert not any("secret" in text or "s%65cret" in text for each in said for text in (each.out, each.err))


@pytest.mark.parametrize("address", ["not an address", "ftp://host", "http://", "http://[::1", "https://host:port"])
def test_an_address_that_is_none_is_refused(machine, onetoall, monkeypatch, address):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    assert "HF_ENDPOINT" in refused(onetoall("fetch", "1.3b"), machine)

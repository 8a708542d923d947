"""Networks as people have them: proxies of all kinds, tokens pasted badly, homes that cannot be written."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hub_models import NETWORK_REPOSITORY

import onetoall_cli
from onetoall_cli.doctor import _hub
from onetoall_cli.errors import BadInput
from onetoall_cli.hub.repository_file import repository_file
from onetoall_cli.hub.verify import verify

PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture
def environment(monkeypatch):
    """Sets variables of which the client is made, and has it made anew; takes both back."""
    from huggingface_hub.utils import close_session

    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def set_to(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        close_session()

    yield set_to
    close_session()


def relay(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def socks_proxy():
    """A SOCKS 5 proxy without passwords; yields its address and the list of where it was asked to connect to."""
    asked = []

    def serve(client: socket.socket) -> None:
        greeting = client.recv(2)
        client.recv(greeting[1])
        client.sendall(b"\x05\x00")
        kind = client.recv(4)[3]
        host = socket.inet_ntoa(client.recv(4)) if kind == 1 else client.recv(client.recv(1)[0]).decode()
        port = int.from_bytes(client.recv(2), "big")
        asked.append((host, port))
        target = socket.create_connection((host, port))
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        threading.Thread(target=relay, args=(target, client), daemon=True).start()
        relay(client, target)

    def accept() -> None:
        while True:
            try:
                client = server.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", asked


@pytest.mark.parametrize(("name", "kind"), [("ALL_PROXY", "socks5"), ("HTTP_PROXY", "socks5h")])
def test_a_socks_proxy_is_used(hub, fetch, environment, socks_proxy, name, kind):
    place, asked = socks_proxy
    environment(name, f"{kind}://{place}")
    fetch("vae")
    assert verify()[1] == []
    assert asked and {port for _, port in asked} == {hub.port}
    assert place in next(_hub()).detail


@pytest.mark.parametrize("value", ["gopher://me:secret@proxy:70", "http://me:secret@proxy:port"])
def test_a_proxy_that_is_none_is_said_without_its_password(hub, onetoall, environment, value):
    environment("ALL_PROXY", value)
    result = onetoall("fetch", "1.3b", "--verbose")
    assert result.exit_code == 2 and "ALL_PROXY" in result.err and "secret" not in result.err + result.out
    with pytest.raises(BadInput, match="proxies"):
        list(_hub())


def test_a_proxy_that_is_not_there_is_said(hub, onetoall, environment):
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
    environment("ALL_PROXY", f"socks5://{place}")
    result = onetoall("fetch", "1.3b")
    assert result.exit_code == 3 and "does not answer" in result.err and "proxy" in result.err


@pytest.mark.parametrize("token", ["hf_sécret", "hf_secret\u200b", "hf secret"])
def test_a_token_that_is_none_is_said_and_not_told(hub, onetoall, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    result = onetoall("fetch", "1.3b", "--verbose")
    assert result.exit_code == 2 and "HF_TOKEN" in result.err and "cret" not in result.err
    assert hub.requests == []
    with pytest.raises(BadInput, match="token"):
        list(_hub())


def test_a_token_file_that_is_no_text_is_said(hub, onetoall, machine):
    (machine / "hf").mkdir()
    (machine / "hf" / "token").write_bytes(b"\xff\xfe\x00h")
    result = onetoall("fetch", "1.3b")
    assert result.exit_code == 2 and "token" in result.err


@pytest.mark.parametrize("where", ["/api/", "/resolve/"])
def test_a_redirect_to_another_host_does_not_carry_the_token(hub, fetch, monkeypatch, where):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def elsewhere(handler, path):
        if where not in path or not handler.headers["Host"].startswith("127."):
            return False
        handler.send(302, b"", {"Location": f"http://localhost:{hub.port}{handler.path}"})
        return True

    hub.faults.append(elsewhere)
    fetch("vae")
    others = [request for request in hub.requests if request.host.startswith("localhost")]
    assert any(where in request.path for request in others) and not any(request.authorised for request in others)


def in_a_home(home: str | None, *arguments: object, cwd: Path, **more: str) -> subprocess.CompletedProcess:
    """Run the command with this HOME (None: without one), and no other variable that names a folder."""
    named = ("HOME", "HF_HOME", *(name for name in os.environ if name.startswith("XDG_")))
    kept = {name: value for name, value in os.environ.items() if name not in named}
    kept |= {"PYTHONPATH": str(Path(onetoall_cli.__file__).parents[1]), **({"HOME": home} if home else {}), **more}
    command = [sys.executable, "-m", "onetoall_cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=120)


def test_in_a_home_that_cannot_be_written_fetch_says_one_sentence(hub, tmp_path):
    """A file in the place of a folder: unlike missing rights, it stops root too."""
    (tmp_path / "home").write_text("")
    done = in_a_home(str(tmp_path / "home"), "fetch", f"hf:{NETWORK_REPOSITORY}", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 2, done.stderr
    assert "Cannot write in" in done.stderr


def test_without_any_home_what_needs_none_works_and_fetch_says_one_sentence(hub, monkeypatch, tmp_path, onetoall):
    """Where nobody knows of a home: older platformdirs leave the ~, newer ones refuse."""
    from huggingface_hub import constants

    def homeless(*_, **__):
        raise RuntimeError("could not determine the home directory")

    for name in ("user_data_path", "user_config_path"):
        monkeypatch.setattr(f"platformdirs.{name}", homeless)
    assert onetoall("fetch", "--list").exit_code == 0
    result = onetoall("fetch", f"hf:{NETWORK_REPOSITORY}")
    assert result.exit_code == 2 and "There is no home folder" in result.err
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "~/.cache/huggingface/hub")
    with pytest.raises(BadInput, match="HF_HOME"):
        repository_file(f"hf:{NETWORK_REPOSITORY}/README.md")
    assert not (tmp_path / "~").exists()

"""A hub on the loopback, as `huggingface_hub` sees one: model info, tree in pages, resolve with redirects to a CDN on
another host name, ETag and X-Linked headers, Range, HEAD. And every fault a test wants of it."""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 7  # files in a page of the tree; the real hub sends 1000
LFS_ABOVE = 2000  # bytes; larger files are LFS files, with a redirect


def git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(content: bytes) -> bool:
    return len(content) > LFS_ABOVE


def etag_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if is_lfs(content) else git_digest(content)


@dataclass
class Repository:
    files: dict[str, bytes]

    @property
    def commit(self) -> str:
        return hashlib.sha1(
            repr(sorted((name, etag_of(body)) for name, body in self.files.items())).encode()
        ).hexdigest()


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    authorised: bool
    host: str


Fault = Callable[["Handler", str], bool]  # returns whether it answered (or broke) the request itself


@dataclass
class FakeHub:
    """Serve `repositories` (data sets are `datasets/OWNER/REPO`), each with the branch `main` and its every commit."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    bytes_sent: Counter = field(default_factory=Counter)
    history: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    served_wrong: dict[str, bytes] = field(default_factory=dict)  # blob digest to other content
    server: ThreadingHTTPServer | None = None

    def start(self) -> str:
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that hangs up
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self.endpoint

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.server_address[1]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn(self) -> str:
        return f"http://localhost:{self.port}/cdn"  # another host name: no token may be sent there

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()

    def add(self, repository: str, files: dict[str, bytes]) -> Repository:
        """Put a repository there, or move its `main` on to new content."""
        self.repositories[repository] = Repository(files)
        self.history.setdefault(repository, {})[self.repositories[repository].commit] = files
        return self.repositories[repository]

    def at(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if repository not in self.repositories:
            return None
        commit = self.repositories[repository].commit if revision == "main" else revision
        files = self.history[repository].get(commit)
        return None if files is None else (commit, files)

    def blob(self, digest: str) -> bytes | None:
        if digest in self.served_wrong:
            return self.served_wrong[digest]
        contents = (body for commits in self.history.values() for files in commits.values() for body in files.values())
        return next((body for body in contents if etag_of(body) == digest), None)

    def downloads(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and "/api/" not in request.path]

    # ---- faults -------------------------------------------------------------------------------------------------

    def fail(self, status: int, times: int = 1, headers: dict[str, str] | None = None, where: str = "") -> None:
        """Answer the next `times` requests whose path contains `where` with `status`."""
        left = [times]

        def fault(handler: "Handler", path: str) -> bool:
            if left[0] <= 0 or where not in path:
                return False
            left[0] -= 1
            handler.send(status, b"{}", headers or {})
            return True

        self.faults.append(fault)

    def answer(self, where: str, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        """Answer every request whose path contains `where` with `body`."""

        def fault(handler: "Handler", path: str) -> bool:
            if where in path:
                handler.send(status, body, headers or {})
            return where in path

        self.faults.append(fault)

    def cut_always(self, where: str, share: float) -> None:
        """Break the connection of every download whose path contains `where` after a share of the body."""

        def fault(handler: "Handler", path: str) -> bool:
            if handler.command == "GET" and where in path:
                handler.cut_after = share
            return False

        self.faults.append(fault)

    def cut_randomly(self, seed: int, cuts: int) -> None:
        """Break the connection of `cuts` downloads after a random number of bytes of the body."""
        rng, left, lock = random.Random(seed), [cuts], threading.Lock()

        def fault(handler: "Handler", path: str) -> bool:
            with lock:
                if left[0] <= 0 or handler.command != "GET" or "/api/" in path:
                    return False
                if rng.random() < 0.5:
                    return False
                left[0] -= 1
                handler.cut_after = rng.random()
            return False

        self.faults.append(fault)

    def cut_once(self, where: str, share: float) -> None:
        """Break the connection of the next download whose path contains `where` after a share of the body."""
        left = [1]

        def fault(handler: "Handler", path: str) -> bool:
            if left and handler.command == "GET" and where in path:
                left.pop()
                handler.cut_after = share
            return False

        self.faults.append(fault)

    def ignore_ranges(self) -> None:
        """Answer every download with the whole file."""

        def fault(handler: "Handler", path: str) -> bool:
            del handler.headers["Range"]
            return False

        self.faults.append(fault)

    def trickle(self, where: str, after: float, pause: float) -> threading.Event:
        """Stop for `pause` seconds after a share of each download whose path contains `where`.

        Returns:
            An event that is set once a download has come so far.
        """
        reached = threading.Event()

        def fault(handler: "Handler", path: str) -> bool:
            if handler.command == "GET" and where in path:
                handler.pause_after = (after, pause, reached)
            return False

        self.faults.append(fault)
        return reached


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: without this every answer waits 40 ms
    cut_after: float | None = None  # share of the body after which the connection breaks
    pause_after: tuple[float, float, threading.Event] | None = None

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.handle_request()

    def do_GET(self) -> None:
        self.handle_request()

    def handle_request(self) -> None:
        self.cut_after = self.pause_after = None
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.hub.requests.append(
            Request(
                self.command,
                path,
                self.headers.get("Range"),
                "authorization" in {name.lower() for name in self.headers},
                self.headers.get("Host", ""),
            )
        )
        if any(fault(self, path) for fault in self.hub.faults):
            return
        if path.startswith(("/api/models/", "/api/datasets/")):
            self.answer_api(path.removeprefix("/api/").removeprefix("models/"), parse_qs(split.query))
        elif path.startswith("/cdn/"):
            self.send_content(self.hub.blob(path.removeprefix("/cdn/")), {})
        elif "/resolve/" in path:
            self.resolve(path.lstrip("/"))
        else:
            self.send(404, b"{}", {})

    def answer_api(self, path: str, query: dict[str, list[str]]) -> None:
        parts = path.split("/")
        named = 3 if parts[0] == "datasets" else 2
        repository, rest = "/".join(parts[:named]), parts[named:]
        revision = rest[1] if len(rest) > 1 else "main"
        found = self.hub.at(repository, revision)
        if repository not in self.hub.repositories:
            return self.send(404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        if found is None:
            return self.send(404, b'{"error":"Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        commit, files = found
        if rest and rest[0] == "tree":
            return self.send_tree(repository, commit, files, int(query.get("cursor", ["0"])[0]))
        info = {"id": repository, "sha": commit, "siblings": [{"rfilename": path} for path in files]}
        self.send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def send_tree(self, repository: str, commit: str, files: dict[str, bytes], start: int) -> None:
        folders = {path.rpartition("/")[0] for path in files if "/" in path}
        items: list[dict] = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in folders]
        for path, body in files.items():
            item = {"type": "file", "oid": git_digest(body), "size": len(body), "path": path}
            if is_lfs(body):
                item["lfs"] = {"oid": etag_of(body), "size": len(body), "pointerSize": 134}
            items.append(item)
        headers = {"Content-Type": "application/json"}
        if start + PAGE < len(items):
            kind = "" if repository.startswith("datasets/") else "models/"
            url = f"{self.hub.endpoint}/api/{kind}{repository}/tree/{commit}?recursive=true&cursor={start + PAGE}"
            headers["Link"] = f'<{url}>; rel="next"'
        self.send(200, json.dumps(items[start : start + PAGE]).encode(), headers)

    def resolve(self, path: str) -> None:
        repository, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        found = self.hub.at(repository, revision)
        if found is None:
            code = "RevisionNotFound" if repository in self.hub.repositories else "RepoNotFound"
            return self.send(404, b"", {"X-Error-Code": code})
        commit, files = found
        if name not in files:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        body = files[name]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag_of(body)}"', "Accept-Ranges": "bytes"}
        if is_lfs(body):
            headers |= {"X-Linked-Etag": f'"{etag_of(body)}"', "X-Linked-Size": str(len(body))}
            headers["Location"] = f"{self.hub.cdn}/{etag_of(body)}"
            return self.send(302, b"", headers)
        self.send_content(self.hub.served_wrong.get(etag_of(body), body), headers)

    def send_content(self, body: bytes | None, headers: dict[str, str]) -> None:
        if body is None:
            return self.send(404, b"", headers)
        asked = self.headers.get("Range")
        if not asked:
            return self.send(200, body, headers)
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        if start >= len(body):
            return self.send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        headers = {**headers, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        self.send(206, body[start:], headers)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut_after is not None:
            body = body[: int(len(body) * self.cut_after)]
            self.close_connection = True
        first = len(body)
        if self.pause_after is not None:
            first = int(len(body) * self.pause_after[0])
        try:
            self.write(body[:first])
            if self.pause_after is not None:
                self.pause_after[2].set()
                time.sleep(self.pause_after[1])
            self.write(body[first:])
        except OSError:
            self.close_connection = True

    def write(self, body: bytes) -> None:
        self.wfile.write(body)
        self.wfile.flush()
        self.hub.bytes_sent[urlsplit(self.path).path] += len(body)

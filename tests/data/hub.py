"""A Hugging Face hub of one repository on this machine, as much of it as downloads ask for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

OWNER = "farama-minari"
COMMIT = "0" * 40


@dataclass
class Hub:
    """Serves the namespace folders below `root`; `broken` and `dropped` files fail, always and at the first request.

    `fetched` are the files whose contents were asked for, each with its Range header or "".
    """

    root: Path
    url: str = ""
    broken: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    fetched: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """The hub of a Minari folder, until the block ends."""
    hub = Hub(root)

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        repositories = [folder.name for folder in self.served.root.iterdir()]
        if path == "/api/datasets":
            self._json([{"id": f"{OWNER}/{name}"} for name in repositories])
        elif path.startswith("/api/datasets/"):
            name, _, rest = path.removeprefix(f"/api/datasets/{OWNER}/").partition("/")
            self._json(self._tree(name) if rest.startswith("tree") else {"id": f"{OWNER}/{name}", "sha": COMMIT})
        elif path.startswith("/datasets/"):
            self._file(path)
        else:
            self._answer(404, b"", {})

    do_HEAD = do_GET

    def _tree(self, name: str) -> list[dict]:
        folder = self.served.root / name
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [
            {
                "type": "file",
                "path": path.relative_to(folder).as_posix(),
                "size": path.stat().st_size,
                "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
            }
            for path in files
        ]

    def _file(self, path: str) -> None:
        name = path.removeprefix(f"/datasets/{OWNER}/")
        repository, _, _, inner = name.split("/", 3)
        file, key = self.served.root / repository / inner, f"{repository}/{inner}"
        wanted = self.headers.get("Range", "")
        if self.command == "GET":
            self.served.fetched.append((key, wanted))
        if not file.is_file() or (key in self.served.broken and self.command == "GET"):
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        body, headers = file.read_bytes(), {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        headers["ETag"] = f'"{hashlib.sha1(body).hexdigest()}"'
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        cut = key in self.served.dropped and self.command == "GET"
        self.served.dropped.discard(key) if cut else None
        self._answer(206 if start else 200, body[start:], headers, cut)

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

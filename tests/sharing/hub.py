"""A Hugging Face Hub for models on this machine, as much of it as `mage` asks for: files, new repositories, commits."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_this_test"


@dataclass
class Hub:
    """`models` are the files of each repository, `private` those made private, `fetched` what was downloaded."""

    url: str = ""
    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)

    def commit(self, name: str) -> str:
        """The id of the newest commit, which changes with the files."""
        files = sorted(self.models[name].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """An empty hub, until the block ends."""
    hub = Hub()

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
        """A file of a repository: /org/name/resolve/revision/file."""
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        name, hub = "/".join(parts[:2]), self.served
        if parts[0] == "api" and "/".join(parts[2:4]) in hub.models:
            name = "/".join(parts[2:4])
            self._json({"id": name, "sha": hub.commit(name), "siblings": []})
            return
        if name not in hub.models:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        body = hub.models[name].get("/".join(parts[4:]))
        if body is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": hub.commit(name)})
            return
        if self.command == "GET":
            hub.fetched.append(parts[-1])
        self._answer(200, body, {"X-Repo-Commit": hub.commit(name), "ETag": f'"{hashlib.sha1(body).hexdigest()}"'})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Makes a repository, says how files are uploaded, commits them."""
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b"", {})
            return
        parts = urlsplit(self.path).path.strip("/").split("/")
        if self.path.startswith("/api/repos/create"):
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.served.models.setdefault(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.served.private.add(name)
            self._json({"url": f"{self.served.url}/{name}", "name": name, "id": name})
        elif "preupload" in parts:
            files = [file["path"] for file in json.loads(body)["files"]]
            self._json({"files": [{"path": each, "uploadMode": _mode(each), "shouldIgnore": False} for each in files]})
        elif parts[-1] == "batch":
            self._json({"transfer": "basic", "objects": [self._upload(each) for each in json.loads(body)["objects"]]})
        elif "commit" in parts:
            self._commit("/".join(parts[2:4]), body)
        else:
            self._json({})

    def do_PUT(self) -> None:
        """Takes a large file."""
        self.served.uploaded[self.path.rsplit("/", 1)[-1]] = self._body()
        self._answer(200, b"", {})

    def _upload(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {**asked, "actions": {"upload": {"href": f"{self.served.url}/lfs/{asked['oid']}"}}}

    def _commit(self, name: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.served.models[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.served.models[name][value["path"]] = self.served.uploaded[value["oid"]]
        commit = self.served.commit(name)
        self._json({"commitUrl": f"{self.served.url}/{name}/commit/{commit}", "commitOid": commit, "success": True})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def _mode(file: str) -> str:
    return "lfs" if file.endswith((".safetensors", ".parquet")) else "regular"

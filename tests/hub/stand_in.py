"""A stand-in for the Hugging Face hub: a server on this machine that huggingface_hub's own client talks to."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_stand_in"
Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits from first to last, each with all of its files."""

    commits: dict[str, Files] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def commit(self, files: Files) -> str:
        told = repr((len(self.commits), sorted((name, sha256(one).hexdigest()) for name, one in files.items())))
        oid = sha1(told.encode()).hexdigest()
        self.commits[oid] = files
        return oid

    def change(self, **files: bytes | None) -> str:
        """A commit by hand: `file__txt` is file.txt; None removes it."""
        found = dict(self.commits[self.head])
        for name, content in files.items():
            found.pop(name.replace("__", "."), None)
            if content is not None:
                found[name.replace("__", ".")] = content
        return self.commit(found)


@dataclass
class Hub:
    """`asked`: method and path of every request."""

    address: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # files that came by LFS, by SHA-256
    asked: list[str] = field(default_factory=list)
    broken: int = 0  # status that is answered to everything


class _Asked(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._take()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  the names that http.server calls

    def _take(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.broken:
            return self._say({"error": "out of order"}, self.hub.broken)
        path = unquote(self.path.partition("?")[0])
        for pattern, answer in _ROUTES.items():
            if found := re.fullmatch(pattern, path):
                return answer(self, content, **found.groupdict())
        return self._say({"error": f"no route {self.command} {path}"}, 501)

    def _say(self, what: Any, status: int = 200, **headers: str) -> None:
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _opened(self, name: str, revision: str = "main") -> tuple[Repository, str] | None:
        """The repository and the commit; None where that was refused."""
        one = self.hub.repositories.get(name)
        if one is None or (one.private and not self._known):
            self._say({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            return None
        commit = one.head if revision == "main" and one.commits else revision
        if commit not in one.commits and revision != "main":
            self._say({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
            return None
        return one, commit

    def _create(self, content: bytes) -> None:
        if not self._known:
            return self._say({"error": "Invalid username or password."}, 401)
        told = json.loads(content)
        name = f"{told['organization']}/{told['name']}"
        self.hub.repositories[name] = Repository(private=told.get("visibility") == "private")
        return self._say({"url": f"{self.hub.address}/{name}", "name": name, "id": name})

    def _info(self, content: bytes, name: str, revision: str | None = None) -> None:
        if found := self._opened(name, revision or "main"):
            one, commit = found
            files = [{"rfilename": path} for path in one.commits.get(commit, {})]
            self._say({"_id": "1", "id": name, "sha": commit, "siblings": files, "private": one.private, "tags": []})

    def _tree(self, content: bytes, name: str, revision: str) -> None:
        if found := self._opened(name, revision):
            one, commit = found
            rows: list[dict[str, Any]] = []
            for path, data in one.commits[commit].items():
                rows.append({"type": "file", "path": path, "size": len(data), "oid": sha1(data).hexdigest()})
                if (digest := sha256(data).hexdigest()) in self.hub.large:
                    rows[-1]["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 130}
            self._say(rows)

    def _file(self, content: bytes, name: str, revision: str, path: str) -> None:
        found = self._opened(name, revision)
        if found is None:
            return None
        one, commit = found
        if one.gated:
            return self._say({"error": "gated"}, 403, X_Error_Code="GatedRepo")
        data = one.commits[commit].get(path)
        if data is None:
            return self._say({"error": "no such file"}, 404, X_Error_Code="EntryNotFound")
        return self._say(data, ETag=f'"{sha256(data).hexdigest()}"', X_Repo_Commit=commit)

    def _preupload(self, content: bytes, name: str, revision: str) -> None:
        if self._opened(name, revision):
            files = [one["path"] for one in json.loads(content)["files"]]
            large = (".onnx", ".safetensors", ".npz", ".png")
            modes = {path: "lfs" if path.endswith(large) else "regular" for path in files}
            self._say(
                {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]}
            )

    def _batch(self, content: bytes, name: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{one['oid']}"}}}
            for one in json.loads(content)["objects"]
        ]
        self._say({"transfer": "basic", "objects": objects})

    def _large(self, content: bytes, oid: str) -> None:
        if sha256(content).hexdigest() != oid:
            return self._say({"error": "another file"}, 400)
        self.hub.large[oid] = content
        return self._say({})

    def _commit(self, content: bytes, name: str, revision: str) -> None:
        if not self._known:
            return self._say({"error": "Invalid username or password."}, 401)
        one = self.hub.repositories[name]
        files = dict(one.commits[one.head]) if one.commits else {}
        for line in map(json.loads, content.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif value.get("parentCommit") not in (None, *list(one.commits)[-1:]):
                return self._say({"error": "somebody else was faster"}, 412)
        oid = one.commit(files)
        return self._say({"commitUrl": f"{self.hub.address}/{name}/commit/{oid}", "commitOid": oid})

    def _card(self, content: bytes) -> None:
        self._say({"warnings": [], "errors": []})

    def _list(self, content: bytes) -> None:
        open_to_all = {name: one for name, one in self.hub.repositories.items() if not one.private}
        self._say(
            [
                {"_id": "1", "id": name, "sha": one.head, "tags": ["mien"], "downloads": 3, "private": False}
                for name, one in open_to_all.items()
            ]
        )


_NAME = r"(?P<name>[^/]+/[^/]+)"
_ROUTES: dict[str, Callable[..., None]] = {
    "/api/repos/create": _Asked._create,
    "/api/validate-yaml": _Asked._card,
    "/api/models": _Asked._list,
    f"/api/models/{_NAME}": _Asked._info,
    f"/api/models/{_NAME}/revision/(?P<revision>.+)": _Asked._info,
    f"/api/models/{_NAME}/tree/(?P<revision>[^/]+)/?": _Asked._tree,
    f"/api/models/{_NAME}/preupload/(?P<revision>.+)": _Asked._preupload,
    f"/api/models/{_NAME}/commit/(?P<revision>.+)": _Asked._commit,
    rf"/{_NAME}\.git/info/lfs/objects/batch": _Asked._batch,
    "/lfs/(?P<oid>.+)": _Asked._large,
    f"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)": _Asked._file,
}


@contextmanager
def serving() -> Iterator[Hub]:
    """An empty hub, until the block ends; what it holds stays readable."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Asked)
    found = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Asked", (_Asked,), {"hub": found})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def caller(hub: Hub, folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Python in a process of its own, since the client reads its variables when it is imported: `call("-m", "mien")`.

    It works, and has its cache, in `folder`.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    ours |= {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",  # a second way of storage, of which the stand-in knows nothing
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    }

    def call(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**ours, **variables},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=180,
        )

    return call

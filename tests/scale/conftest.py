"""Jobs: an album with everything that can come of a picture, the command line, and a store (moto) that can fail."""

from __future__ import annotations

import http.client
import shutil
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.recognize.vendored import vendored_folder
from mien.scale import places

PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"


@pytest.fixture
def mien(mien: Callable[..., Any]) -> Callable[..., Any]:
    """`mien recognize` with the quick model and detector."""
    return lambda *arguments: mien("recognize", *arguments, "--model", "mien-tiny", "--detector", "fast")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """21 pictures: one of two faces, some without, two that are none; so three parts of 8."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    portrait = Image.open(PORTRAIT).convert("RGB").resize((256, 256))
    for i in range(18):
        portrait.rotate(i % 5).save(folder / f"{i:02d}.jpg")
    two = Image.new("RGB", (512, 256))
    two.paste(portrait, (0, 0))
    two.paste(portrait, (256, 0))
    two.save(folder / "07.jpg")
    Image.fromarray(np.full((60, 80, 3), 99, dtype=np.uint8)).save(folder / "more" / "a.gif")
    (folder / "more" / "b.png").write_bytes(b"no picture")
    (folder / "more" / "c.png").write_bytes(b"")
    return folder


@pytest.fixture
def plain(mien: Callable[..., Any], album: Path, tmp_path: Path) -> bytes:
    """The table of one machine, without parts."""
    assert mien(album, "--out", tmp_path / "plain.csv").code == 1
    return (tmp_path / "plain.csv").read_bytes()


class Store:
    """A bucket behind a proxy that fails as it is told."""

    def __init__(self, client: Any, port: int) -> None:
        self.client, self.port = client, port
        self.faults: dict[str, list[str]] = {}  # part of a path → what comes of the next requests for it
        self.met: Counter[str] = Counter()

    def fill(self, folder: Path, under: str) -> None:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.client.put_object(
                    Bucket="photos", Key=f"{under}/{file.relative_to(folder).as_posix()}", Body=file.read_bytes()
                )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    boto3 = pytest.importorskip("boto3")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server.start()
    _, behind = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{behind}", region_name="us-east-1")
    reset = http.client.HTTPConnection("127.0.0.1", behind)  # all servers of a process have one memory
    reset.request("POST", "/moto-api/reset")
    reset.getresponse().read()
    client.create_bucket(Bucket="photos")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    ours = Store(client, proxy.server_address[1])
    proxy.ours, proxy.behind = ours, behind  # type: ignore[attr-defined]
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ours.port}")
    places._system.cache_clear()
    monkeypatch.setattr(places, "_WAIT_S", 0.01)
    yield ours
    places._system.cache_clear()
    proxy.shutdown()
    proxy.server_close()
    server.stop()


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self._body()
        ours: Store = self.server.ours  # type: ignore[attr-defined]
        left = next((left for part, left in ours.faults.items() if part in self.path and left), None)
        if left:
            fault = left.pop(0)
            ours.met[fault] += 1
            if fault == "drop":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._answer(int(fault), [], b"")
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        headers |= {"Content-Length": str(len(body))} if body else {}
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=10)  # type: ignore[attr-defined]
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        self._answer(answer.status, answer.getheaders(), answer.read())
        behind.close()

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815  as http.server calls them

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Nine looks: a face, and later none."""
    import cv2

    file = tmp_path / "clip.mp4"
    film = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 25, (256, 256))
    portrait = cv2.resize(cv2.imread(str(PORTRAIT)), (256, 256))
    for i in range(9):
        film.write(portrait if i < 6 else np.zeros_like(portrait))
    film.release()
    return file


@pytest.fixture
def web(album: Path) -> Iterator[str]:
    """The album on the web."""
    import functools
    from http.server import SimpleHTTPRequestHandler

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    shutil.copyfile(PORTRAIT, album / "portrait.jpg")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(album)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()

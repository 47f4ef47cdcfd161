"""Attacks on a running server, a process of its own: what strangers and pages of theirs send, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and asks from 127.0.0.2"),
    pytest.mark.slow,  # servers of their own, and waits
]
PORTRAIT = Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
TOKEN = "correct horse battery"
JPEG = {"Content-Type": "image/jpeg"}
JSON = {"Content-Type": "application/json"}
QUICK = "import mien.serve.listen as listen; listen._HEAD_S = listen._STALL_S = 1.0\n"
START = "from mien.cli.main import main; main()"
FOREIGN = "http://evil.example"


@dataclass
class Served:
    """A running server and what it has said on standard error."""

    url: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def memory(self, what: str = "VmHWM") -> float:
        """Megabytes: VmRSS now, or VmHWM at the most since `forget_peak`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (kib,) = re.findall(rf"{what}:\s+(\d+) kB", text)
        return int(kib) * 1024 / 1e6

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextmanager
def served(*options: str, before: str = "", detector: str = "fast", **more: Any) -> Iterator[Served]:
    """`before`: a program that runs before `mien serve`."""
    base = ("--port", "0", "--threads", "1", "--detector", detector, "--model", "mien-tiny")
    command = [sys.executable, "-c", before + START, "serve", *base, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            found = re.search(r"(http://127\.0\.0\.1:\d+)", line)
            assert found, line + process.stderr.read()
            one = Served(found.group(1), process)
            threading.Thread(target=one.listen, daemon=True).start()
            yield one
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as one:
        yield one


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def large() -> bytes:
    """24 megapixels without a face: some tenths of a second of work."""
    return saved(Image.radial_gradient("L").convert("RGB").resize((6000, 4000)), "JPEG")


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    "path",
    ["/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/a/../../errors.py",
     "/.env", "/%00", "/index.html%00.js", "/docs/../api.py", "/docs/%2e%2e/api.py", "/file=/etc/passwd",
     "/gradio_api/file=/etc/passwd", "/" + "a" * 5000],
)  # fmt: skip
def test_no_path_leads_to_a_file_of_the_disk(server: Served, path: str) -> None:
    with server.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "unknown_path"


def test_no_body_makes_it_read_a_file(server: Served, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(PORTRAIT.read_bytes())
    given = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for path in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/queue/join", "/call/predict"):
        assert httpx.post(server.url + path, json={"data": [given], "fn_index": 0}).status_code == 404
    for one in (str(secret), f"file://{secret}", given, {"data": f"file://{secret}"}):
        answer = httpx.post(f"{server.url}/v1/recognize", json={"images": [one]})
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_content")


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/metrics", "/", "/openapi.json", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_a_name_that_was_made_to_point_here_gets_nothing(server: Served, path: str, host: str) -> None:
    answer = httpx.get(server.url + path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000", "127.9.9.9"])
def test_this_machine_may_use_any_name_of_itself(server: Served, host: str) -> None:
    assert httpx.get(f"{server.url}/healthz", headers={"Host": host}).status_code == 200


def test_other_names_pass_where_they_are_allowed() -> None:
    with served("--allowed-host", "mien.example.org", "--allowed-host", "*.wild.example") as server:
        for host, status in (("Mien.example.org:443", 200), ("a.wild.example", 200), ("wild.example", 421),
                             ("evilwild.example", 421), ("other.example.org", 421)):  # fmt: skip
            assert httpx.get(f"{server.url}/healthz", headers={"Host": host}).status_code == status, host


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost.evil.example", "http://localhost:1", "", "x"])
def test_a_page_of_another_site_is_not_answered(server: Served, origin: str) -> None:
    headers = {"Host": f"localhost:{server.address[1]}", "Origin": origin}
    for answer in (
        httpx.get(f"{server.url}/v1/models", headers=headers),
        httpx.post(f"{server.url}/v1/recognize", content=PORTRAIT.read_bytes(), headers={**headers, **JPEG}),
        httpx.options(f"{server.url}/v1/recognize", headers={**headers, "Access-Control-Request-Method": "POST"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
        assert "access-control-allow-origin" not in answer.headers


def test_the_own_page_is_answered_also_behind_a_proxy_with_tls(server: Served) -> None:
    for host, origin in ((f"127.0.0.1:{server.address[1]}", server.url), ("localhost", "https://localhost"),
                         ("localhost:8443", "https://localhost:8443")):  # fmt: skip
        answer = httpx.get(f"{server.url}/v1/models", headers={"Host": host, "Origin": origin})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


def test_a_named_site_may_ask_and_read_even_refusals() -> None:
    with served("--cors-origin", "https://app.example", "--token", TOKEN) as server:
        ours = {"Origin": "https://app.example"}
        asked = {**ours, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        preflight = httpx.options(f"{server.url}/v1/recognize", headers=asked)
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, ours["Origin"])
        for headers, status in (({"Authorization": f"Bearer {TOKEN}"}, 200), ({}, 401)):
            answer = httpx.get(f"{server.url}/v1/models", headers={**ours, **headers})
            assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, ours["Origin"])
        assert httpx.get(f"{server.url}/v1/models", headers={"Origin": FOREIGN}).status_code == 403


@pytest.mark.parametrize("options", [[], ["--host", "0.0.0.0"], ["--token", ""]])
def test_an_empty_token_is_no_open_server(options: list[str]) -> None:
    command = [sys.executable, "-c", START, "serve", "--port", "0", *options]
    ended = subprocess.run(command, env={**os.environ, "MIEN_TOKEN": ""}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "the token is empty" in ended.stderr.replace("\n", " ")


def test_wrong_tokens_are_slowed_down_and_logged_and_the_right_one_never_waits() -> None:
    with served("--token", TOKEN) as server, httpx.Client(base_url=server.url) as client:
        took = []
        for guess in ("a wrong one", "another one", "a third one"):
            start = time.monotonic()
            answer = client.get("/v1/models", headers={"Authorization": f"Bearer {guess}"})
            took.append(time.monotonic() - start)
            assert (answer.status_code, answer.json()["code"]) == (401, "wrong_token")
        assert [at_least <= one < at_least + 0.4 for one, at_least in zip(took, (0.5, 1.0, 1.5), strict=True)] == [
            True
        ] * 3
        start = time.monotonic()
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert time.monotonic() - start < 0.4
        told = [line for line in server.lines if "wrong token" in line]
        assert len(told) == 3
        assert all(" WARNING " in line and " 127.0.0.1 " in line and "wrong one" not in line for line in told)


MANY = 2**20
BOMBS = {
    "numbers": b'{"images": [' + b"1," * (MANY // 2) + b"1]}",
    "lists": b'{"images": [' + b"[]," * (MANY // 3) + b"1]}",
    "objects": b'{"images": [' + b"{}," * (MANY // 3) + b"1]}",
    "strings": b'{"images": [' + b'"",' * (MANY // 3) + b'""]}',
    "depth": b"[" * MANY,
    "keys": b"{" + b"".join(b'"%d":0,' % i for i in range(MANY // 9)) + b'"images":[]}',
    "a long number": b'{"images": [' + b"1" * MANY + b"]}",
    "a long key": b'{"' + b"k" * MANY + b'": 1}',
    "spaces": b'{"images": ["' + b"A " * (MANY // 2) + b'"]}',
    "escapes": b'{"images": ["' + rb"\u0041" * (MANY // 6) + b'"]}',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_of_json_delays_nobody_and_takes_no_memory(server: Served, bomb: str) -> None:
    httpx.get(f"{server.url}/healthz")
    server.forget_peak()
    idle, answers, waited = server.memory(), [], []
    sending = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{server.url}/v1/recognize", content=BOMBS[bomb], headers=JSON, timeout=90)
        )
    )
    start = time.monotonic()
    sending.start()
    while sending.is_alive():
        begin = time.monotonic()
        httpx.get(f"{server.url}/healthz", timeout=90)
        waited.append(time.monotonic() - begin)
    assert answers[0].status_code in (400, 413, 422)
    assert len(answers[0].content) < 3000
    assert time.monotonic() - start < 5
    assert max(waited) < 1
    assert server.memory() - idle < 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg", "cmyk", "mp4"])
def test_no_picture_takes_more_than_600_megabytes(server: Served, kind: str) -> None:
    if kind == "png":
        data = saved(Image.new("RGBA", (8000, 8000), (9, 99, 200, 77)), "PNG")
    elif kind == "webp":
        data = saved(Image.new("RGBA", (5000, 5000), (9, 99, 200, 77)), "WEBP", quality=1, method=0)
    elif kind == "mp4":
        data = huge_film()
    else:
        size = (8000, 8000) if kind == "jpeg" else (8000, 6000)
        image = Image.radial_gradient("L").convert("RGB" if kind == "jpeg" else "CMYK").resize(size)
        data = saved(image, "JPEG", progressive=True, subsampling=0)
    data += b"\0" * (32 * 2**20 - len(data))  # as much as a body may have
    httpx.post(f"{server.url}/v1/recognize", content=PORTRAIT.read_bytes(), headers=JPEG)
    server.forget_peak()
    idle = server.memory()
    answer = httpx.post(f"{server.url}/v1/recognize", content=data, headers=JPEG, timeout=60)
    assert answer.status_code == (200 if kind in ("webp", "jpeg", "cmyk") else 400), answer.text
    assert server.memory() - idle < (200 if kind in ("png", "mp4") else 600)


def huge_film() -> bytes:
    """A film of 16,384 x 8,192 pixels in 395 kB."""
    av = pytest.importorskip("av")
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 16384, 8192, "yuv420p"
        stream.options = {"preset": "ultrafast", "qp": "51"}
        frame = av.VideoFrame(16384, 8192, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def test_slow_heads_and_idle_connections_are_closed_and_leave_room_for_others() -> None:
    with served("--max-connections", "8", before=QUICK) as server, ExitStack() as held:
        slow = [held.enter_context(server.connect()) for _ in range(8)]
        for connection in slow[:4]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-")
        time.sleep(0.2)
        with server.connect() as one_more:  # told at once, not left to wait
            answer = one_more.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "busy"
        start = time.monotonic()
        while time.monotonic() - start < 5:  # a byte now and then does not keep the connection
            for connection in slow[:4]:
                with suppress(OSError):
                    connection.sendall(b"a")
            with suppress(httpx.HTTPError):
                if httpx.get(f"{server.url}/healthz").status_code == 200:
                    break
            time.sleep(0.1)
        assert time.monotonic() - start < 2.5
        assert [line for line in server.lines if "Traceback" in line] == []


def test_a_body_that_never_ends_is_given_up() -> None:
    with served("--max-seconds", "1") as server:
        for path in ("/v1/recognize", "/v1/models", "/nothing"):
            with server.connect() as connection:
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9"
                connection.sendall(f"{head}\r\n\r\nx".encode())
                start = time.monotonic()
                answer = b"".join(iter(lambda c=connection: c.recv(65536), b""))  # to its end: it is closed
            assert time.monotonic() - start < 3
            assert answer.startswith(
                {"/v1/recognize": b"HTTP/1.1 408", "/v1/models": b"HTTP/1.1 405"}.get(path, b"HTTP/1.1 404")
            )


def test_who_takes_nothing_of_a_long_answer_is_cut_off() -> None:
    with served(before=QUICK) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server.address)
        connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9)
        inside = Path(f"/proc/{server.process.pid}/fd")
        time.sleep(0.5)
        held = len(list(inside.iterdir()))
        wait_until(lambda: len(list(inside.iterdir())) < held, 5)


def test_what_is_no_http_is_a_problem(server: Served) -> None:
    with server.connect() as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "bad_request"


def test_it_never_runs_out_of_open_files() -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600))\n"
    with served("--max-connections", "100", before=limited) as server, ExitStack() as held:
        for _ in range(700):
            with suppress(OSError):
                held.enter_context(server.connect())
        time.sleep(0.5)
        assert server.lines == []
    command = [sys.executable, "-c", limited + START, "serve", "--port", "0", "--model", "mien-tiny"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "--max-connections 152" in ended.stderr.replace("\n", " ")) == (2, True)


def several(picture: bytes, count: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", ("a", picture))] * count


def test_two_clients_with_many_pictures_do_not_make_a_third_wait(large: bytes) -> None:
    with served(detector="default") as server, ExitStack() as held:
        clients = [
            held.enter_context(
                httpx.Client(
                    base_url=server.url, transport=httpx.HTTPTransport(local_address=f"127.0.0.{i}"), timeout=90
                )
            )
            for i in (2, 3, 4)
        ]
        one = min(ask(clients[2], large, 1) for _ in range(2))
        greedy = [threading.Thread(target=ask, args=(client, large, 16)) for client in clients[:2] for _ in range(2)]
        for thread in greedy:
            thread.start()
        wait_until(lambda: "mien_requests_inside 4.0" in clients[2].get("/metrics").text)
        took = ask(clients[2], PORTRAIT.read_bytes(), 1)
        assert all(thread.is_alive() for thread in greedy)
        # At most the picture in work and one of each before the reading of the form, and again before the picture.
        assert took < 6 * one + 0.5


def ask(client: httpx.Client, picture: bytes, count: int) -> float:
    start = time.monotonic()
    with suppress(httpx.HTTPError):  # the server ends before the greedy ones have their answers
        client.post("/v1/recognize", files=several(picture, count))
    return time.monotonic() - start


def test_a_client_that_goes_away_frees_its_place(large: bytes) -> None:
    with served("--max-waiting", "1", detector="default") as server:
        for _ in range(4):
            wait_until(lambda: "mien_requests_inside 2.0" not in httpx.get(f"{server.url}/metrics").text, 3)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{server.url}/v1/recognize", files=several(large, 16), timeout=httpx.Timeout(20, read=0.3))
        wait_until(lambda: "mien_requests_inside 0.0" in httpx.get(f"{server.url}/metrics").text, 3)
        assert httpx.post(f"{server.url}/v1/recognize", content=PORTRAIT.read_bytes(), headers=JPEG).status_code == 200


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_when_it_is_stopped_those_inside_are_answered_and_others_sent_away(large: bytes, which: signal.Signals) -> None:
    if signal.getsignal(which) is signal.SIG_IGN:
        pytest.skip("these tests were started by nohup, which the server heeds too")
    answers: list[httpx.Response] = []
    with served(detector="default") as server, httpx.Client(base_url=server.url) as kept:

        def send() -> None:
            answers.append(httpx.post(f"{server.url}/v1/recognize", files=several(large, 12), timeout=60))

        sending = threading.Thread(target=send)
        sending.start()
        wait_until(lambda: "mien_requests_inside 1.0" in kept.get("/metrics").text)
        server.process.send_signal(which)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, 10)
        assert sending.is_alive()
        for refused in (
            kept.post("/v1/recognize", content=PORTRAIT.read_bytes(), headers=JPEG),
            httpx.post(f"{server.url}/v1/recognize", content=PORTRAIT.read_bytes(), headers=JPEG),
            httpx.get(f"{server.url}/readyz"),
        ):
            assert (refused.status_code, refused.json()["code"], "Retry-After" in refused.headers) == (
                503,
                "stopping",
                True,
            )
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        sending.join()
        assert [answer.status_code for answer in answers] == [200]
        assert len(answers[0].json()["images"]) == 12
        assert server.process.wait(10) == 0
        wait_until(lambda: bool(server.lines) and server.lines[-1] == "stopped", 5)
        assert not any("Traceback" in line or "Cancel" in line for line in server.lines)


def test_nothing_stays_on_disk_however_it_ends(large: bytes, tmp_path: Path) -> None:
    home = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    with served(cwd=tmp_path, env={**os.environ, **home}, detector="default") as server:

        def send() -> None:
            with suppress(httpx.HTTPError):
                httpx.post(f"{server.url}/v1/recognize", files=several(large, 16), timeout=60)

        sending = threading.Thread(target=send)
        sending.start()
        wait_until(lambda: "mien_requests_inside 1.0" in httpx.get(f"{server.url}/metrics").text)
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        opened = [str(one.readlink()) for one in descriptors.iterdir() if int(one.name) > 2 and one.is_symlink()]
        assert [one for one in opened if "deleted" in one or one.startswith(str(tmp_path))] == []
        server.process.kill()
        sending.join()
    assert list(tmp_path.rglob("*")) == []

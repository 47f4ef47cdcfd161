"""Limits of the server: size, number, pixels, faces, time, and places."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from mien.errors import InputError
from mien.recognize.recognizer import Recognizer
from mien.serve import login
from mien.serve.api import create_app
from mien.serve.guard import Guard
from mien.serve.limits import Limits
from mien.serve.prometheus import Metrics
from mien.serve.refusal import RefusedError
from mien.serve.upload_cache import UploadCache
from mien.serve.workers import Workers

JPEG = {"Content-Type": "image/jpeg"}
Make = Callable[..., TestClient]


@pytest.mark.parametrize("name", ["pictures", "waiting", "seconds", "request_bytes"])
def test_a_limit_is_at_least_one(name: str) -> None:
    with pytest.raises(InputError, match=f"limit of {name.replace('_', ' ')}: expected 1 or more, got 0"):
        Limits(**{name: 0})


def test_no_more_pixels_than_are_decoded_at_all() -> None:
    with pytest.raises(InputError, match="at most 64,000,000 are decoded"):
        Limits(pixels=64_000_001)


def test_a_body_that_says_it_is_too_large_is_not_read(client_of: Make) -> None:
    answer = client_of(limits=Limits(request_bytes=1000)).post("/v1/recognize", content=b"x" * 1001, headers=JPEG)
    assert answer.status_code == 413
    assert "larger than 1,000 bytes" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["image/jpeg", "application/json", "multipart/form-data; boundary=b"])
def test_a_body_of_unknown_size_is_read_up_to_the_limit(client_of: Make, kind: str) -> None:
    sent = []

    def body() -> Iterator[bytes]:
        for _ in range(100):
            sent.append(100)
            yield b"--b\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n".ljust(100)

    answer = client_of(limits=Limits(request_bytes=1000)).post(
        "/v1/recognize", content=body(), headers={"Content-Type": kind}
    )
    assert answer.status_code == 413
    assert list(answer.json()) == ["error"]


def test_too_many_pictures(client_of: Make) -> None:
    pictures = [("files", ("a", b"x"))] * 3
    answer = client_of(limits=Limits(pictures=2)).post("/v1/recognize", files=pictures)
    assert (answer.status_code, "at most 2" in answer.json()["error"]) == (413, True)


def test_too_many_pixels_by_the_header(client_of: Make, portrait: bytes) -> None:
    client = client_of(limits=Limits(pixels=512 * 512 - 1))
    answer = client.post("/v1/recognize", content=portrait, headers=JPEG)
    assert answer.status_code == 400
    assert "more than 262,143 pixels" in answer.json()["error"]
    assert client_of(limits=Limits(pixels=512 * 512)).post("/v1/recognize", content=portrait, headers=JPEG).is_success


def test_the_largest_faces_are_told_and_the_others_counted(
    client_of: Make, portrait: bytes, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = recognizer(portrait)
    crowd = [replace(face, box=(10 * i, 0, side, side)) for i, side in enumerate((5, 9, 3, 7))]
    monkeypatch.setattr(recognizer, "recognize", lambda images, names: [crowd])
    (picture,) = (
        client_of(limits=Limits(faces=2)).post("/v1/recognize", content=portrait, headers=JPEG).json()["images"]
    )
    assert [one["box"] for one in picture["faces"]] == [[10, 0, 9, 9], [30, 0, 7, 7]]
    assert picture["more_faces"] == 2


class Slow:
    """Holds the worker until it is let go."""

    def __init__(self, recognizer: Recognizer, patch: pytest.MonkeyPatch) -> None:
        self.go, self.begun, self.calls = threading.Event(), threading.Semaphore(0), 0
        patch.setattr(recognizer, "recognize", self._recognize)

    def _recognize(self, images: list[Any], names: list[str]) -> list[list[Any]]:
        self.calls += 1
        self.begun.release()
        assert self.go.wait(20)
        return [[] for _ in images]


@pytest.fixture
def slow(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    held = Slow(recognizer, monkeypatch)
    yield held
    held.go.set()


def test_a_request_over_its_time_is_a_504_and_its_place_is_free_again(
    client_of: Make, portrait: bytes, slow: Slow
) -> None:
    client = client_of(limits=Limits(seconds=1, waiting=1))
    answer = client.post("/v1/recognize", content=portrait, headers=JPEG)
    assert (answer.status_code, answer.json()) == (
        504, {"error": "not done within 1 s; send fewer or smaller pictures"})  # fmt: skip
    assert "mien_requests_inside 1.0" in client.get("/metrics").text  # its job still runs
    slow.go.set()
    assert client.post("/v1/recognize", content=portrait, headers=JPEG).is_success
    assert "mien_requests_inside 0.0" in client.get("/metrics").text


def test_a_full_server_says_when_to_come_back(client_of: Make, portrait: bytes, slow: Slow) -> None:
    client = client_of(limits=Limits(waiting=1), threads=1)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(client.post("/v1/recognize", content=portrait, headers=JPEG).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert slow.begun.acquire(timeout=10)
    until = time.monotonic() + 10
    while "mien_requests_inside 2.0" not in client.get("/metrics").text and time.monotonic() < until:
        time.sleep(0.01)
    refused = client.post("/v1/recognize", content=portrait, headers=JPEG)
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert "busy with 2 requests" in refused.json()["error"]
    assert client.get("/healthz").is_success
    slow.go.set()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
    assert client.post("/v1/recognize", content=portrait, headers=JPEG).is_success


def test_a_job_whose_request_gave_up_does_not_begin() -> None:
    workers = Workers(threads=1, waiting=2)
    go, begun = threading.Event(), []
    with workers.enter() as first:
        first.run(lambda: go.wait(10))
        with workers.enter() as second:
            second.run(lambda: begun.append(1))
            assert workers.inside == 2
        assert workers.inside == 1
        with workers.enter():
            assert workers.inside == 2
        with workers.enter(), workers.enter(), pytest.raises(RefusedError, match="busy with 3 requests"):
            workers.enter()
        go.set()
    workers._pool.shutdown(wait=True)
    assert (workers.inside, begun) == (0, [])


async def never() -> Any:
    await asyncio.sleep(60)


def exchange(app: Any, path: str, kind: str, receive: Callable[[], Any]) -> list[Any]:
    """What `app` sends to a client whose body comes from `receive`."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "headers": [(b"content-type", kind.encode())],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent


def test_a_body_that_does_not_come_is_a_408(recognizer: Recognizer) -> None:
    app = create_app({"m": recognizer}, limits=Limits(seconds=1))
    sent = exchange(app, "/v1/recognize", "image/jpeg", never)
    assert sent[0]["status"] == 408
    assert b"did not arrive within 1 s" in sent[1]["body"]


def test_a_login_that_does_not_come_is_a_408(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_SECONDS", 0.05)
    app = create_app({"m": recognizer}, token="correct horse battery")
    sent = exchange(app, "/login", "application/x-www-form-urlencoded", never)
    assert sent[0]["status"] == 408
    assert b"did not arrive within 0.05 s" in sent[1]["body"]


@pytest.mark.parametrize("kind", ["image/jpeg", "application/json", "multipart/form-data; boundary=b"])
def test_a_client_that_goes_away_is_no_failure_of_the_server(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    app = create_app({"m": recognizer})
    coming = iter([{"type": "http.request", "body": b"--b\r\n", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(coming)

    with caplog.at_level(logging.INFO, "mien.serve"):
        exchange(app, "/v1/recognize", kind, receive)  # raises nothing, which uvicorn would log with a traceback
    assert caplog.messages[-1].startswith("POST /v1/recognize 499 ")
    metrics = TestClient(app).get("/metrics").text
    assert 'mien_requests_total{path="/v1/recognize",status="499"} 1.0' in metrics
    assert "mien_requests_inside 0.0" in metrics


@pytest.fixture
def cache() -> Iterator[UploadCache]:
    made = UploadCache()
    yield made
    made.remove()


def guarded(cache: UploadCache, taken: Callable[[bytes], Any]) -> Guard:
    """A guard with room for four uploads of 1,000 bytes and the one that comes; `taken` gets their pieces."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        async for piece in request.stream():
            await taken(piece)
        await Response("taken")(scope, receive, send)

    return Guard(page, Limits(video_bytes=1000), Metrics(inside=lambda: 0), None, cache)


def test_uploads_do_not_fill_the_disk(cache: UploadCache) -> None:
    async def taken(piece: bytes) -> None:
        pass

    client = TestClient(guarded(cache, taken))
    assert client.post("/gradio_api/upload", content=b"x").status_code == 200
    (cache.path / "a").write_bytes(b"x" * 4001)
    refused = client.post("/gradio_api/upload", content=b"x")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert client.post("/gradio_api/upload", content=b"x" * 1001).status_code == 413
    assert client.get("/").status_code == 200


def test_uploads_at_the_same_time_do_not_fill_the_disk_either(cache: UploadCache) -> None:
    """All are let in while nothing lies there; they share the room as they come."""
    stored = []

    async def taken(piece: bytes) -> None:
        stored.append(len(piece))
        (cache.path / f"{len(stored)}").write_bytes(piece)

    app = guarded(cache, taken)

    async def upload(everybody_inside: asyncio.Barrier) -> int:
        left = [500, 500]
        statuses = []

        async def receive() -> Any:
            if len(left) == 2:
                await everybody_inside.wait()
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"x" * left.pop(), "more_body": bool(left)}

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": [], "query_string": b""}
        await app(scope, receive, send)
        return statuses[0]

    async def several(count: int) -> list[int]:
        barrier = asyncio.Barrier(count)
        return await asyncio.gather(*(upload(barrier) for _ in range(count)))

    assert asyncio.run(several(20)) == [503] * 20
    assert sum(stored) == cache.size() == 5000
    cache.sweep(age=-1)
    assert asyncio.run(several(5)) == [200] * 5  # as much as fits, once the others are gone


def test_no_place_is_lost_where_the_body_is_refused(client_of: Make) -> None:
    client = client_of(limits=Limits(waiting=1))
    for _ in range(5):
        assert client.post("/v1/recognize", json={}).status_code == 422
    assert "mien_requests_inside 0.0" in client.get("/metrics").text


def test_threads_are_at_least_one() -> None:
    with pytest.raises(InputError, match="threads 0: expected 1 or more"):
        Workers(0, 1)


def test_the_upload_cache_is_private_and_is_emptied() -> None:
    cache = UploadCache()
    assert cache.path.stat().st_mode & 0o777 == 0o700
    (cache.path / "one").mkdir()
    file = cache.path / "one" / "a.jpg"
    file.write_bytes(b"x")
    assert cache.holds(file)
    assert not cache.holds(cache.path / ".." / "x")
    assert not cache.holds(cache.path / "a\0b")
    assert cache.sweep(age=60) == 0
    assert cache.sweep(age=-1) == 1
    cache.sweep()
    assert list(cache.path.iterdir()) == []
    cache.remove()
    assert not cache.path.exists()

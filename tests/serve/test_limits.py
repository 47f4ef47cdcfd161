"""Limits of the server: size, number, pixels, faces, time, and places."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mien.errors import InputError
from mien.recognize.recognizer import Recognizer
from mien.serve.api import create_app
from mien.serve.limits import Limits
from mien.serve.refusal import RefusedError
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
    assert "larger than 1,000 bytes" in answer.json()["detail"]


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
    assert answer.json()["code"] == "large_body"


def test_too_many_pictures(client_of: Make) -> None:
    pictures = [("files", ("a", b"x"))] * 3
    answer = client_of(limits=Limits(pictures=2)).post("/v1/recognize", files=pictures)
    assert (answer.status_code, "at most 2" in answer.json()["detail"]) == (413, True)


def test_too_many_pixels_by_the_header(client_of: Make, portrait: bytes) -> None:
    lossless = io.BytesIO()
    Image.open(io.BytesIO(portrait)).save(lossless, "PNG")
    client = client_of(limits=Limits(pixels=512 * 512 - 1))
    answer = client.post("/v1/recognize", content=lossless.getvalue(), headers=JPEG)
    assert answer.status_code == 400
    assert "512x512 is more than 262,143 pixels" in answer.json()["detail"]
    client = client_of(limits=Limits(pixels=512 * 512))
    assert client.post("/v1/recognize", content=lossless.getvalue(), headers=JPEG).is_success


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_reduced_and_told_at_its_full_size(
    client_of: Make, portrait: bytes, orientation: int
) -> None:
    image = Image.open(io.BytesIO(portrait)).crop((101, 0, 512, 301)).resize((1644, 1204))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    (image if orientation == 1 else image.transpose(Image.Transpose.ROTATE_90)).save(out, "JPEG", exif=exif, quality=95)
    pictures = []
    for pixels in (1644 * 1204, 600_000):
        answer = client_of(limits=Limits(pixels=pixels)).post("/v1/recognize", content=out.getvalue(), headers=JPEG)
        (picture,) = answer.json()["images"]
        assert (picture["width"], picture["height"], picture["faces"][0]["emotion"]) == (1644, 1204, "happy")
        pictures.append(picture["faces"][0]["box"])
    assert pictures[1] == pytest.approx(pictures[0], abs=12)  # of a face of about 360 pixels


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
    assert (answer.status_code, answer.json()["code"]) == (504, "too_slow")
    assert answer.json()["detail"] == "not done within 1 s; send fewer or smaller pictures"
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
    assert "busy with 2 requests" in refused.json()["detail"]
    assert client.get("/healthz").is_success
    slow.go.set()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
    assert client.post("/v1/recognize", content=portrait, headers=JPEG).is_success


def test_a_job_whose_request_gave_up_does_not_begin() -> None:
    workers = Workers(threads=1, waiting=2)
    go, begun = threading.Event(), []
    with workers.enter("a") as first:
        first.run(lambda: go.wait(10))
        with workers.enter("a") as second:
            second.run(lambda: begun.append(1))
            assert workers.inside == 2
        assert workers.inside == 1
        with workers.enter("b"):
            assert workers.inside == 2
        with workers.enter("a"), workers.enter("b"), pytest.raises(RefusedError, match="busy with 3 requests"):
            workers.enter("c")
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
        "server": ("127.0.0.1", 80), "client": ("192.0.2.7", 9), "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", kind.encode()), (b"transfer-encoding", b"chunked")],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent


def test_a_body_that_does_not_come_is_a_408(recognizer: Recognizer) -> None:
    app = create_app({"m": recognizer}, limits=Limits(seconds=1))
    sent = exchange(app, "/v1/recognize", "image/jpeg", never)
    assert sent[0]["status"] == 408
    assert b"did not arrive within 1 s" in sent[1]["body"]


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


def test_clients_take_turns_and_so_do_the_requests_of_one() -> None:
    workers, go, done = Workers(threads=1, waiting=9), threading.Event(), []
    with ExitStack() as held:
        places = {name: held.enter_context(workers.enter(name[0])) for name in ("first", "a1", "a2", "b1", "c1")}
        places["first"].run(lambda: go.wait(10))
        jobs = {name: place.run(partial(done.append, name)) for name, place in places.items() if name != "first"}
        go.set()
        for job in jobs.values():
            job.result(10)
    assert done == ["a1", "b1", "c1", "a2"]


def test_a_job_that_fails_does_not_end_its_worker() -> None:
    workers = Workers(threads=1, waiting=1)
    with workers.enter("a") as place:
        with pytest.raises(ZeroDivisionError):
            place.run(lambda: 1 // 0).result(10)
        assert place.run(lambda: 7).result(10) == 7
    assert workers.inside == 0


def test_a_client_that_goes_away_frees_its_place(recognizer: Recognizer, portrait: bytes, slow: Slow) -> None:
    """The picture that is worked on ends; the other fifteen never begin."""
    app = create_app({"m": recognizer})
    coming = iter([{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}])
    form = b"".join(
        b"--b\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n%s\r\n" % portrait for _ in range(16)
    )

    async def receive() -> Any:
        message = next(coming)
        if message["type"] == "http.disconnect":
            await asyncio.to_thread(slow.begun.acquire, timeout=20)
        else:
            message["body"] = form + b"--b--\r\n"
        return message

    assert exchange(app, "/v1/recognize", "multipart/form-data; boundary=b", receive)[0]["status"] == 499
    assert app.state.workers.inside == 1
    slow.go.set()
    until = time.monotonic() + 10
    while app.state.workers.inside and time.monotonic() < until:
        time.sleep(0.01)
    assert (app.state.workers.inside, slow.calls) == (0, 1)


def test_who_comes_while_the_server_stops_is_sent_away_and_who_is_inside_is_served(
    client_of: Make, portrait: bytes, slow: Slow
) -> None:
    client = client_of()
    workers = client.app.state.workers
    assert client.get("/readyz").json() == {"status": "ready"}
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(client.post("/v1/recognize", content=portrait, headers=JPEG))
    )
    asking.start()
    assert slow.begun.acquire(timeout=20)
    workers.stop()
    for answer in (client.get("/readyz"), client.get("/v1/models"), client.post("/v1/recognize", content=portrait)):
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "stopping", "5")
    assert client.get("/healthz").is_success
    slow.go.set()
    asking.join()
    assert answers[0].status_code == 200


def test_no_place_is_lost_where_the_body_is_refused(client_of: Make) -> None:
    client = client_of(limits=Limits(waiting=1))
    for _ in range(5):
        assert client.post("/v1/recognize", json={}).status_code == 422
    assert "mien_requests_inside 0.0" in client.get("/metrics").text


def test_threads_are_at_least_one() -> None:
    with pytest.raises(InputError, match="threads 0: expected 1 or more"):
        Workers(0, 1)

"""The API on the portrait: what it answers, in each form of request, to good and bad pictures."""

from __future__ import annotations

import base64
import io
import logging
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from mien.errors import InputError
from mien.recognize.recognizer import Recognizer
from mien.recognize.vendored import read_vendored
from mien.serve.access import Access
from mien.serve.api import create_app

TOKEN = "correct horse battery"
JPEG = {"Content-Type": "image/jpeg"}


def files(*pictures: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", picture) for picture in pictures]


def huge_png() -> bytes:
    """A valid header of 50,000 x 50,000 pixels, and a body that would be found damaged if somebody decoded it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"x")) + chunk(b"IEND", b"")


def gray(width: int = 64, height: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height), 128).save(out, "PNG")
    return out.getvalue()


def test_the_portrait_gives_what_the_recognizer_says(
    client: TestClient, portrait: bytes, recognizer: Recognizer
) -> None:
    answer = client.post("/v1/recognize", files=files(("me.jpg", portrait)))
    (face,) = recognizer(portrait)
    assert answer.status_code == 200
    assert answer.json()["model"] == "mien-small"
    (picture,) = answer.json()["images"]
    assert (picture["name"], picture["width"], picture["height"]) == ("me.jpg", 512, 512)
    (told,) = picture["faces"]
    assert told["box"] == list(face.box)
    assert told["emotion"] == face.emotion == "happy"
    assert list(told["probabilities"]) == list(recognizer.labels)
    assert told["probabilities"] == pytest.approx(face.probabilities, abs=1e-6)
    assert told["detection_score"] == pytest.approx(face.detection_score, abs=1e-6)
    assert told["unsure"] is False


def test_form_json_and_body_give_the_same_faces(client: TestClient, portrait: bytes) -> None:
    text = base64.b64encode(portrait).decode()
    answers = [
        client.post("/v1/recognize", files=files(("a", portrait))),
        client.post("/v1/recognize", content=portrait, headers=JPEG),
        client.post("/v1/recognize", json={"images": [text]}),
        client.post("/v1/recognize", json={"images": [{"data": f"data:image/jpeg;base64,{text}", "name": "a"}]}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({str(answer.json()["images"][0]["faces"]) for answer in answers}) == 1


def test_several_pictures_come_back_in_their_order(client: TestClient, portrait: bytes) -> None:
    answer = client.post("/v1/recognize", files=files(("face.jpg", portrait), ("gray.png", gray())))
    assert [(p["name"], len(p["faces"])) for p in answer.json()["images"]] == [("face.jpg", 1), ("gray.png", 0)]


def test_no_face_is_an_empty_list_and_no_error(client: TestClient) -> None:
    answer = client.post("/v1/recognize", files=files(("gray.png", gray())))
    assert answer.status_code == 200
    assert answer.json()["images"][0]["faces"] == []
    assert answer.json()["images"][0]["error"] is None


def test_one_bad_picture_among_good_ones_has_its_own_error(client: TestClient, portrait: bytes) -> None:
    answer = client.post("/v1/recognize", files=files(("bad.jpg", b"no"), ("face.jpg", portrait)))
    assert answer.status_code == 200
    bad, good = answer.json()["images"]
    assert bad["error"].startswith("bad.jpg: not a picture")
    assert bad["faces"] == []
    assert good["error"] is None
    assert good["faces"][0]["emotion"] == "happy"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"plain text", "not a picture"),
        (b"", "empty"),
        (huge_png(), "50000x50000 is more than"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
    ids=["text", "nothing", "50,000 x 50,000", "postscript"],
)
def test_a_bad_picture_is_a_400_that_names_it(client: TestClient, data: bytes, words: str) -> None:
    answer = client.post("/v1/recognize", files=files(("one.jpg", data)))
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert answer.json()["detail"].startswith("one.jpg: ")


def test_a_truncated_picture_is_a_400(client: TestClient, portrait: bytes) -> None:
    answer = client.post("/v1/recognize", content=portrait[: len(portrait) // 2], headers=JPEG)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("picture 1: damaged picture")


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "expected multipart/form-data"),
        ({}, 415, "expected multipart/form-data"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "Invalid JSON"),
        ({"json": {"img": "x"}}, 422, "images: Field required"),
        ({"json": {"images": []}}, 422, "images: List should have at least 1 item"),
        ({"json": {"images": ["%%%"]}}, 422, "images.0: not base64"),
        ({"files": [("picture", ("a", b"x"))]}, 422, "expected files named 'files'"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "boundary"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 422, "not a form"),
        ({"content": b"[" * 3000, "headers": {"Content-Type": "application/json"}}, 422, "recursion"),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 413, "too many values"),
        ({"json": {"images": ["\u00e9"]}}, 422, "images.0: not base64"),
        ({"data": {"files": "x"}, "files": [("files", ("a", b"x"))]}, 422, "a field of the form is no file"),
    ],
)
def test_a_request_that_is_not_as_it_says(
    client: TestClient, request_: dict[str, Any], status: int, words: str
) -> None:
    answer = client.post("/v1/recognize", **request_)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_a_model_can_be_chosen_and_a_wrong_one_gets_a_suggestion(
    recognizer: Recognizer, fast: Recognizer, portrait: bytes
) -> None:
    client = TestClient(create_app({"mien-small": recognizer, "mien-tiny": fast}))
    assert client.post("/v1/recognize?model=mien-tiny", content=portrait, headers=JPEG).json()["model"] == "mien-tiny"
    assert client.post("/v1/recognize", content=portrait, headers=JPEG).json()["model"] == "mien-small"
    wrong = client.post("/v1/recognize?model=mien-tini", content=portrait, headers=JPEG)
    assert wrong.status_code == 404
    assert "Did you mean 'mien-tiny'?" in wrong.json()["detail"]


def test_models_tell_labels_and_use(client: TestClient, recognizer: Recognizer) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert model["name"] == "mien-small"
    assert model["labels"] == list(recognizer.labels)
    assert "not inner feeling" in model["use"]


def test_metrics_count_requests_pictures_and_faces(client: TestClient, portrait: bytes) -> None:
    client.post("/v1/recognize", files=files(("a", portrait), ("b", b"no")))
    client.get("/some/name.jpg")
    text = client.get("/metrics").text
    assert 'mien_requests_total{path="/v1/recognize",status="200"} 1.0' in text
    assert 'mien_pictures_total{outcome="recognized"} 1.0' in text
    assert 'mien_pictures_total{outcome="unreadable"} 1.0' in text
    assert "mien_faces_total 1.0" in text
    assert "mien_requests_inside 0.0" in text
    assert "name.jpg" not in text


def test_the_page_offers_the_servers_own_models_first(client_of: Callable[..., TestClient]) -> None:
    client = client_of(page_models={"my faces/1": b"\x08\x08onnx" * 100, "mien-tiny": b"another of that name"})
    offered = client.get("/models.json").json()["models"]
    assert [one["name"] for one in offered] == ["my faces/1", "mien-tiny", "mien-small"]
    assert client.get("/" + offered[0]["file"]).content == b"\x08\x08onnx" * 100
    assert client.get("/" + offered[1]["file"]).content == b"another of that name"
    assert client.get("/" + offered[2]["file"]).content == read_vendored("weights", "mien-small.onnx")
    plain = client_of()
    assert [one["name"] for one in plain.get("/models.json").json()["models"]] == ["mien-tiny", "mien-small"]
    assert plain.get("/models/model.onnx").status_code == 404


def test_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "https://" not in page
    assert "validatorUrl: null" in client.get("/docs/docs.js").text  # else the schema's address goes to swagger.io
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"docs/{name}" in page
        assert len(client.get(f"/docs/{name}").content) > 100_000
    assert client.get("/docs/../api.py").status_code == 404


def test_vendored_files_are_those_of_the_package() -> None:
    from hashlib import sha256
    from importlib import resources

    static = resources.files("mien.serve") / "static"
    lines = (static / "SHA256SUMS").read_text("utf-8").splitlines()
    assert {n: sha256((static / n).read_bytes()).hexdigest() for _, n in (line.split() for line in lines)} == {
        name: digest for digest, name in (line.split() for line in lines)
    }


def test_other_methods_and_paths_answer_in_json(client: TestClient) -> None:
    answer = client.delete("/v1/recognize")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")
    assert "it takes OPTIONS, POST" in answer.json()["detail"]
    assert client.get("/v1/nothing").json() == {
        "type": "about:blank", "title": "There is no such path", "status": 404, "detail": "no such path. See: /docs",
        "code": "unknown_path",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/models", "/docs", "/openapi.json", "/"])
def test_what_answers_get_answers_head_and_options(client: TestClient, path: str) -> None:
    head, options = client.head(path), client.options(path)
    assert (head.status_code, head.content) == (200, b"")
    if path != "/metrics":  # of which no two are the same
        assert head.headers["Content-Length"] == client.get(path).headers["Content-Length"]
    assert (options.status_code, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/", "/v1/recognize/", "/healthz/x", "/docs/x", "//v1/models"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_unknown_paths_are_problems(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, f"http://testserver{path}")
    told = answer.headers["Content-Type"], answer.json()["code"], answer.status_code
    assert told == ("application/problem+json", "unknown_path", 404)


def test_the_log_has_no_name_and_no_content(
    client: TestClient, portrait: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "mien.serve"):
        client.post("/v1/recognize?model=secret-model", files=files(("secret-name.jpg", portrait)))
        client.get("/file=/tmp/secret-name.jpg")
    lines = [record.getMessage() for record in caplog.records if record.name == "mien.serve"]
    assert len(lines) == 2
    assert lines[0].startswith("POST /v1/recognize 404 ")
    assert lines[1].startswith("GET page 404 ")
    assert "secret" not in caplog.text


def test_a_failure_within_shows_no_traceback(
    client: TestClient, portrait: bytes, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(recognizer, "recognize", fail)
    answer = client.post("/v1/recognize", content=portrait, headers=JPEG)
    assert answer.status_code == 500
    assert answer.json()["code"] == "failed"
    assert answer.json()["detail"] == "the server failed on this request; its log says why"
    assert "mien_requests_inside 0.0" in client.get("/metrics").text


def mutated(portrait: bytes, rng: random.Random) -> bytes:
    """A picture with some bytes changed, cut out, or repeated."""
    out = bytearray(portrait[: rng.choice((200, 2_000, 20_000, len(portrait)))])
    for _ in range(rng.randint(1, 30)):
        place = rng.randrange(len(out))
        match rng.randrange(3):
            case 0:
                out[place] = rng.randrange(256)
            case 1:
                del out[place : place + rng.randrange(64)]
            case _:
                out[place:place] = out[place : place + rng.randrange(64)]
    return bytes(out)


def encoded(portrait: bytes, form: str) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(portrait)).resize((96, 96)).save(out, form)
    return out.getvalue()


def test_random_and_damaged_bytes_never_break_it(
    client_of: Callable[..., TestClient], fast: Recognizer, portrait: bytes
) -> None:
    client = client_of(fast)
    rng = random.Random(20)
    whole = [portrait, *(encoded(portrait, form) for form in ("PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"))]
    kinds = ("image/jpeg", "application/json", "multipart/form-data; boundary=b")
    statuses = set()
    for i in range(150):
        data = rng.randbytes(rng.randrange(600)) if i % 3 == 0 else mutated(rng.choice(whole), rng)
        kind = rng.choice(kinds) if i % 3 == 0 else kinds[0]
        answer = client.post("/v1/recognize", content=data, headers={"Content-Type": kind})
        assert answer.status_code in (200, 400, 422), (i, answer.text)
        assert "Traceback" not in answer.text
        statuses.add(answer.status_code)
    assert statuses == {200, 400, 422}
    for form in whole:
        assert client.post("/v1/recognize", content=form, headers=JPEG).status_code == 200
    assert client.post("/v1/recognize", content=portrait, headers=JPEG).status_code == 200


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 40_000)])
def test_pictures_of_odd_shapes_are_answered(client: TestClient, shape: tuple[int, int]) -> None:
    answer = client.post("/v1/recognize", files=files(("odd.png", gray(*shape))))
    assert (answer.status_code, answer.json()["images"][0]["faces"]) == (200, [])


def test_pictures_lie_upright(client: TestClient, portrait: bytes) -> None:
    """EXIF says that this one was turned: width and height are those of the upright picture."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(portrait)).crop((100, 20, 300, 320))
    Image.fromarray(np.rot90(np.asarray(image)).copy()).save(out, "JPEG", exif=exif, quality=95)
    (picture,) = client.post("/v1/recognize", content=out.getvalue(), headers=JPEG).json()["images"]
    assert (picture["width"], picture["height"], len(picture["faces"])) == (200, 300, 1)


class TestToken:
    @pytest.fixture
    def guarded(self, client_of: Callable[..., TestClient]) -> TestClient:
        return client_of(access=Access(token=TOKEN))

    @pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/x", "/v1/models/", "/docsx"])
    def test_nothing_answers_without_it(self, guarded: TestClient, path: str) -> None:
        answer = guarded.get(path)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["code"] == "wrong_token"

    @pytest.mark.parametrize(
        "path", ["/", "/index.html", "/healthz", "/readyz", "/docs", "/docs/swagger-ui.css", "/openapi.json"]
    )
    def test_page_and_description_and_state_are_open(self, guarded: TestClient, path: str) -> None:
        assert guarded.get(path).status_code == 200

    @pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic " + TOKEN, TOKEN, "Bearer \xe9"])
    def test_a_wrong_one_is_refused(self, guarded: TestClient, header: str, portrait: bytes) -> None:
        headers = {"Authorization": header.encode("latin-1"), **JPEG}
        assert guarded.post("/v1/recognize", content=portrait, headers=headers).status_code == 401

    def test_the_right_one_opens(self, guarded: TestClient, portrait: bytes) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", **JPEG}
        assert guarded.post("/v1/recognize", content=portrait, headers=headers).status_code == 200

    @pytest.mark.parametrize("token", ["pässword 12", "correct\nhorse", " correct horse", "correct horse\n"])
    def test_one_that_no_header_can_carry_is_refused(self, token: str) -> None:
        with pytest.raises(InputError, match="letters, digits and signs of ASCII, and no space at its ends"):
            Access(token=token)

    def test_a_short_one_is_refused(self) -> None:
        with pytest.raises(InputError, match="can be guessed: take 8 or more"):
            Access(token="short")

"""`mien serve` as a process, and the mistakes that it tells of before it listens."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mien.cli import serve as verb
from mien.cli.serve import serve
from mien.errors import InputError, MissingExtraError
from mien.recognize.naming import model_content
from mien.serve.listen import is_private, open_socket, url_of

PORTRAIT = Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
TOKEN = "correct horse battery"
COMMAND = "from mien.cli.main import main; main()"


@pytest.fixture
def taken() -> Iterator[int]:
    with open_socket("127.0.0.1", 0) as bound:
        yield bound.getsockname()[1]


def test_a_port_that_is_taken(taken: int) -> None:
    with pytest.raises(InputError, match=rf"cannot listen on 127.0.0.1 port {taken} .*Choose another: --port"):
        serve(port=taken)


def test_a_host_that_is_none() -> None:
    with pytest.raises(InputError, match="no such address"):
        serve(host="no.such.host.invalid", port=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": ["mien-smal"]}, "Did you mean 'mien-small'"),
        ({"detector": "fats"}, "Did you mean 'fast'"),
        ({"threads": 0}, "threads 0: expected 1 or more"),
        ({"token": "short"}, "can be guessed"),
        ({"max_pictures": 0}, "limit of pictures: expected 1 or more"),
        ({"max_megapixels": 65}, "at most 64,000,000 are decoded"),
        ({"token": ""}, "the token is empty. Give one of 8 characters or more, or --no-token"),
        ({"token": TOKEN, "no_token": True}, "--no-token and --token say opposite things"),
        ({"host": "0.0.0.0"}, "everybody who reaches 0.0.0.0 could use this server. Ask for a token .*--no-token"),
        ({"allowed_host": ["http://a.example"]}, "expected a name without port"),
        ({"allowed_host": ["a.example:80"]}, "expected a name without port"),
        ({"cors_origin": ["a.example"]}, "expected scheme, name and port"),
        ({"cors_origin": ["*"]}, "expected scheme, name and port"),
        ({"root_path": "mien/"}, "expected a slash at its beginning and none at its end"),
        ({"log_format": "xml"}, "unknown log format 'xml'"),
    ],
)
def test_a_wrong_value(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        serve(**{"port": 0, **wrong})


def test_an_empty_token_is_a_mistake_wherever_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "token"
    empty.write_text("\n")
    with pytest.raises(InputError, match="the token is empty"):
        serve(port=0, token_file=empty)
    monkeypatch.setenv("MIEN_TOKEN", "")
    with pytest.raises(InputError, match="the token is empty"):
        serve(port=0)
    with pytest.raises(InputError, match="--no-token and MIEN_TOKEN say opposite things"):
        serve(port=0, no_token=True)


def test_a_model_of_ones_own_is_not_on_the_open_page_behind_a_token(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(model_content("mien-tiny"))
    named = {"mien-small": "mien-small", "own": str(own)}
    assert verb._of_the_page(named, None) == {"own": own.read_bytes()}
    assert verb._of_the_page(named, TOKEN) == {}


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("MIEN_TOKEN", "that of the variable")
    assert verb._token(None, None, no_token=False) == "that of the variable"
    assert verb._token(None, file, no_token=False) == verb._token(TOKEN, None, no_token=False) == TOKEN
    with pytest.raises(InputError, match="both give the token"):
        verb._token(TOKEN, file, no_token=False)
    with pytest.raises(InputError, match="the token cannot be read"):
        verb._token(None, tmp_path / "none", no_token=False)


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(MissingExtraError, match=r'the server needs the extra "serve"'):
        serve()


def test_names_of_models_are_never_paths(tmp_path: Path) -> None:
    assert verb._called("mien-tiny") == "mien-tiny"
    assert verb._called(str(tmp_path)) == tmp_path.name
    assert verb._called("somewhere/cnn.onnx") == "cnn"
    assert verb._called(str(tmp_path / "model.onnx")) == tmp_path.name  # as every export is called


@pytest.mark.parametrize("models", [["a/cnn.onnx", "b/cnn.onnx"], ["a/cnn/model.onnx", "b/cnn/model.onnx"]])
def test_two_models_of_one_name(models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"'{models[0]}' and '{models[1]}' would both be called 'cnn'.*rename one"):
        serve(port=0, model=models)


@pytest.mark.parametrize(("host", "private"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)])
def test_whether_others_reach_an_address(host: str, private: bool) -> None:
    with open_socket(host, 0) as bound:
        assert is_private(bound) is private
        assert re.fullmatch(r"http://(\d+\.\d+\.\d+\.\d+|\[::1\]):\d+", url_of(bound))


def test_it_serves_here_alone_until_ctrl_c() -> None:
    command = [
        sys.executable,
        "-c",
        COMMAND,
        "serve",
        "--port",
        "0",
        "--max-request-mb",
        "1",
        "--threads",
        "1",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            line = server.stderr.readline()
            (url,) = re.findall(r"(http://127\.0\.0\.1:\d+)/docs is the API", line)
            picture = PORTRAIT.read_bytes()
            answer = httpx.post(f"{url}/v1/recognize", files={"files": ("a.jpg", picture)}, timeout=30)
            assert answer.json()["images"][0]["faces"][0]["emotion"] == "happy"
            assert "server" not in answer.headers
            assert "<title>mien" in httpx.get(f"{url}/").text
            # The answer comes although the body is not read, whether its size is told or not.
            for body in (b"x" * 20_000_000, iter([b"x" * 2_000_000] * 10)):
                large = httpx.post(f"{url}/v1/recognize", content=body, headers={"Content-Type": "image/png"})
                assert large.status_code == 413
            assert _raw(url, b"POST /v1/recognize HTTP/1.1\r\n\x00\xff: x\r\n\r\n").startswith(b"HTTP/1.1 400")
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 0
            rest = server.stderr.read()
            assert rest.endswith("stopped\n")
            assert "Traceback" not in rest
        finally:
            server.kill()


def _raw(url: str, sent: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        return connection.recv(1000)

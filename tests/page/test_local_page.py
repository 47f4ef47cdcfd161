"""The page's files, as `mien page` hands them out and `mien export --web` writes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien import Run
from mien.cli.main import app
from mien.errors import InputError
from mien.page.files import page_file, page_folder
from mien.page.local import serve_page
from mien.page.site import write_site
from mien.recognize.naming import model_content
from mien.recognize.vendored import read_vendored


@pytest.fixture
def port() -> Iterator[int]:
    server = serve_page(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read()


def test_every_file_is_the_one_that_was_built() -> None:
    lines = (page_folder() / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {file.relative_to(page_folder()).as_posix() for file in page_folder().rglob("*") if file.is_file()}
    assert files == {*sums, "SHA256SUMS"}
    for name, digest in sums.items():
        assert sha256((page_folder() / name).read_bytes()).hexdigest() == digest


def test_what_the_list_offers_is_there() -> None:
    listed = page_file("/models.json")
    assert listed is not None
    offered = json.loads(listed.content)
    for one in [*offered["models"], *offered["detectors"]]:
        file = page_file("/" + one["file"])
        assert file is not None
        folder = "weights" if one in offered["models"] else "detectors"
        assert file.content == read_vendored(folder, Path(one["file"]).name)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/assets/page.js", "text/javascript; charset=utf-8"),
        ("/assets/ort-wasm-simd-threaded.mjs", "text/javascript; charset=utf-8"),
        ("/assets/ort-wasm-simd-threaded.wasm", "application/wasm"),
        ("/models/mien-tiny.onnx", "application/octet-stream"),
    ],
)
def test_types_and_headers_are_those_that_a_browser_needs(port: int, path: str, media_type: str) -> None:
    answer, content = get(port, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
    assert len(content) == int(answer.headers["Content-Length"])
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    again, nothing = get(port, path, If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../errors.py",
        "/models/../../errors.py",
        "/models/..%2f..%2ferrors.py",
        "/assets/",
        "//etc/passwd",
        "/x",
        "/%00",
    ],
)
def test_no_path_leads_out(port: int, path: str) -> None:
    assert get(port, path)[0].status == 404


def test_a_name_that_leads_here_from_elsewhere_is_refused(port: int) -> None:
    assert get(port, "/", Host=f"localhost:{port}")[0].status == 200
    assert get(port, "/", Host="evil.example")[0].status == 421


def test_a_port_that_is_taken_is_told(port: int) -> None:
    with pytest.raises(InputError, match=f"port {port}: .*--port 0"):
        serve_page(port)


def test_a_site_has_one_model_and_can_be_written_again(tmp_path: Path) -> None:
    site = tmp_path / "site"
    result = CliRunner().invoke(app, ["export", "mien-tiny", "--web", str(site)])
    assert result.exit_code == 0, result.output
    offered = json.loads((site / "models.json").read_text(encoding="utf-8"))
    assert offered["models"] == [{"name": "mien-tiny", "file": "models/model.onnx"}]
    for one in [*offered["models"], *offered["detectors"]]:
        assert (site / one["file"]).is_file()
    assert (site / "models" / "model.onnx").read_bytes() == read_vendored("weights", "mien-tiny.onnx")
    assert (site / "assets" / "page.js").read_bytes() == (page_folder() / "assets" / "page.js").read_bytes()
    write_site(site, "mien-small", model_content("mien-small"))
    assert json.loads((site / "models.json").read_text(encoding="utf-8"))["models"][0]["name"] == "mien-small"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds no page of mien"):
        write_site(tmp_path, "mien-tiny", model_content("mien-tiny"))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]
    write_site(tmp_path, "mien-tiny", model_content("mien-tiny"), overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_run_without_a_model_file_is_told_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mien export .* --data"):
        model_content(str(tmp_path / "run"))
    with pytest.raises(InputError, match="not"):
        write_site(tmp_path / "site", "x", b"no model")
    assert not (tmp_path / "site").exists()


def test_a_run_is_exported_in_half_and_shown(trained_run: Run, drawn_zip: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    result = CliRunner().invoke(app, ["export", str(trained_run.folder), "--data", str(drawn_zip), "--web", str(site)])
    assert result.exit_code == 0, result.output
    server = serve_page(0, site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer, content = get(server.server_port, "/models/model.onnx")
    server.shutdown()
    server.server_close()
    assert answer.status == 200
    assert content == (site / "models" / "model.onnx").read_bytes()


def test_web_takes_no_other_file(tmp_path: Path) -> None:
    for extra in (["--int8"], ["--float16"], ["--to", "x.onnx"]):
        result = CliRunner().invoke(app, ["export", "mien-tiny", "--web", str(tmp_path / "site"), *extra])
        assert isinstance(result.exception, InputError)

"""The files of the page, and that nothing else is ever handed out."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from mien.page import files
from mien.page.files import PAGE_HEADERS, is_page_path, page_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page, and a secret beside it."""
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<title>page</title>")
    (tmp_path / "secret.txt").write_text("secret")
    (page / ".hidden").write_text("secret")
    (page / "link.txt").symlink_to(tmp_path / "secret.txt")
    (page / "out").symlink_to(tmp_path)
    monkeypatch.setattr(files, "page_folder", lambda: page)
    return page


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.onnx", "application/octet-stream"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.unknown", "application/octet-stream"),
        ("SHA256SUMS", "application/octet-stream"),
    ],
)
def test_each_file_has_its_type_and_all_headers(folder: Path, name: str, kind: str) -> None:
    (folder / "assets" / name).write_bytes(b"content")
    file = page_file(f"/assets/{name}")
    assert file is not None
    assert (file.content, file.media_type) == (b"content", kind)
    assert file.headers.items() >= {**PAGE_HEADERS, "Content-Type": kind, "ETag": file.etag}.items()


@pytest.mark.parametrize("path", ["/", "", "/index.html"])
def test_a_folder_is_its_index(folder: Path, path: str) -> None:
    file = page_file(path)
    assert file is not None
    assert file.content == b"<title>page</title>"


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/assets/../../secret.txt", "/..", "/.", "/./index.html", "/.hidden", "//index.html",
     "/link.txt", "/out/secret.txt", "/out/", "/assets", "/assets/", "/index.html/", "/index.html\0",
     "\\..\\secret.txt", "/C:/x",
     "/none", "/" + "a" * 300, "/index.html\n", "/ä"],
)  # fmt: skip
def test_nothing_else_is_handed_out(folder: Path, path: str) -> None:
    assert page_file(path) is None
    assert not is_page_path(path)


def test_without_a_page_there_is_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "page_folder", lambda: tmp_path / "none")
    assert page_file("/") is None


def test_what_gets_smaller_is_packed_and_has_an_etag_of_its_own(folder: Path) -> None:
    (folder / "a.wasm").write_bytes(b"wasm" * 1000)
    (folder / "a.onnx").write_bytes(os.urandom(1000))
    plain, packed = page_file("/a.wasm"), page_file("/a.wasm", packed=True)
    assert plain is not None
    assert packed is not None
    assert gzip.decompress(packed.content) == plain.content
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.etag != packed.etag
    random = page_file("/a.onnx", packed=True)
    assert random is not None
    assert not random.packed
    assert "Content-Encoding" not in random.headers


def test_a_file_that_is_built_anew_is_read_anew(folder: Path) -> None:
    file = folder / "a.js"
    file.write_text("old")
    first = page_file("/a.js")
    file.write_text("new")
    os.utime(file, (1, 1))
    second = page_file("/a.js")
    assert first is not None
    assert second is not None
    assert (second.content, first.etag == second.etag) == (b"new", False)

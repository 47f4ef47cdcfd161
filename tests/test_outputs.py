"""Outputs: one rule for all that is written: the suffix fits, no input is written over, nothing of somebody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mien import InputError
from mien.outputs import COPY, FILM, MODEL, PAGE, PICTURE, TABLE, Kind, check_ours, check_output, csv_with, json_with
from mien.recognize.annotate import encoded
from mien.recognize.faces import Face
from mien.recognize.film import Film
from mien.recognize.rows import Row, TableFile
from mien.recognize.vendored import vendored_folder
from mien.report.layout import Page, write_page
from mien.report.style import save

PHOTO = vendored_folder("pictures") / "astronaut.jpg"
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def write_table(path: Path) -> None:
    with TableFile(path, ["sad"]) as table:
        table.write([Row(Face("a.jpg", "sad", {"sad": 1.0}, (0, 0, 1, 1), None, unsure=False), 1)])


def write_film(path: Path) -> None:
    with Film(path, fps=25) as film:
        film.write(NOISE, 0.0)
        film.write(NOISE, 0.04)


def somebodys_png(path: Path) -> None:
    said = PngInfo()
    said.add_text("Comment", "mien")
    said.add_text("Software", "mien of somebody else")
    Image.fromarray(NOISE).save(path, pnginfo=said)


def somebodys_model(path: Path) -> None:
    """Without a card; its text holds the key of one."""
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "mien.card", [ends[0]], [ends[1]])
    onnx.save(onnx.helper.make_model(graph, doc_string="mien.card"), path)


def marked_copy(path: Path) -> None:
    path.write_bytes(encoded(NOISE, path.suffix))


def holds(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


OURS: list[tuple[Kind, str, Callable[[Path], object], Callable[[Path], object]]] = [
    (PICTURE, "a.png", lambda path: save(Figure(), path), somebodys_png),
    (COPY, "a.png", marked_copy, somebodys_png),
    (COPY, "a.jpg", marked_copy, lambda path: shutil.copy(PHOTO, path)),
    (COPY, "a.jpg", marked_copy, lambda path: path.write_bytes(b"\xff\xd8\xff\xfe")),
    (MODEL, "a.onnx", lambda path: shutil.copy(vendored_folder("weights") / "mien-tiny.onnx", path), somebodys_model),
    (FILM, "a.mp4", write_film, lambda path: path.write_bytes(b"\0\0\0\x10free")),
    (TABLE, "a.csv", write_table, holds("source,frame\na,1\n")),
    (TABLE, "a.jsonl", write_table, holds('{"source": "a"}\n')),
    (TABLE, "a.parquet", write_table, lambda path: pq.write_table(pa.table({"mien": [1]}), path)),
    (PAGE, "a.html", lambda path: write_page(Page("A", "", ()), path.parent, path.stem), holds("<p>mien")),
    (csv_with("a", "b"), "a.csv", holds("a,c,b\n"), holds("a,c\nb,b\n")),
    (json_with("a"), "a.json", holds('{"a": 1}'), holds('["a"]')),
    (json_with("a", of_entries=True), "a.json", holds('{"x": {"a": 1}}'), holds('{"a": 1}')),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "ours", "theirs"), OURS)
def test_only_what_has_the_mark_is_replaced(
    tmp_path: Path, kind: Kind, name: str, ours: Callable[[Path], object], theirs: Callable[[Path], object]
) -> None:
    place = tmp_path / name
    check_output(place, kind)  # nothing is there
    ours(place)
    check_output(place, kind)
    for content in (None, b"", b"\0" * 9):
        if content is None:
            theirs(place)
        else:
            place.write_bytes(content)
        with pytest.raises(InputError, match=r"was not written by mien as such a file.*--overwrite"):
            check_output(place, kind)
        check_output(place, kind, overwrite=True)


@pytest.mark.parametrize(("kind", "name", "ours", "theirs"), OURS)
def test_an_input_is_never_written_over_by_whatever_name(
    tmp_path: Path, kind: Kind, name: str, ours: Callable[[Path], object], theirs: Callable[[Path], object]
) -> None:
    place = tmp_path / name
    ours(place)
    hard, soft = tmp_path / f"hard{place.suffix}", tmp_path / f"soft{place.suffix}"
    hard.hardlink_to(place)
    soft.symlink_to(place)
    for other in (place, hard, soft, tmp_path / "x" / ".." / name):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="is read by this command"):
            check_output(other, kind, ["mien-small", place], overwrite=True)
    check_output(place, kind, ["mien-small", tmp_path / "missing", "a\0b"])


def test_what_is_no_ordinary_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is no ordinary file"):
            check_ours(tmp_path / "pipe.png", PICTURE, overwrite=overwrite)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        check_output(tmp_path / "folder.png", PICTURE)


@pytest.mark.parametrize("kind", [PICTURE, MODEL, FILM, TABLE, PAGE])
def test_the_suffix_fits_what_is_written(kind: Kind, tmp_path: Path) -> None:
    for name in ("faces.zip", "model.safetensors", "photo", "a.png.gz"):
        with pytest.raises(InputError, match=f"as .*{kind.suffixes[0]}"):
            check_output(tmp_path / name, kind, overwrite=True)


def test_a_page_is_judged_by_its_html(tmp_path: Path) -> None:
    page = Page("A page", "", ())
    (tmp_path / "report.md").write_text("my own")
    with pytest.raises(InputError, match=r"report\.md: exists and was not written by mien"):
        write_page(page, tmp_path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.md", "my own")]
    write_page(page, tmp_path, overwrite=True)
    write_page(page, tmp_path)
    (tmp_path / "report.html").write_text("<p>my own")
    with pytest.raises(InputError, match=r"report\.html: exists and was not written by mien"):
        write_page(page, tmp_path)

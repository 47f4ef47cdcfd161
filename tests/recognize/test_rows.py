"""Tables of faces: the same rows in every format, whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mien.errors import InputError
from mien.recognize.faces import Face
from mien.recognize.quality import Quality
from mien.recognize.rows import FORMATS, Blank, Row, TableFile, columns

QUALITY = Quality(size=31.5, sharpness=0.812, brightness=99.5, roll=-3.5, yaw=12.0)
FACE = Face(
    "a, b.jpg", "sad", {"happy": 0.25, "sad": 0.75}, (1, 2, 30, 40), 0.87654321, False, QUALITY, ("sad", "happy")
)  # fmt: skip
ROWS = [
    Row(FACE, 1, frame=12, time_s=0.48),
    Row(Face("c.jpg", "happy", {"happy": 0.51, "sad": 0.49}, (0, 0, 5, 6), None, unsure=True), 2),
    Blank("d.mp4", frame=4, time_s=0.2),
    Blank("e.jpg", error="e.jpg: not a picture"),
]
COLUMNS = ["source", "frame", "time_s", "status", "error", "face_id", "x", "y", "width", "height", "detection_score",
           "emotion", "p_happy", "p_sad", "unsure", "format", "face_size", "sharpness", "brightness", "roll", "yaw",
           "why_unsure", "set"]  # fmt: skip
WANTED = [
    [
        "a, b.jpg",
        12,
        0.48,
        "face",
        None,
        1,
        1,
        2,
        30,
        40,
        0.8765,
        "sad",
        0.25,
        0.75,
        False,
        5,
        31.5,
        0.812,
        99.5,
        -3.5,
        12.0,
        None,
        "sad|happy",
    ],
    [
        "c.jpg",
        None,
        None,
        "face",
        None,
        2,
        0,
        0,
        5,
        6,
        None,
        "happy",
        0.51,
        0.49,
        True,
        5,
        *[None] * 5,
        "not sure",
        None,
    ],
    ["d.mp4", 4, 0.2, "no_face", *[None] * 11, 5, *[None] * 7],
    ["e.jpg", None, None, "error", "e.jpg: not a picture", *[None] * 10, 5, *[None] * 7],
]


def written(path: Path) -> list[dict[str, Any]]:
    with TableFile(path, ("happy", "sad")) as table:
        table.write(ROWS[:1])
        table.write(ROWS[1:])
    assert (table.rows, table.faces) == (4, 2)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_holds_the_same(suffix: str, tmp_path: Path) -> None:
    rows = written(tmp_path / "new" / f"faces{suffix}")
    assert [list(row) for row in rows] == [COLUMNS] * 4
    told: Any = WANTED
    if suffix == ".csv":
        told = [["" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in row] for row in WANTED]
    assert [list(row.values()) for row in rows] == told


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_without_a_face_has_its_columns(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{suffix}"
    with TableFile(path, ("happy", "sad")):
        pass
    if suffix == ".csv":
        assert path.read_text().strip().split(",") == COLUMNS
    elif suffix == ".parquet":
        assert pq.read_table(path).column_names == COLUMNS
    assert columns(("happy", "sad")) == COLUMNS


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_error_leaves_no_table(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"faces{suffix}"
    path.write_text("old")
    with pytest.raises(AttributeError), TableFile(path, ("happy", "sad")) as table:
        table.write([*ROWS, None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_places_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot tell the format of a table by '\.xlsx'. Expected \.csv, \.jsonl"):
        TableFile(tmp_path / "faces.xlsx", ("happy",))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        TableFile(tmp_path / "folder.csv", ("happy",))
    (tmp_path / "file").write_text("")
    for suffix in FORMATS:
        with pytest.raises(InputError, match="cannot be written"):
            TableFile(tmp_path / "file" / f"faces{suffix}", ("happy",))


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    odd = b"\xff.jpg".decode("utf-8", "surrogateescape")
    with TableFile(tmp_path / "t.csv", ("happy", "sad")) as table:
        table.write([Row(Face(odd, "sad", FACE.probabilities, FACE.box, None, unsure=False), 1)])
    assert b"\xff.jpg," in (tmp_path / "t.csv").read_bytes()

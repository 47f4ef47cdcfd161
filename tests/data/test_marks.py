"""Marks: what a CSV of marked faces may say, and each way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import InputError
from mien.data.marks import Mark, Photo, check_inside, read_marks
from mien.labels import FER7

HEADER = "source,x,y,width,height,label"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/ß, b.png"):
        Image.fromarray(np.zeros((40, 60), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    file = folder / "marks.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def test_photos_in_order_with_their_faces(folder: Path) -> None:
    file = written(
        folder,
        'a.png,1,2,10.5,12,Happiness,"old, tall"',
        '"sub/ß, b.png",0,0,20,20,-,',
        "a.png,30,2,10,12,sad,",
        header="Source, X ,y,width,height,LABEL,group",
    )
    first, second = read_marks(file, FER7.labels)
    assert (first.source, first.path, first.lines) == ("a.png", folder / "a.png", (2, 4))
    assert first.marks == (Mark((1, 2, 10.5, 12), "happy", "old, tall"), Mark((30, 2, 10, 12), "sad", ""))
    assert second.source == "sub/ß, b.png"
    assert second.marks == (Mark((0, 0, 20, 20), None, ""),)


def test_a_photo_without_faces(folder: Path) -> None:
    (only,) = read_marks(written(folder, "a.png,,,,,"), FER7.labels)
    assert only.marks == ()


def test_labels_under_other_names(folder: Path) -> None:
    file = written(folder, "a.png,1,1,9,9,joy!", "a.png,2,1,9,9,contempt", "a.png,3,1,9,9,angry")
    (photo,) = read_marks(file, FER7.labels, {"joy!": "happy", "contempt": None})
    assert [mark.label for mark in photo.marks] == ["happy", None, "angry"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "marks no face"),
        (["a.png,1,2,10,12"], "line 2: 5 values, expected 6"),
        (["a.png,1,2,10,12,happy,more"], "line 2: 7 values, expected 6"),
        ([",1,2,10,12,happy"], "line 2: has no source"),
        (["a.png,one,2,10,12,happy"], "line 2: x is 'one', expected a number"),
        (["a.png,1,nan,10,12,happy"], "line 2: y is 'nan', expected a number"),
        (["a.png,1,2,inf,12,happy"], "line 2: width is 'inf', expected a number"),
        (["a.png,1,2,10,,happy"], "line 2: height is nothing, expected a number"),
        (["a.png,1,2,0,12,happy"], "line 2: a box of 0 × 12 pixels"),
        (["a.png,1,2,10,-3,happy"], "line 2: a box of 10 × -3 pixels"),
        (["a.png,1,2,10,12,"], "line 2: has no label. Write -"),
        (
            ["a.png,1,2,10,12,hapy"],
            r"line 2: the model knows no label 'hapy'. Did you mean 'happy'\? .* --labels hapy=",
        ),
        (["a.png,1,2,9,9,sad", "b.png,1,2,9,9,sad"], "line 3: no such picture: .*b.png"),
        (["a.png,1,2,9,9,sad", "a.png,1,2,9.0,9,happy"], "line 3: marks the same face of a.png as line 2"),
        (["a.png,1,2,9,9,sad", "a.png,,,,,"], "line 3: says that a.png has no face; line 2 marks one"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, lines: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_marks(written(folder, *lines), FER7.labels)


def test_files_that_are_no_marks(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"expected the columns .*; width, height, label not there, found: source, x, y"
    ):
        read_marks(written(folder, "a.png,1,2", header="source,x,y"), FER7.labels)
    with pytest.raises(InputError, match=r"is a folder\. Name the CSV"):
        read_marks(folder, FER7.labels)
    with pytest.raises(InputError, match="no such file"):
        read_marks(folder / "none.csv", FER7.labels)
    empty = folder / "empty.csv"
    empty.write_bytes(b"")
    with pytest.raises(InputError, match="found: none"):
        read_marks(empty, FER7.labels)
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_marks(folder / "a.png", FER7.labels)


def test_a_box_beyond_the_picture(folder: Path) -> None:
    def marked(*box: float) -> Photo:
        line = ",".join(map(str, box))
        (photo,) = read_marks(written(folder, f"a.png,{line},sad"), FER7.labels)
        return photo

    csv = folder / "marks.csv"
    check_inside(marked(0, 0, 60, 40), (60, 40), csv)
    check_inside(marked(-0.7, 0, 60.7, 40.9), (60, 40), csv)  # rounded
    for box in ((50, 0, 12, 10), (0, 35, 10, 10), (-3, 0, 10, 10), (500, 500, 5, 5)):
        with pytest.raises(InputError, match=r"line 2: the box .* reaches beyond a.png, which has 60 × 40 pixels"):
            check_inside(marked(*box), (60, 40), csv)

"""mien evaluate --photos, as a person meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mien.recognize.vendored import vendored_folder

MARKS = "source,x,y,width,height,label,group\nastronaut.jpg,170,70,110,140,happy,pilots\n"


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    shutil.copyfile(vendored_folder("pictures") / "astronaut.jpg", tmp_path / "astronaut.jpg")
    file = tmp_path / "marks.csv"
    file.write_text(MARKS)
    return file


def test_a_table_sentences_and_a_page(marks: Path, mien) -> None:
    told = mien("evaluate", "mien-tiny", "--photos", marks, "--out", marks.parent / "out")
    assert told.code == 0, told.err
    assert "Missed: .000 [.000, .793] of 1 marked face in 1 photo." in told.out
    assert "group pilots (few)" in told.out
    page = (marks.parent / "out" / "photos.html").read_text()
    assert "photo in, emotion out" in page
    kept = json.loads((marks.parent / "out" / "photos.json").read_text())
    assert kept["faces"][0]["answer"] == "happy"
    assert mien("evaluate", "mien-tiny", "--photos", marks, "--out", marks.parent / "out").code == 0  # its own files


def test_json_and_the_other_detector(marks: Path, mien) -> None:
    told = json.loads(mien("evaluate", "mien-tiny", "--photos", marks, "--detector", "fast", "--json").out)
    assert (told["detector"], told["whole"]["marked"], told["whole"]["read"]) == ("fast", 1, 1)


def test_other_names_of_labels(marks: Path, mien) -> None:
    marks.write_text(MARKS.replace("happy", "grin"))
    assert "--labels grin=NAME" in mien("evaluate", "mien-tiny", "--photos", marks).err
    told = mien("evaluate", "mien-tiny", "--photos", marks, "--labels", "grin=happy", "--json")
    assert json.loads(told.out)["whole"]["accuracy"]["value"] == 1
    told = mien("evaluate", "mien-tiny", "--photos", marks, "--labels", "grin=-", "--json")
    assert json.loads(told.out)["whole"]["accuracy"] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--photos", "MARKS", "--data", "x"], "--data is for face crops"),
        (["--photos", "MARKS", "--leaks"], "--leaks is for face crops"),
        (["--photos", "MARKS", "--prior", "balanced"], "--prior is for face crops"),
        (["--photos", "MARKS", "--votes", "x", "--report"], "--votes, --report are for face crops"),
        (["--photos", "MARKS", "--detector", "none"], "--detector default or fast"),
        (["--photos", "MARKS", "--detector", "best"], "unknown detector 'best'"),
        (["--photos", "MARKS", "--labels", "a,b"], "CLASS=NAME"),
        (["--photos", "none.csv"], "none.csv: no such file"),
        ([], "name labeled face crops (--data PATH), or marked photos (--photos CSV)"),
        (["--data", "x", "--detector", "fast"], "--detector is for --photos"),
    ],
)
def test_what_cannot_be_asked_is_told(marks: Path, mien, options: list[str], told: str) -> None:
    answer = mien("evaluate", "mien-tiny", *[str(marks) if one == "MARKS" else one for one in options])
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err


def test_somebody_elses_page_stays(marks: Path, mien) -> None:
    out = marks.parent / "out"
    out.mkdir()
    (out / "photos.html").write_text("mine")
    answer = mien("evaluate", "mien-tiny", "--photos", marks, "--out", out)
    assert answer.code == 2
    assert (out / "photos.html").read_text() == "mine"

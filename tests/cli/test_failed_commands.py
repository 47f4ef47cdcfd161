"""A command that fails leaves nothing behind: the folder is as it was, and the corrected command runs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.images import read
from mien.recognize.vendored import vendored_folder

PHOTO = vendored_folder("pictures") / "astronaut.jpg"
FAST = ["--model", "mien-tiny", "--detector", "fast"]
MISTAKES = """
train cnn-v9 --data faces.zip --out new/runs/x
train cnn-v1 --data none.zip --out new/runs/x
train cnn-v1 --data faces.zip --votes none.csv --out new/runs/x
train cnn-v1 --data faces.zip --branch none --out new/runs/x
train cnn-v1 --data faces.zip --start mien-tiny --out new/runs/x
train cnn-v1 --data none.zip --find-lr --out new/runs/x
evaluate mien-tiny --data faces.zip --split tset --report --out new/evidence
evaluate mien-tiny --data none.zip --report --out new/evidence
compare mien-tiny none --out new/compared
study --data none.zip --out new/study
study --data faces.zip --out new/study --recipes cnn-v1 --seeds x
sweep cnn-v1 --data faces.zip --out new/sweep --grid optimizer.l=1e-3
ensemble none other --out new/ensemble
export mien-tiny --float16 --data faces.zip --to new/model.onnx
export mien-tiny --int8 --data none.zip --to new/model.onnx
export none --web new/site
calibrate mien-tiny --data none.zip --to new/model.onnx
explain mien-tiny none.jpg --out new/x.png
explain mien-tiny none.jpg --out new/explained
explain mien-tiny photo.jpg --label hapy --out new/x.png
card mien-tiny --evidence none.json --out new/card
data stats none.zip --plot new/x.png
data draw new/drawn --count 0
recognize none.jpg --out new/faces.csv
recognize none.jpg other.jpg --out new/faces.parquet
recognize none.jpg --plot new/x.png --annotate new/marked
recognize empty --out new/faces.jsonl
recognize photo.jpg --model none --out new/faces.csv
recognize none.mp4 --out new/faces.csv --annotate new/film --timeline new/x.png
recognize none.mp4 other.mp4 --out new/faces.csv
recognize camera:77 --out new/faces.csv --annotate new/film
""".strip().splitlines()


@pytest.fixture
def here(drawn_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(drawn_zip, tmp_path / "faces.zip")
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_leaves_nothing(line: str, mien, here: Path) -> None:
    before = sorted(here.rglob("*"))
    done = mien(*line.split())
    assert done.code in (1, 2), done
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_corrected_command_writes_the_table(suffix: str, mien, here: Path) -> None:
    out = here / f"faces{suffix}"
    done = mien("recognize", "fhoto.jpg", *FAST, "--out", out)
    assert done.code == 2
    assert f"{out}: not written, as no picture could be recognized" in done.err
    assert mien("recognize", "photo.jpg", *FAST, "--out", out).code == 0
    assert out.is_file()


def test_a_table_with_something_in_it_tells_of_what_failed(mien, here: Path) -> None:
    assert mien("recognize", "photo.jpg", "none.jpg", *FAST, "--out", "faces.csv").code == 1
    with (here / "faces.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["face", "error"]


def test_an_older_table_survives_a_mistake(mien, here: Path) -> None:
    assert mien("recognize", "photo.jpg", *FAST, "--out", "faces.csv").code == 0
    before = (here / "faces.csv").read_bytes()
    assert mien("recognize", "none.jpg", *FAST, "--out", "faces.csv", "--overwrite").code == 2
    assert mien("recognize", "none.mp4", "other.mp4", *FAST, "--out", "faces.csv", "--overwrite").code == 1
    assert (here / "faces.csv").read_bytes() == before


def test_the_corrected_command_writes_the_table_of_videos(mien, here: Path) -> None:
    film = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (512, 512))
    film.write(np.ascontiguousarray(read(PHOTO)[..., ::-1]))
    film.release()
    done = mien("recognize", "klip.mp4", "other.mp4", *FAST, "--out", "clip.csv")
    assert (done.code, (here / "clip.csv").exists()) == (1, False)
    assert "clip.csv: not written" in done.err
    assert mien("recognize", "clip.mp4", *FAST, "--out", "clip.csv").code == 0
    with (here / "clip.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["face"]


def test_a_journal_in_which_nothing_is_done_is_in_nobodys_way(mien, here: Path) -> None:
    """As a command leaves it that was killed, or stopped, before its first picture was done."""
    stopped = {"format": 2, "model": "other", "detector": "default", "detect_size": 640, "threshold": 0.5, "truth": "x",
               "require_face": False, "inputs": ["/elsewhere"]}  # fmt: skip
    failed = {"source": "/elsewhere/a.jpg", "id": "/elsewhere/a.jpg", "error": "a.jpg: cannot be read"}
    journal = here / "faces.csv.journal"
    journal.write_text(json.dumps(stopped) + "\n" + json.dumps(failed) + "\n")
    assert mien("recognize", "photo.jpg", *FAST, "--out", "faces.csv").code == 0
    assert not journal.exists()
    assert "elsewhere" not in (here / "faces.csv").read_text()


def test_somebody_elses_journal_is_kept(mien, here: Path) -> None:
    journal = here / "faces.csv.journal"
    journal.write_text('{"format": 2, "day": "Monday"}\n')
    done = mien("recognize", "photo.jpg", *FAST, "--out", "faces.csv")
    assert done.code == 2
    assert journal.read_text() == '{"format": 2, "day": "Monday"}\n'

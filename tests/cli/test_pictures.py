"""mien recognize on pictures, as a person meets it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import Recognizer
from mien.recognize import stream
from mien.recognize.journal import Journal
from mien.recognize.vendored import vendored_folder
from mien.report import style

PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"
FAST = ["--model", "mien-tiny", "--detector", "fast"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A portrait, a picture without a face below it, and a file that is no picture."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    shutil.copyfile(PORTRAIT, folder / "a.jpg")
    Image.fromarray(np.full((60, 80, 3), 99, dtype=np.uint8)).save(folder / "more" / "b.gif")
    (folder / "more" / "c.png").write_bytes(b"no picture")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_photo_with_nothing_else_said(mien) -> None:
    done = mien("recognize", PORTRAIT)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{PORTRAIT}: happy  happy 0.9")


def test_json_is_a_line_for_each_picture(mien, album: Path) -> None:
    done = mien("recognize", album, *FAST, "--json")
    assert done.code == 1
    first, second, third = map(json.loads, done.out.splitlines())
    assert (first["source"], first["width"], first["height"]) == (str(album / "a.jpg"), 512, 512)
    (face,) = first["faces"]
    assert face["emotion"] == "happy"
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert face["box"] == pytest.approx([172, 74, 106, 106], abs=6)
    assert second["faces"] == []
    assert "not a picture" in third["error"]


def test_a_folder_as_a_table_with_marked_copies(mien, album: Path, tmp_path: Path) -> None:
    table, marked = tmp_path / "out" / "faces.csv", tmp_path / "marked"
    done = mien("recognize", album, *FAST, "--out", table, "--annotate", marked)
    assert done.code == 1
    assert done.out == ""
    assert "c.png: not a picture" in done.err
    assert "table: " in done.err
    assert "3 pictures: 1 with a face, 1 failed" in done.err
    told = rows(table)
    assert [(row["source"], row["status"], row["face_id"], row["emotion"]) for row in told] == [
        (str(album / "a.jpg"), "face", "1", "happy"),
        (str(album / "more" / "b.gif"), "no_face", "", ""),
        (str(album / "more" / "c.png"), "error", "", ""),
    ]
    assert [row["error"].partition(": ")[2][:13] for row in told] == ["", "", "not a picture"]
    assert [file.name for file in table.parent.iterdir()] == ["faces.csv"]
    copy = np.asarray(Image.open(marked / "a.jpg"), dtype=int)
    plain = np.asarray(Image.open(PORTRAIT), dtype=int)
    changed = np.abs(copy - plain).max(axis=2) > 60
    assert changed[60:260, 160:300].mean() > 0.1, "box and bars"
    assert changed[300:].mean() < 0.01, "nothing else"
    assert Image.open(marked / "more" / "b.gif.png").size == (80, 60)

    again = mien("recognize", album, *FAST, "--out", table)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert mien("recognize", album / "a.jpg", *FAST, "--out", table, "--overwrite").code == 0


def test_a_stopped_run_goes_on(mien, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        shutil.copyfile(PORTRAIT, album / f"d{i:02}.jpg")
    (album / "more" / "c.png").unlink()
    table = tmp_path / "faces.csv"
    read, opened, stops_at = stream.read, [], ["d14.jpg"]

    def stops(path: Path):  # type: ignore[no-untyped-def]
        opened.append(path.name)
        if path.name in stops_at:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(stream, "read", stops)
    stopped = mien("recognize", album, *FAST, "--out", table)
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    assert not table.exists()
    first = set(opened)
    opened.clear()
    stops_at.clear()
    assert mien("recognize", album, *FAST, "--out", table).code == 0
    assert len(rows(table)) == 22
    assert len({row["source"] for row in rows(table)}) == 22
    assert [row["source"] for row in rows(table) if row["status"] != "face"] == [str(album / "more" / "b.gif")]
    assert 0 < len(opened) < 22 - 7, f"what was done is done: {first}"


def test_require_face(mien, album: Path) -> None:
    blank = album / "more" / "b.gif"
    plain = mien("recognize", blank, *FAST)
    assert (plain.code, plain.out) == (0, f"{blank}: no face found\n")
    asked = mien("recognize", blank, *FAST, "--require-face")
    assert asked.code == 2
    assert f"error: {blank}: no face found" in asked.err


def test_abstaining(mien) -> None:
    assert "happy (unsure)" in mien("recognize", PORTRAIT, *FAST, "--abstain", "1").out
    assert "unsure" not in mien("recognize", PORTRAIT, *FAST, "--abstain", "0").out


def test_plot_of_several_faces(mien, tmp_path: Path) -> None:
    done = mien("recognize", PORTRAIT, PORTRAIT.parent, *FAST, "--plot", tmp_path / "faces.png")
    assert done.code == 0, done.err
    picture = Image.open(tmp_path / "faces.png")
    assert picture.height > 4 * style.DPI


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg: cannot be read (No such file or directory)"),
        (["*.tiff"], "*.tiff: no file fits this pattern"),
        (["."], "no pictures found in it"),
        ([PORTRAIT, "--out", "faces.xls"], "Expected .csv, .jsonl, .parquet"),
        ([PORTRAIT, "--out", "file/faces.csv"], "cannot be written"),
        ([PORTRAIT, "--annotate", "file/marked"], "cannot be written"),
        ([PORTRAIT, "--plot", "file/plot.png"], "cannot be written"),
        ([PORTRAIT, "--plot", "plot.jpg"], "let the name end in .png"),
        ([PORTRAIT, "--model", "mien-smal"], "Did you mean 'mien-small'"),
        ([PORTRAIT, "--detector", "haar"], "unknown detector 'haar'. Known: default, fast, none"),
        ([PORTRAIT, "--detect-size", "9"], "expected 64 to 4096 pixels"),
        ([PORTRAIT, "--abstain", "50"], "expected a probability, 0 to 1"),
        ([PORTRAIT, "--threads", "0"], "expected 1 or more"),
    ],
)
def test_mistakes_are_one_clear_line(
    mien, arguments: list[object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    done = mien("recognize", *arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_the_pictures_themselves_are_never_written_over(mien, album: Path, tmp_path: Path) -> None:
    before = (album / "a.jpg").read_bytes()
    for arguments in ([album / "a.jpg", "--annotate", album], [album, "--annotate", album],
                      [album, "--annotate", album / "more"], [album, "--annotate", album / "marked"]):  # fmt: skip
        done = mien("recognize", *arguments, *FAST)
        assert done.code == 2
        assert "name another folder for what is written" in done.err
    assert (album / "a.jpg").read_bytes() == before
    photo = Path(shutil.copy(album / "a.jpg", tmp_path / "photo.png"))
    for place, why in ((photo, "is read by this command"), (tmp_path, "name another place for what is written")):
        done = mien("recognize", place, "--plot", photo, *FAST, "--overwrite")
        assert done.code == 2
        assert why in done.err
    assert photo.read_bytes() == before
    assert sorted(path.name for path in album.iterdir()) == ["a.jpg", "more"]


def test_copies_of_a_stopped_run_are_all_there_under_names_of_their_own(
    mien, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.cli import pictures

    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        shutil.copyfile(PORTRAIT, tmp_path / name / "a.jpg")
    write, stops_at = pictures._Marked.write, ["y"]

    def stops(self, outcome):  # type: ignore[no-untyped-def]
        if outcome.input.path.parent.name in stops_at:
            raise KeyboardInterrupt
        write(self, outcome)

    monkeypatch.setattr(pictures._Marked, "write", stops)
    arguments = ["recognize", tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg", *FAST, "--out", tmp_path / "t.csv",
                 "--annotate", tmp_path / "marked"]  # fmt: skip
    stopped = mien(*arguments)
    assert stopped.code == 130
    assert "1 pictures are done" in stopped.err
    stops_at.clear()
    assert mien(*arguments).code == 0
    assert sorted(path.name for path in (tmp_path / "marked").iterdir()) == ["a-2.jpg", "a.jpg"]


def test_after_overwrite_the_way_to_go_on_is_another(mien, album: Path, tmp_path: Path, monkeypatch) -> None:
    def stops(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "read", stops)
    stopped = mien("recognize", album, *FAST, "--out", tmp_path / "t.csv", "--overwrite")
    assert "the same command without --overwrite goes on" in stopped.err


def test_a_picture_that_fails_at_the_end_of_a_stopped_run_is_one_of_many(mien, album: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with Journal(table, {**Recognizer(*FAST[1:2], detector="fast").settings, "require_face": False}) as journal:
        for name in ("a.jpg", "more/b.gif"):
            journal.add(str(album / name), [])
    done = mien("recognize", album, *FAST, "--out", table)
    assert done.code == 1
    other = mien("recognize", album, *FAST, "--out", table, "--overwrite", "--require-face")
    assert other.code == 1
    assert "b.gif: no face found" in other.err


def test_a_table_holds_each_file_once(mien, album: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    mien("recognize", album / "a.jpg", album, album / "more", *FAST, "--out", table)
    assert [row["source"] for row in rows(table)] == [
        str(album / name) for name in ("a.jpg", "more/b.gif", "more/c.png")
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_names_that_are_no_utf8(suffix: str, tmp_path: Path) -> None:
    """Under a terminal that takes no other bytes, which C.UTF-8 and pytest's own capture would hide."""
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copyfile(PORTRAIT, folder / b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
    command = [sys.executable, "-c", "from mien.cli.main import main; main()", "recognize", str(folder), *FAST]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    told = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert told.returncode == 0, told.stderr
    assert b"caf\xe9.jpg: happy" in told.stdout
    table = tmp_path / f"t.{suffix}"
    kept = subprocess.run([*command, "--out", str(table)], capture_output=True, env=environment, check=False)
    assert kept.returncode == 0, kept.stderr
    assert table.stat().st_size > 100


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_told(mien, album: Path) -> None:
    (album / "more").chmod(0)
    done = mien("recognize", album, *FAST)
    (album / "more").chmod(0o700)
    assert done.code == 1
    assert "more: cannot be read (Permission denied)" in done.err

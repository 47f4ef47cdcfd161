"""Folders of videos, and of photos and videos: one command, one table, and summaries beside it."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

import mien as package
from mien.labels import FER7

PORTRAIT = Path(package.__file__).parent / "recognize" / "pictures" / "astronaut.jpg"
FRAMES, FPS = 20, 10
QUICK = ("--model", "mien-tiny", "--detector", "fast", "--fps", "5")
Mien = Callable[..., Any]


def film(path: Path, seen: Callable[[int], bool]) -> None:
    """Two seconds of a wall, before which the portrait is where `seen` says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (240, 240))
    portrait = cv2.resize(cv2.imread(str(PORTRAIT)), (200, 200), interpolation=cv2.INTER_AREA)
    for i in range(FRAMES):
        image = np.full((240, 240, 3), 90, np.uint8)
        image[:, ::30] = 40
        if seen(i):
            image[20:220, 20:220] = portrait
        writer.write(image)
    writer.release()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three interviews: one seen all the time, one for its second half, one never; and a photo and a text."""
    film(tmp_path / "both" / "p1.mp4", lambda _: True)
    film(tmp_path / "both" / "later" / "p2.avi", lambda i: i >= FRAMES // 2)
    film(tmp_path / "both" / "p3.mp4", lambda _: False)
    (tmp_path / "both" / "z.jpg").write_bytes(PORTRAIT.read_bytes())
    (tmp_path / "both" / "notes.txt").write_text("of the interviewer")
    (tmp_path / "about.csv").write_text(
        "source,participant,condition\np1.mp4,A,calm\nlater/p2.avi,B,tense\np3,C,calm\nghost,D,tense\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_videos_is_one_command_and_one_table(mien: Mien, folder: Path) -> None:
    (folder / "both" / "z.jpg").unlink()
    got = mien("recognize", "both", *QUICK, "--out", "t.csv", "--annotate", "marked", "--timeline", "time.png")
    assert got.code == 0, got.err
    table = rows("t.csv")
    assert list(dict.fromkeys(row["source"] for row in table)) == ["both/p1.mp4", "both/p3.mp4", "both/later/p2.avi"]
    for name, faces in {"both/p1.mp4": 10, "both/p3.mp4": 0, "both/later/p2.avi": 5}.items():
        assert [row["status"] for row in table if row["source"] == name].count("face") == faces
    assert sorted(path.name for path in (folder / "marked").iterdir()) == ["p1.mp4", "p2.mp4", "p3.mp4"]
    assert len(list(folder.glob("time-*.png"))) == 3


def test_photos_and_videos_are_read_each_in_their_own_way_into_one_table(mien: Mien, folder: Path) -> None:
    got = mien("recognize", "both", *QUICK, "--out", "t.csv", "--annotate", "marked")
    assert got.code == 0, got.err
    assert ".txt 1" in got.err
    assert ".mp4" not in got.err.partition("left out")[2].partition("\n")[0]
    table = rows("t.csv")
    assert table[0]["source"] == "both/z.jpg"
    assert table[0]["frame"] == table[0]["time_s"] == ""
    assert [row["source"] for row in table].count("both/p1.mp4") == 10
    assert {"z.jpg", "p1.mp4"} <= {path.name for path in (folder / "marked").iterdir()}
    assert not list(folder.glob("*.journal"))
    again = mien("recognize", "both", *QUICK, "--out", "t.csv")
    assert again.code == 2
    assert "exists already" in again.err


def test_a_bad_file_of_either_kind_is_a_row_and_the_exit_code_tells_it(mien: Mien, folder: Path) -> None:
    (folder / "both" / "bad.mp4").write_text("no video")
    (folder / "both" / "bad.jpg").write_text("no picture")
    got = mien("recognize", "both", *QUICK, "--out", "t.csv", "--summary", "by-video")
    assert got.code == 1
    errors = {row["source"]: row["error"] for row in rows("t.csv") if row["status"] == "error"}
    assert set(errors) == {"both/bad.jpg", "both/bad.mp4"}
    assert len([row for row in rows("t.csv") if row["status"] == "face"]) == 16
    (failed,) = [row for row in rows("t-by-video.csv") if row["error"]]
    assert (failed["source"], failed["length_s"]) == ("both/bad.mp4", "")
    for name in errors:
        (folder / name).rename(folder / Path(name).name)
    (folder / "only").mkdir()
    (folder / "bad.mp4").rename(folder / "only" / "bad.mp4")
    assert mien("recognize", "only", *QUICK, "--out", "none.csv").code == 2
    assert not (folder / "none.csv").exists()


def test_the_pictures_of_a_stopped_run_are_not_done_again(
    mien: Mien, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.cli.films import Films

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Films, "run", stopped)
        got = mien("recognize", "both", *QUICK, "--out", "t.csv")
    assert got.code == 130
    assert "1 pictures are done; the same command goes on" in got.err
    got = mien("recognize", "both", *QUICK, "--out", "t.csv")
    assert got.code == 0
    assert "going on: 1 pictures are done already" in got.err
    assert len([row for row in rows("t.csv") if row["status"] == "face"]) == 16


def stop_in(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Ctrl-C at the third look at the video of this number; the names of those that are opened."""
    from mien.recognize import summary, video

    opened: list[str] = []
    add, begin = summary.Summary.add, video.Video.__init__

    def begun(self: Any, source: Any) -> None:
        opened.append(str(source))
        begin(self, source)

    def added(self: Any, rows: Any, time_s: float) -> None:
        add(self, rows, time_s)
        if len(opened) == number and self.looks == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(summary.Summary, "add", added)
    monkeypatch.setattr(video.Video, "__init__", begun)
    return opened


@pytest.mark.parametrize("photos", [True, False])
def test_a_stopped_run_begins_again_with_the_video_that_was_under_way(
    mien: Mien, folder: Path, monkeypatch: pytest.MonkeyPatch, photos: bool
) -> None:
    (folder / "both" / "aa.mp4").write_text("no video")  # fails in both runs, and is tried in both
    if not photos:
        (folder / "both" / "z.jpg").unlink()
    asked = ("both", *QUICK, "--annotate", "marked", "--summary", "by-video", "--summary", "by-face")
    assert mien("recognize", *asked, "--out", "whole.csv").code == 1
    with monkeypatch.context() as patch:
        opened = stop_in(patch, 3)
        got = mien("recognize", *asked, "--out", "t.csv")
    assert got.code == 130
    assert opened == ["both/aa.mp4", "both/p1.mp4", "both/p3.mp4"]
    assert "1 of 4 videos are done; the same command goes on with both/p3.mp4" in got.err
    assert not list(folder.glob("t*.csv"))
    with monkeypatch.context() as patch:
        opened = stop_in(patch, 99)
        got = mien("recognize", *asked, "--out", "t.csv")
    assert got.code == 1, got.err
    assert "going on: 1 of 4 videos are done already" in got.err
    assert opened == ["both/aa.mp4", "both/p3.mp4", "both/later/p2.avi"]
    first = sorted(Path("whole.csv").read_text().splitlines())
    assert sorted(Path("t.csv").read_text().splitlines()) == first
    for name in ("by-video", "by-face"):
        assert Path(f"t-{name}.csv").read_bytes() == Path(f"whole-{name}.csv").read_bytes()
    assert not list(folder.glob("*.journal"))


def test_what_is_finished_is_not_mixed_with_another_command(
    mien: Mien, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "both" / "z.jpg").unlink()
    with monkeypatch.context() as patch:
        stop_in(patch, 2)
        assert mien("recognize", "both", *QUICK, "--out", "t.csv").code == 130
    journal = folder / "t.csv.videos.journal"
    whole = journal.read_bytes()
    for words, why in (
        (("both", *QUICK, "--smooth", "0"), "smooth_s was 0.4, now 0.0"),
        (("both/p3.mp4", "both/later/p2.avi", *QUICK), "was begun with other videos"),
    ):
        got = mien("recognize", *words, "--out", "t.csv")
        assert got.code == 2
        assert why in got.err
        assert journal.read_bytes() == whole
    journal.write_bytes(whole.splitlines(keepends=True)[0] + b'{"look": 1}\n')
    got = mien("recognize", "both", *QUICK, "--out", "t.csv")
    assert (got.code, "is not what mien writes there" in got.err) == (2, True)
    journal.write_bytes(whole + b'{"look": ["both/p3.mp4", 1, 0.1')  # as a killed command leaves it
    got = mien("recognize", "both", *QUICK, "--out", "t.csv")
    assert got.code == 0, got.err
    assert len([row for row in rows("t.csv") if row["status"] == "face"]) == 15


def test_a_run_that_is_stopped_in_its_first_video_leaves_nothing(
    mien: Mien, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "both" / "z.jpg").unlink()
    with monkeypatch.context() as patch:
        stop_in(patch, 1)
        got = mien("recognize", "both", *QUICK, "--out", "t.csv")
    assert (got.code, "no table was written" in got.err) == (130, True)
    assert not list(folder.glob("t.csv*"))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_summaries_of_a_job_in_parts_are_those_without_parts(mien: Mien, folder: Path, suffix: str) -> None:
    (folder / "both" / "bad.mp4").write_text("no video")
    asked = ("--summary", "by-face", "--summary", "by-video", "--metadata", "about.csv", "--group-by", "condition")
    assert mien("recognize", "both", *QUICK, "--out", f"t{suffix}", *asked).code == 1
    local = ("--engine", "local", "--part", "8", "--out", "faces")
    done = mien("recognize", "both", *QUICK, *local, "--table", f"p{suffix}", *asked)
    assert done.code == 1, done.err
    written = sorted(folder.glob(f"t-*{suffix}"))
    assert len(written) == 3
    for one in written:
        assert one.read_bytes() == one.with_name("p" + one.name[1:]).read_bytes()
    again = mien("recognize", "both", *QUICK, *local, "--summary", "by-video")  # of parts that are done
    assert "by-video" in again.out
    assert "both/p1.mp4" in again.out


def test_a_summary_of_pictures_alone_is_refused_in_parts_too(mien: Mien, folder: Path) -> None:
    (picture, *_) = sorted(one.name for one in (folder / "both").iterdir() if one.suffix in (".png", ".jpg"))
    asked = ("--engine", "local", "--out", "faces", "--summary", "by-face")
    done = mien("recognize", f"both/{picture}", *QUICK, *asked)
    assert (done.code, done.out) == (2, "")
    assert "summaries are of videos, and none is among what was named" in done.err
    assert not (folder / "faces").exists()


def test_parts_of_an_older_mien_have_no_summaries_and_say_so(
    mien: Mien, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = ("--engine", "local", "--part", "8", "--out", "faces")
    with monkeypatch.context() as patch:
        patch.setattr("mien.scale.parts._SUMMARY", "of.another")
        assert mien("recognize", "both", *QUICK, *local).code == 0
    told = mien("recognize", "both", *QUICK, *local, "--summary", "by-video")
    assert told.code == 2
    assert "older mien, which kept no summaries" in told.err


def test_options_of_both_kinds_are_taken_where_both_are(mien: Mien, folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "both" / "z.jpg").rename(folder / "photos" / "z.jpg")
    for words, why in (
        (("photos", *QUICK), "--fps is for videos"),
        (("photos", "--summary", "by-video"), "--summary is for videos"),
        (("both", "--require-face"), "--require-face is for pictures"),
        (("both", "--summary", "by-fase"), "unknown summary 'by-fase'. Did you mean 'by-face'?"),
        (("both", "--group-by", "condition"), "give it with --metadata"),
        (("both", "--metadata", "about.csv"), "add --summary by-face"),
        (("both", "--metadata", "about.csv", "--group-by", "conditon"), "Did you mean 'condition'?"),
        (("both", "--metadata", "none.csv", "--group-by", "x"), "none.csv: cannot be read"),
        (("both", "--as-video"), "both: is a folder"),
        (("photos", "both", "--annotate", "x.mp4"), "name a folder for the copies"),
        (("camera", "--summary", "by-face"), "leave it out for a camera"),
    ):
        got = mien("recognize", *words)
        assert got.code == 2, words
        assert why in " ".join(got.err.split()), got.err
    assert mien("recognize", "both", "photos", *QUICK, "--require-face", "--json").code == 0


def test_summaries_by_face_by_video_and_by_group(mien: Mien, folder: Path) -> None:
    (folder / "both" / "z.jpg").unlink()
    ask = ("--summary", "by-face", "--summary", "by-video", "--metadata", "about.csv", "--group-by", "condition")
    got = mien("recognize", "both", *QUICK, "--out", "t.csv", *ask)
    assert got.code == 0, got.err
    assert "no video here: ghost" in got.err
    first, second, third = rows("t-by-video.csv")
    assert [row["participant"] for row in (first, second, third)] == ["A", "C", "B"]
    # Ten looks of 0.2 s; the half of them for p2, none for p3.
    assert [float(row["seen_s"]) for row in (first, second, third)] == pytest.approx([2, 0, 1], abs=0.01)
    assert [float(row["missing_s"]) for row in (first, second, third)] == pytest.approx([0, 2, 1], abs=0.01)
    assert (second["faces"], second["share_happy"], second["mean_happy"]) == ("0", "", "")
    looks = [row for row in rows("t.csv") if row["source"] == first["source"]]
    for label in FER7.labels:
        mean = sum(float(row[f"p_{label}"]) for row in looks) / len(looks)
        share = sum(row["emotion"] == label for row in looks) / len(looks)
        assert float(first[f"mean_{label}"]) == pytest.approx(mean, abs=1e-3)
        assert float(first[f"share_{label}"]) == pytest.approx(share, abs=1e-3)
    faces = rows("t-by-face.csv")
    assert [(row["source"], row["face_id"], row["condition"]) for row in faces] == [
        ("both/p1.mp4", "1", "calm"), ("both/later/p2.avi", "1", "tense"),
    ]  # fmt: skip
    calm, tense = rows("t-by-condition.csv")
    assert (calm["group"], calm["videos"], calm["videos_with_face"]) == ("calm", "2", "1")
    assert calm["mean_happy"] == first["mean_happy"]  # a video without a face has none
    assert (tense["group"], float(tense["missing_s"])) == ("tense", pytest.approx(1, abs=0.01))


def test_a_face_that_is_away_misses_time(mien: Mien, folder: Path) -> None:
    film(folder / "gap.mp4", lambda i: not 6 <= i < 10)
    assert mien("recognize", "gap.mp4", *QUICK, "--out", "t.jsonl", "--summary", "by-face").code == 0
    (face,) = map(json.loads, (folder / "t-by-face.jsonl").read_text().splitlines())
    assert (face["first_s"], face["last_s"], face["missing_s"]) == pytest.approx((0, 2, 0.4), abs=0.01)


def test_summaries_in_other_formats_and_without_a_table(mien: Mien, folder: Path) -> None:
    ask = ("--summary", "by-video", "--metadata", "about.csv")
    assert mien("recognize", "both/p1.mp4", *QUICK, "--out", "t.parquet", *ask).code == 0
    (row,) = pq.read_table("t-by-video.parquet").to_pylist()
    assert (row["participant"], row["error"], row["faces"], row["format"]) == ("A", None, 1, 1)
    printed = mien("recognize", "both/p1.mp4", *QUICK, *ask).out
    assert "by-video" in printed
    assert "condition" in printed
    last = json.loads(mien("recognize", "both/p1.mp4", *QUICK, *ask, "--json").out.splitlines()[-1])
    assert last["summary"] == "by-video"
    assert last["rows"] == [row]
    (folder / "u-by-video.csv").write_text("mine")
    refused = mien("recognize", "both/p1.mp4", *QUICK, "--out", "u.csv", *ask)
    assert refused.code == 2
    assert "was not written by mien" in refused.err
    assert not (folder / "u.csv").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,condition\np1,calm\n", "expected a header with the column 'source'"),
        ("source,a,a\np1,1,2\n", "two columns are called 'a'"),
        ("source,a\np1,1\np1,2\n", "line 3 names p1 a second time"),
        ("source,a\np1,1,2\n", "line 2 has 3 cells"),
        ("source,length_s\np1,1\n", "is called 'length_s' too"),
        ("source,group\np1,1\n", "is called 'group' too"),
        ("", "got nothing"),
    ],
)
def test_metadata_that_cannot_be_meant_is_told(mien: Mien, folder: Path, text: str, why: str) -> None:
    (folder / "odd.csv").write_text(text)
    got = mien("recognize", "both", "--summary", "by-video", "--metadata", "odd.csv")
    assert got.code == 2
    assert why in " ".join(got.err.split())

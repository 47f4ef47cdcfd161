"""Jobs in parts on this machine: the table of one machine, whatever the job went through."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mien.recognize.faces import Face
from mien.recognize.rows import Row, TableFile
from mien.recognize.vendored import vendored_folder
from mien.scale.estimate import Estimate
from mien.scale.job import How, Job, _starts
from mien.scale.parts import Tally, looks_of, write_part
from mien.scale.source import Item

LOCAL = ("--engine", "local", "--part", 8)


def rows(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode())))


def test_the_table_is_that_of_one_machine_to_the_byte(
    mien: Callable, album: Path, plain: bytes, tmp_path: Path
) -> None:
    done = mien(album, *LOCAL, "--out", tmp_path / "faces", "--table", tmp_path / "job.csv")
    assert done.code == 1
    assert (tmp_path / "job.csv").read_bytes() == plain
    assert "21 pictures: 18 with a face, 19 faces, 2 failed" in done.err
    assert "1 × not a picture that can be read" in done.err
    again = mien(tmp_path / "faces", "--table", tmp_path / "again.csv")
    assert again.code == 0, again.err
    assert (tmp_path / "again.csv").read_bytes() == plain


def test_a_part_has_a_row_for_each_picture_with_a_list_of_faces(mien: Callable, album: Path, tmp_path: Path) -> None:
    mien(album, *LOCAL, "--out", tmp_path / "faces")
    assert sorted(path.name for path in (tmp_path / "faces").iterdir())[:2] == ["_job.json", "_sources.parquet"]
    table = pq.read_table(tmp_path / "faces")  # as any reader of Parquet folders: what begins with _ is passed over
    assert table.num_rows == 21
    told = {Path(row["source"]).name: row for row in table.to_pylist()}
    assert [len(told[name]["faces"]) for name in ("00.jpg", "07.jpg", "a.gif", "b.png")] == [1, 2, 0, 0]
    assert [told[name]["status"] for name in ("07.jpg", "a.gif", "b.png")] == ["face", "no_face", "error"]
    assert "not a picture" in told["b.png"]["error"]
    assert [face["face_id"] for face in told["07.jpg"]["faces"]] == [1, 2]


def test_sets_of_several_labels_are_read_back_from_a_part(tmp_path: Path) -> None:
    answers = {"neutral, calm": 0.5, "sad": 0.4, 'so "so"': 0.1}
    faces = [Face("a.jpg", "sad", answers, (0, 0, 9, 9), 0.9, unsure=False, set=of) for of in (tuple(answers), None)]
    looks = [[Row(face, number)] for number, face in enumerate(faces, 1)]
    job = Job(str(tmp_path), How(), tuple(answers), {}, (0, 2), "list")
    write_part(job, 0, looks)
    read = [row.face.set for look in looks_of(job, 0) for row in look if isinstance(row, Row)]
    assert read == [tuple(answers), None]
    with TableFile(tmp_path / "faces.csv", job.labels) as table:
        for look in looks_of(job, 0):
            table.write(look)
    assert [row["set"] for row in rows((tmp_path / "faces.csv").read_bytes())] == ["|".join(answers), ""]


def test_what_is_done_is_not_done_again(mien: Callable, album: Path, plain: bytes, tmp_path: Path) -> None:
    command = (album, *LOCAL, "--out", tmp_path / "faces", "--table", tmp_path / "job.csv")
    mien(*command[:-2])
    kept, lost = tmp_path / "faces" / "part-0000000.parquet", tmp_path / "faces" / "part-0000001.parquet"
    lost.unlink()
    before = kept.stat().st_mtime_ns
    unfinished = mien(tmp_path / "faces", "--table", tmp_path / "early.csv")
    assert (unfinished.code, "1 of 3 parts are not done" in unfinished.err) == (2, True)
    done = mien(*command)
    assert "going on: 13 of 21 pictures are done already" in done.err
    assert "21 pictures: 18 with a face" in done.err
    assert kept.stat().st_mtime_ns == before
    assert (tmp_path / "job.csv").read_bytes() == plain


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--abstain", 0.9), "threshold was"),
        (("--require-face",), "require_face was False, now True"),
        (("--part", 16), "part was 8, now 16"),
        (("--detect-size", 320), "detect_size was 640, now 320"),
    ],
)
def test_another_job_is_refused(mien: Callable, album: Path, tmp_path: Path, change: tuple[object], told: str) -> None:
    command = (album, *LOCAL, "--out", tmp_path / "faces")
    mien(*command)
    refused = mien(*command, *change)
    assert refused.code == 2
    assert told in refused.err
    assert "choose another --out, or begin anew with --overwrite" in refused.err


def test_another_list_or_other_weights_are_refused(mien: Callable, album: Path, tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"
    model.write_bytes((vendored_folder("weights") / "mien-small.onnx").read_bytes())
    command = (*LOCAL, "--out", tmp_path / "faces")
    mien(album, *command)
    (album / "00.jpg").rename(album / "000.jpg")
    refused = mien(album, *command)
    assert "its list of 21 pictures and videos is not that of now, of 21" in refused.err
    (album / "000.jpg").rename(album / "00.jpg")
    assert mien(album, *command).code == 1
    anew = mien(album / "more", *command, "--overwrite")
    assert "3 pictures: 0 with a face" in anew.err
    assert sorted(path.name for path in (tmp_path / "faces").glob("part*")) == ["part-0000000.parquet"]


def test_other_people_s_folders_are_left_alone(mien: Callable, album: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "thesis.doc").write_text("x")
    for more in ((), ("--overwrite",)):
        refused = mien(album, *LOCAL, "--out", tmp_path / "faces", *more)
        assert (refused.code, "holds other files" in refused.err) == (2, True)
    assert [path.name for path in (tmp_path / "faces").iterdir()] == ["thesis.doc"]
    assert "holds no job" in mien(tmp_path / "faces", "--table", tmp_path / "t.csv").err


def test_a_part_of_another_job_is_refused(mien: Callable, album: Path, tmp_path: Path) -> None:
    mien(album, *LOCAL, "--out", tmp_path / "faces")
    mien(album, *LOCAL, "--out", tmp_path / "other", "--abstain", 0.9)
    (tmp_path / "other" / "part-0000001.parquet").replace(tmp_path / "faces" / "part-0000001.parquet")
    refused = mien(album, *LOCAL, "--out", tmp_path / "faces")
    assert (refused.code, "is a part of another job" in refused.err) == (2, True)
    (tmp_path / "faces" / "part-0000001.parquet").write_bytes(b"cut off")
    assert "is no part that mien wrote" in mien(tmp_path / "faces", "--table", tmp_path / "t.csv").err


def test_a_dry_run_tells_the_sums_and_writes_nothing(mien: Callable, album: Path, tmp_path: Path) -> None:
    told = mien(album, *LOCAL, "--out", tmp_path / "faces", "--dry-run", "--price-per-core-hour", 3600)
    assert told.code == 0, told.err
    assert "to do: 21 pictures" in told.out
    assert "(21 tried)" in told.out
    assert "core-hours: " in told.out
    assert "price: " in told.out
    assert not (tmp_path / "faces").exists()


def test_the_sums() -> None:
    found = Estimate(pictures=10**9, videos=0, sampled=100, seconds=61e6, seconds_each=0.061)
    assert found.core_hours == pytest.approx(16944.4, abs=0.1)
    assert found.price(0.04) == pytest.approx(677.8, abs=0.1)
    assert found.hours(1000) == pytest.approx(16.94, abs=0.01)


def test_a_video_is_a_part_of_its_own() -> None:
    listed = [Item(str(i), str(i), video=i in (3, 4)) for i in range(8)]
    assert list(_starts(listed, 2)) == [0, 2, 3, 4, 5, 7, 8]


def test_tallies_add_up() -> None:
    one = Tally(8, 8, 5, 6, {"a": 1})
    one.add(Tally(2, 30, 20, 20, {"a": 2, "b": 1}))
    assert one == Tally(10, 38, 25, 26, {"a": 3, "b": 1})
    assert one.failures == 4


def test_a_video_gives_the_rows_of_one_machine(mien: Callable, clip: Path, tmp_path: Path) -> None:
    assert mien(clip, "--out", tmp_path / "plain.csv", "--every", 2).code == 0
    done = mien(clip, "--every", 2, *LOCAL, "--out", tmp_path / "faces", "--table", tmp_path / "job.csv")
    assert done.code == 0, done.err
    assert (tmp_path / "job.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    assert "1 pictures (5 looks)" in done.err


def test_a_folder_of_pictures_and_videos_gives_the_rows_of_one_machine(
    mien: Callable, album: Path, clip: Path, tmp_path: Path
) -> None:
    shutil.copyfile(clip, album / "03-film.mp4")
    shutil.copyfile(clip, album / "more" / "film.MP4")
    assert mien(album, "--fps", 5, "--out", tmp_path / "plain.csv").code == 1
    done = mien(album, *LOCAL, "--fps", 5, "--out", tmp_path / "faces", "--table", tmp_path / "job.csv")
    assert done.code == 1
    assert (tmp_path / "job.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    sources = [row["source"] for row in rows((tmp_path / "plain.csv").read_bytes())]
    assert sources[-1] == str(album / "more" / "film.MP4")
    assert sources.count(str(album / "03-film.mp4")) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--engine", "spark"), "unknown engine 'spark'"),
        (("--workers", 2), "--workers is for jobs"),
        (("--dry-run",), "--dry-run is for jobs"),
        ((*LOCAL, "--address", "auto"), "--address is for --engine ray"),
        (LOCAL, "name it with --out"),
        ((*LOCAL, "--part", 7, "--out", "x"), "expected a multiple of 8"),
        ((*LOCAL, "--annotate", "x"), "--annotate is for single pictures"),
    ],
)
def test_options_that_say_nothing_are_refused(mien: Callable, album: Path, words: tuple[object], told: str) -> None:
    refused = mien(album, *words)
    assert refused.code == 2
    assert told in refused.err


def test_a_list_on_the_web(mien: Callable, web: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{web}/portrait.jpg\n{web}/none.jpg\n")
    done = mien(tmp_path / "list.txt", *LOCAL, "--out", tmp_path / "faces", "--table", tmp_path / "t.csv")
    assert done.code == 1
    found, missing = rows((tmp_path / "t.csv").read_bytes())
    assert (found["source"], found["emotion"]) == (f"{web}/portrait.jpg", "happy")
    assert missing["error"] == f"{web}/none.jpg: the server answers 404 (File not found)"

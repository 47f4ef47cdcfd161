"""Pictures and parts in an S3 store (moto), which drops connections, answers 503, lacks an object, and vanishes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from mien import InputError
from mien.scale import places

pytestmark = pytest.mark.slow

LOCAL = ("--engine", "local", "--part", 8)


def without_names(table: bytes, folder: str) -> list[dict[str, str]]:
    """Rows by the place below `folder`, which errors name too."""
    whole = csv.DictReader(io.StringIO(table.decode().replace(f"{folder}/", "")))
    return sorted(whole, key=lambda row: (row["source"], row["face_id"]))


def test_from_a_store_into_a_store(store, mien: Callable, album: Path, plain: bytes, tmp_path: Path) -> None:
    store.fill(album, "in")
    done = mien("s3://photos/in", *LOCAL, "--out", "s3://photos/out", "--table", tmp_path / "job.csv")
    assert done.code == 1, done.err
    keys = [one["Key"] for one in store.client.list_objects_v2(Bucket="photos", Prefix="out/")["Contents"]]
    assert keys == ["out/_job.json", "out/_sources.parquet", *(f"out/part-000000{i}.parquet" for i in range(3))]
    found = without_names((tmp_path / "job.csv").read_bytes(), "s3://photos/in")
    assert found == without_names(plain, str(album))
    store.client.delete_object(Bucket="photos", Key="out/part-0000001.parquet")
    assert "going on: 13 of 21" in mien("s3://photos/in", *LOCAL, "--out", "s3://photos/out").err


def test_failures_on_the_way_leave_no_trace(store, mien: Callable, album: Path, plain: bytes, tmp_path: Path) -> None:
    store.fill(album, "in")
    store.faults = {
        "/in/03.jpg": ["drop", "503", "drop"], "/in/11.jpg": ["503"] * 4, "/out/part-0000001": ["503", "drop"],
        "/in/more/a.gif": ["500", "drop"],
    }  # fmt: skip
    done = mien("s3://photos/in", *LOCAL, "--out", "s3://photos/out", "--table", tmp_path / "job.csv")
    assert done.code == 1, done.err
    assert not any(store.faults.values()), done
    assert store.met == {"drop": 4, "503": 6, "500": 1}
    assert without_names((tmp_path / "job.csv").read_bytes(), "s3://photos/in") == without_names(plain, str(album))


def test_a_missing_object_is_a_row_and_the_rest_is_done(store, mien: Callable, album: Path, tmp_path: Path) -> None:
    store.fill(album, "in")
    (tmp_path / "list.txt").write_text("s3://photos/in/00.jpg\ns3://photos/in/gone.jpg\ns3://photos/in/01.jpg\n")
    done = mien(tmp_path / "list.txt", *LOCAL, "--out", tmp_path / "faces", "--table", tmp_path / "t.csv")
    assert done.code == 1
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [row["status"] for row in table] == ["face", "error", "face"]
    assert table[1]["error"] == "s3://photos/in/gone.jpg: no such file"


def test_a_bucket_that_vanishes_stops_the_job_which_goes_on(
    store, mien: Callable, album: Path, plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fill(album, "in")
    command = ("s3://photos/in", *LOCAL, "--out", tmp_path / "faces", "--table", tmp_path / "job.csv")
    write, written = places.write, []

    def vanishing(name: str, data: bytes) -> None:
        write(name, data)
        written.append(name)
        if name.endswith("part-0000000.parquet"):
            for key in [one["Key"] for one in store.client.list_objects_v2(Bucket="photos")["Contents"]]:
                store.client.delete_object(Bucket="photos", Key=key)
            store.client.delete_bucket(Bucket="photos")

    monkeypatch.setattr(places, "write", vanishing)
    stopped = mien(*command)
    assert stopped.code == 2
    assert "there is no bucket photos (any more). Finished parts stay; once it answers again" in stopped.err
    assert [Path(name).name for name in written] == ["_sources.parquet", "_job.json", "part-0000000.parquet"]
    monkeypatch.setattr(places, "write", write)
    store.client.create_bucket(Bucket="photos")
    store.fill(album, "in")
    done = mien(*command)
    assert "going on: 8 of 21" in done.err
    assert without_names((tmp_path / "job.csv").read_bytes(), "s3://photos/in") == without_names(plain, str(album))


def test_a_store_that_lets_nobody_in_says_where_credentials_come_from(store, album: Path) -> None:
    store.fill(album, "in")
    store.faults = {"/in/00.jpg": ["403"] * 20}
    with pytest.raises(InputError, match=r"access is refused .*AWS_ACCESS_KEY_ID"):
        places.content("s3://photos/in/00.jpg")


def test_a_store_that_does_not_answer_is_no_failed_picture(store, mien: Callable, album: Path, tmp_path: Path) -> None:
    store.fill(album, "in")
    store.faults = {"/in/09.jpg": ["503"] * 1000}
    stopped = mien("s3://photos/in", *LOCAL, "--out", tmp_path / "faces")
    assert stopped.code == 2
    assert "s3://photos/in/09.jpg: does not answer, asked 7 times" in stopped.err
    store.faults = {}
    assert "going on: 8 of 21" in mien("s3://photos/in", *LOCAL, "--out", tmp_path / "faces").err


def test_nothing_is_written_to_the_web() -> None:
    with pytest.raises(InputError, match="nothing can be written to the web"):
        places.write("https://example.org/x", b"")

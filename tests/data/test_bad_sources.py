"""Sources that are missing, damaged, hostile or laid out in another way: an error names what and where."""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.data import sources
from mien.data.faceset import FaceSet
from mien.errors import InputError

Pack = Callable[..., Path]
Classes = Callable[..., dict[str, bytes]]


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FaceSet.open(path)


def test_a_missing_path(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "nowhere: does not exist")


def test_an_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "faces.rar").write_bytes(b"x")
    refused(tmp_path / "faces.rar", r"faces\.rar: neither a folder nor")


def test_no_pictures(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty: no pictures found")
    refused(pack("texts.zip", {"train/happy/a.txt": b"x", "train/sad/": b""}), r"texts\.zip: no pictures found")


def test_a_text_file_instead_of_a_zip(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_text("<html>Please log in</html>")
    refused(tmp_path / "faces.zip", r"faces\.zip: damaged or truncated zip .* Download it again")


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_truncated_zip(share: float, drawn_zip: Path, tmp_path: Path) -> None:
    data = drawn_zip.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(share * len(data))])
    refused(tmp_path / "cut.zip", r"cut\.zip: damaged or truncated zip")


def test_a_damaged_member_is_named(pack: Pack, classes: Classes) -> None:
    files = classes("ab")
    path = pack("set.zip", files)
    path.write_bytes(path.read_bytes().replace(files["a/1.png"], bytes(len(files["a/1.png"]))))
    refused(path, r"1 of 4 pictures cannot be read:\n  a/1\.png: damaged in the zip")


def test_an_unreadable_picture_is_named_or_left_out_and_listed(pack: Pack, classes: Classes) -> None:
    files = classes("ab", 3) | {"b/1.png": b"no picture"}
    for name in ("set", "set.zip"):
        path = pack(name, files)
        refused(path, r"1 of 6 pictures cannot be read:\n  b/1\.png: .*\n.*--skip-unreadable")
        faces = FaceSet.open(path, skip_unreadable=True)
        assert sorted(faces.names) == sorted(set(files) - {"b/1.png"})
        assert list(faces.unreadable) == ["b/1.png"]
        assert len(faces.images) == 5


def test_pixels_stay_with_their_names_when_some_are_left_out(pack: Pack, classes: Classes) -> None:
    files = classes("ab", 3)
    whole = FaceSet.open(pack("whole", files))
    some = FaceSet.open(pack("some", files | {"a/0.png": b"", "b/1.png": b"x"}), skip_unreadable=True)
    place = {name: i for i, name in enumerate(whole.names)}
    for i, name in enumerate(some.names):
        assert some.hashes[i] == whole.hashes[place[name]]
        assert (some.images[i] == whole.images[place[name]]).all()


def test_nothing_but_unreadable_pictures(pack: Pack) -> None:
    path = pack("set", {"a/1.png": b"x", "b/2.png": b"y"})
    with pytest.raises(InputError, match="not one of its 2 pictures"):
        FaceSet.open(path, skip_unreadable=True)


@pytest.mark.parametrize("member", ["../a/1.png", "a/../../1.png", "/a/1.png", "C:/a/1.png", "..\\a\\1.png"])
def test_members_that_point_outside(member: str, pack: Pack, classes: Classes) -> None:
    refused(pack("set.zip", classes("ab") | {member: b"x"}), "absolute or parent path")


def test_a_zip_bomb_by_ratio(pack: Pack, classes: Classes, tmp_path: Path) -> None:
    with zipfile.ZipFile(pack("set.zip", classes("ab")), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/bomb.png", bytes(2**20 + 1))
    refused(tmp_path / "set.zip", r"member 'a/bomb\.png' unpacks 200 times its size or more")


def test_a_zip_bomb_by_size(pack: Pack, classes: Classes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack("set.zip", classes("ab") | {"a/large.png": bytes(300)})
    with monkeypatch.context() as patch:
        patch.setattr(sources, "MAX_BYTES", 299)
        refused(path, r"member 'a/large\.png' unpacks to 300 bytes; limit 299")
        patch.setattr(sources, "MAX_BYTES", 300)
        patch.setattr(sources, "MAX_UNPACKED", 400)
        refused(path, r"set\.zip: unpacks to \d+ bytes; limit 400")


def test_a_large_file_in_a_folder(pack: Pack, classes: Classes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 299)
    refused(pack("set", classes("ab") | {"a/large.png": bytes(300)}), r"a/large\.png: over 299 bytes")


def test_a_member_twice(pack: Pack, classes: Classes, tmp_path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(pack("set.zip", classes("ab")), "a") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of what is meant here
        archive.writestr("a/0.png", b"another")
    refused(tmp_path / "set.zip", r"contains 'a/0\.png' more than once")


@pytest.mark.parametrize(
    ("stray", "rest", "message"),
    [
        ("stray.png", "", r"stray\.png is in no class folder"),
        ("stray.png", "train/", r"stray\.png is in no class folder"),
        ("train/stray.png", "train/", r"train/stray\.png is in no class folder.*train/<class>"),
        ("archive/stray.png", "archive/train/", r"archive/stray\.png is in no class folder"),
        ("archive/stray.png", "archive/", r"archive/stray\.png is in no class folder"),
        ("trian/a/1.png", "train/", r"unknown split folder 'trian'\. Did you mean 'train'\?.*trian/a/1\.png"),
    ],
)
def test_pictures_in_unexpected_places(stray: str, rest: str, message: str, pack: Pack, classes: Classes) -> None:
    refused(pack("set", classes("ab", prefix=rest) | {stray: b"x"}), message)


GOOD = "0,1 2 3 4,Training"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no column emotion, pixels \(found: none\)"),
        ("pixels,Usage\n1,Training", r"no column emotion \(found: pixels, usage\)"),
        ("emotion,pixels,Usage\n", "no rows below the header"),
        (f"emotion,pixels,Usage\n{GOOD}\n7,1 2 3 4,Training", "line 3: emotion is '7', expected a code from 0 to 6"),
        (f"emotion,pixels,Usage\n{GOOD}\nhappy,1 2 3 4,Training", "line 3: emotion is 'happy'"),
        (f"emotion,pixels,Usage\n{GOOD}\n1,1 2 3 4,Test", "line 3: Usage is 'Test', expected Training, PublicTest"),
        (f"emotion,pixels,Usage\n{GOOD}\n1,1 2 3 4", "line 3: 2 columns, expected 3"),
        ("emotion,pixels,Usage\n0,1 2 3 4\xff,Training".encode("latin-1"), "cannot be read as CSV"),
    ],
)
def test_bad_tables(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(path, message)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ("1 2 3", r"line 4: 3 pixel values, expected 4 \(2x2\)"),
        ("1 2 3 256", "line 4: pixel values run from 1 to 256"),
        ("1 -2 3 4", "line 4: pixel values run from -2 to 4"),
        ("1 2 3 x", "line 4: a pixel value is not a whole number"),
        ("1 2 3 4.5", "line 4: a pixel value is not a whole number"),
        ("", "line 4: 0 pixel values"),
        (f"1 2 3 {10**30}", "line 4: a pixel value is not a whole number"),
    ],
)
def test_bad_pixels_in_a_table(pixels: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    rows = [f"{code},{code} 2  3 4,Training" for code in range(7)]  # two spaces are one border
    path.write_text("\n".join(["emotion,pixels,Usage", *rows[:2], f"2,{pixels},Training", *rows[2:]]))
    refused(path, rf"1 of 8 pictures cannot be read:\n  .*{message}")
    assert len(FaceSet.open(path, skip_unreadable=True)) == 7


def test_no_pixels_in_a_whole_table(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("emotion,pixels,Usage\n" + "".join(f"{i},,Training\n" for i in range(7)))
    refused(tmp_path / "faces.csv", "7 of 7 pictures cannot be read:\n.*line 2: 0 pixel values")


@pytest.mark.parametrize("damage", ["text", "cut", "body"])
def test_a_damaged_gz(damage: str, tmp_path: Path) -> None:
    data = gzip.compress(("emotion,pixels,Usage\n" + f"{GOOD}\n" * 5000).encode())
    bad = {"text": b"hello", "cut": data[:-20], "body": data[:10] + b"\xff" * 50}  # 10 bytes of header
    (tmp_path / "faces.csv.gz").write_bytes(bad[damage])
    refused(tmp_path / "faces.csv.gz", r"faces\.csv\.gz")


def parquet_bytes(**columns: list[object]) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(arrow.table(columns), buffer, compression="zstd", use_dictionary=False)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b"x"], "label": ["a"]}, r"no column image \(found: picture, label\)"),
        ({"image": [b"x"], "emotion": ["a"]}, "no column label"),
        ({"image": ["x", "y"], "label": ["a", "b"]}, r"column image holds string, expected encoded pictures"),
        ({"image": [{"bytes": None, "path": "x"}] * 2, "label": ["a", "b"]}, "column image holds struct<bytes: null"),
        ({"image": [{"bytes": None}, {"bytes": b"x"}], "label": ["a", "b"]}, "faces_0: has no encoded picture"),
        ({"image": [None, b"x"], "label": ["a", "b"]}, "faces_0: has no encoded picture"),
        ({"image": [b"x", b"y"], "label": ["a", "b"]}, "faces_0: not a picture"),
    ],
)
def test_bad_parquet_columns(columns: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    (tmp_path / "faces.parquet").write_bytes(parquet_bytes(**columns))
    refused(tmp_path / "faces.parquet", message)


@pytest.mark.parametrize("column", ["image", "label"])
def test_damaged_parquet(column: str, classes: Classes, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    files = classes("ab", 50)
    path = tmp_path / "faces.parquet"
    data = bytearray(parquet_bytes(image=list(files.values()), label=[name[0] for name in files]))
    chunk = parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(("image", "label").index(column))
    start, size = chunk.data_page_offset, chunk.total_compressed_size
    data[start + 10 : start + size] = b"\xff" * (size - 10)
    path.write_bytes(data)
    refused(path, r"faces\.parquet: damaged")
    path.write_bytes(b"PAR1 no")
    refused(path, r"faces\.parquet: damaged or no Parquet")

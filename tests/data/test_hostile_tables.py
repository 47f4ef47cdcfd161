"""Tables that are cut, packed, padded or claim to hold gigabytes; and those of the forms in which people have them."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from mien import FaceSet, InputError
from mien.data.votes import Votes, relabeled

CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # of fer2013.csv
ROWS = [(code, (code * 40 + 3 * np.arange(16) + turn) % 256) for turn in range(4) for code in range(7)]
USAGE = ("Training", "Training", "PublicTest", "PrivateTest")
MIB = 2**20


def csv_text(usage: bool = True, cut: int | None = None) -> str:
    lines = ["emotion,pixels,Usage" if usage else "emotion,pixels"]
    for row, (code, values) in enumerate(ROWS):
        told = values[:9] if row == cut else values
        lines.append(f"{code},{' '.join(map(str, told))}" + (f",{USAGE[row // 7]}" if usage else ""))
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_gzip_and_zip_of_a_table_are_the_table(tmp_path: Path) -> None:
    expected = FaceSet.open(write(tmp_path / "a.csv", csv_text())).fingerprint
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(csv_text().encode()))
    for name in ("fer2013.csv.zip", "other.zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("fer2013/fer2013.csv", csv_text())
            archive.writestr("fer2013/README", "words")
        assert FaceSet.open(tmp_path / name).fingerprint == expected
    assert FaceSet.open(tmp_path / "a.csv.gz").fingerprint == expected


def test_a_table_without_usage_is_for_training(tmp_path: Path) -> None:
    faces = FaceSet.open(write(tmp_path / "train.csv", csv_text(usage=False)))
    assert set(faces.splits) == {"train", "val"}
    assert len(faces) == 28


@pytest.mark.parametrize("cut", [0, 5])
def test_a_row_that_is_cut_is_the_one_that_is_wrong(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", csv_text(cut=cut))
    with pytest.raises(InputError, match=rf"1 of 28 pictures cannot be read:\s+.*line {cut + 2}: 9 pixel"):
        FaceSet.open(path)
    faces = FaceSet.open(path, skip_unreadable=True)
    assert len(faces) == 27
    assert np.array_equal(faces.images[-1], ROWS[-1][1].reshape(4, 4))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("line.csv.gz", b"emotion,pixels,Usage\n0," + b"1 " * (10 * MIB)),
        pytest.param("rows.csv.gz", b"emotion,pixels,Usage\n" + b"0,1,Training\n" * MIB, marks=pytest.mark.slow),
        ("quoted.csv", b'emotion,pixels,Usage\n0,"' + (b"1 " * 5000 + b"\n") * 900 + b'",Training\n'),
        ("word.csv", b"emotion,pixels,Usage\n0,1 2 3 " + b"4" * MIB + b",Training\n"),
        ("nul.csv", b"emotion,pixels,Usage\n0,1 2\0 3 4,Training\n"),
        ("emotion.csv", b"emotion,pixels,Usage\n" + b"9" * MIB + b",1 2 3 4,Training\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_memory_of_a_table_is_bounded(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.data.csv_rows._FREE", 2 * MIB)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 6) if name.endswith(".gz") else content)
    del content
    tracemalloc.start()
    with pytest.raises(InputError) as refused:
        FaceSet.open(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 700 * MIB
    assert len(str(refused.value)) < 2000
    assert name in str(refused.value)


def test_damaged_packing_is_an_error(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(csv_text().encode()))
    for end in (5, 30, len(packed) - 3):
        (tmp_path / "a.csv.gz").write_bytes(packed[:end])
        with pytest.raises(InputError, match=r"a\.csv\.gz: cannot be read as CSV"):
            FaceSet.open(tmp_path / "a.csv.gz")


FERPLUS = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def ferplus(path: Path, rows: int = 28) -> Path:
    lines = [FERPLUS]
    for row in range(rows):
        # FER+ leaves the name empty where it took a picture out.
        name = "" if row == 3 else f"fer{row:07d}.png"
        lines.append(f"{USAGE[row // 7]},{name},{'0,9,1' if row % 2 else '8,1,1'},0,0,0,0,0,0,0")
    return write(path, "\n".join(lines) + "\n")


def test_the_file_of_ferplus_goes_by_the_rows_of_fer2013(tmp_path: Path) -> None:
    faces = FaceSet.open(write(tmp_path / "fer2013.csv", csv_text()))
    votes = Votes.open(ferplus(tmp_path / "fer2013new.csv"))
    expected = ["happiness" if row % 2 else "neutral" for row in range(28)]
    found = relabeled(faces, votes, "majority")
    assert [found.label_set.labels[label] for label in found.labels] == expected


def test_ferplus_goes_by_name_where_its_pictures_are_files(tmp_path: Path) -> None:
    votes = Votes.open(ferplus(tmp_path / "fer2013new.csv"))
    table = votes.table(["FER2013Train/fer0000002.png", "fer0000005.png", "unknown.png"])
    assert table.sum(axis=1).tolist() == [10, 10, 0]
    assert table[0, votes.columns.index("neutral")] == 8


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "path , neutral\na.png,99999999999999999999",
            "line 2: expected a whole number of votes",
        ),
        ("path,neutral\na.png,1\na.png,-1", "line 3: has a negative number"),
        ("path,neutral\na.png," + "9" * 5000, "line 2: expected a whole number"),
        ("path,neutral\na.png", "line 2: expected a whole number"),
        ("path,neutral,neutral\na.png,1,1", "expected the columns"),
        ("path,neutral\na.png,1\0", "cannot be read as CSV|expected a whole number"),
        ("", "expected the columns"),
    ],
    ids=range(7),
)
def test_votes_that_are_none(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why) as refused:
        Votes.open(write(tmp_path / "votes.csv", text))
    assert "votes.csv" in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_padded_header_of_votes_is_read(tmp_path: Path) -> None:
    votes = Votes.open(write(tmp_path / "votes.csv", "path , neutral, happiness\na.png, 3 ,4\n"))
    assert votes.table(["a.png"]).tolist() == [[3, 4]]


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def arrow_table(rows: list[tuple[int, np.ndarray]]) -> arrow.Table:
    features = {"label": {"names": list(CODES), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {"image": [{"bytes": png(v), "path": None} for _, v in rows], "label": [code for code, _ in rows]}
    return arrow.table(columns).replace_schema_metadata(metadata)


def test_what_save_to_disk_writes_is_read(tmp_path: Path) -> None:
    expected = FaceSet.open(write(tmp_path / "a.csv", csv_text())).select("train", "test")
    for split, part in (("train", ROWS[:14]), ("test", ROWS[21:])):
        folder = tmp_path / "saved" / split
        folder.mkdir(parents=True)
        with arrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", arrow_table(part).schema) as stream:
            stream.write_table(arrow_table(part), max_chunksize=5)
        (folder / "state.json").write_text("{}")
        (folder / "cache-1.arrow").write_bytes(b"kept by map")
    faces = FaceSet.open(tmp_path / "saved")
    test, wanted = faces.select("test"), expected.select("test")
    assert len(faces) == 21
    assert len(set(faces.names)) == 21
    assert sorted(test.hashes) == sorted(wanted.hashes)
    assert [faces.label_set.labels[i] for i in test.labels] == [CODES[code] for code, _ in ROWS[21:]]


def arrow_file(path: Path, rows: Any, compression: str | None = None, *, feather: bool = False) -> Path:
    options = arrow.ipc.IpcWriteOptions(compression=compression)
    with (arrow.ipc.new_file if feather else arrow.ipc.new_stream)(path, rows.schema, options=options) as stream:
        stream.write(rows)
    return path


def test_an_arrow_file_is_read_as_the_stream_in_it(tmp_path: Path) -> None:
    """What pandas and polars write as Feather holds a stream."""
    streamed = FaceSet.open(arrow_file(tmp_path / "train.arrow", arrow_table(ROWS)))
    filed = FaceSet.open(arrow_file(tmp_path / "other.arrow", arrow_table(ROWS), feather=True))
    assert len(filed) == len(ROWS)
    assert filed.fingerprint == streamed.fingerprint


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("where", ["image", "other column", "dictionary"])
def test_compressed_arrow_is_refused(tmp_path: Path, compression: str, where: str) -> None:
    rows = arrow_table(ROWS)
    large = arrow.array([b"\0" * (MIB if row == 0 else 1) for row in range(len(ROWS))])
    if where == "image":
        rows = rows.set_column(0, "image", large)
    elif where == "other column":
        rows = rows.append_column("more", large)
    else:
        rows = rows.append_column("more", large.dictionary_encode())
    path = arrow_file(tmp_path / "train.arrow", rows, compression, feather=where == "image")
    assert path.stat().st_size < MIB / 2
    before = arrow.total_allocated_bytes()
    with pytest.raises(InputError, match=r"train\.arrow: is compressed.*Save it without compression, or as Parquet"):
        FaceSet.open(path)
    assert arrow.total_allocated_bytes() == before


def many(of: arrow.DataType, buffers: list[arrow.Buffer | None]) -> arrow.Array:
    return arrow.Array.from_buffers(of, 2**28, buffers)


LETTERS = arrow.DictionaryArray.from_arrays(arrow.array(np.zeros(1000, np.int8)), arrow.array(["x" * 500_000]))
RUN = arrow.RunEndEncodedArray.from_arrays(arrow.array([2**28], arrow.int32()), arrow.array([b"x"]))
BOMBS = {
    "nothing": (arrow.nulls(2**28), arrow.nulls(2**28), "image holds null, expected encoded pictures"),
    "runs": (RUN, arrow.nulls(2**28), "image holds run_end_encoded"),
    "structs": (many(arrow.struct([]), [None]), arrow.nulls(2**28), "image holds struct<>"),
    "widthless": (many(arrow.binary(0), [None, arrow.py_buffer(b"")]), arrow.nulls(2**28), "image holds fixed_size"),
    "labels": (arrow.array([b"x"] * 1000), LETTERS, "a label of more than 200 letters"),
    "codes": (arrow.array([b"x"] * 1000), arrow.array([True] * 1000), "label holds bool, expected whole numbers"),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_columns_that_stand_for_millions_of_rows_are_refused(tmp_path: Path, bomb: str) -> None:
    image, label, why = BOMBS[bomb]
    path = arrow_file(tmp_path / "train.arrow", arrow.record_batch({"image": image, "label": label}))
    assert path.stat().st_size < MIB
    with pytest.raises(InputError, match=why):
        FaceSet.open(path, labels=("angry", "happy"))


def test_rows_that_share_their_bytes_hold_no_more_than_the_file(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).bytes(400_000)
    whole = arrow.array([picture]).cast(arrow.binary_view())
    _, views, content = whole.buffers()
    shared = arrow.Array.from_buffers(
        arrow.binary_view(), 1000, [None, arrow.py_buffer(views.to_pybytes() * 1000), content]
    )
    labels = arrow.array(["happy", "sad"] * 500)
    path = arrow_file(tmp_path / "train.arrow", arrow.record_batch({"image": shared, "label": labels}))
    with pytest.raises(InputError, match="has pictures of more bytes than the file"):
        FaceSet.open(path, skip_unreadable=True, labels=("happy", "sad"))


def parquet_file(path: Path) -> Path:
    parquet.write_table(arrow_table(ROWS), path, compression="snappy")
    return path


def test_parquet_pages_that_claim_gigabytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    large = arrow.table({"image": [bytes(60 * MIB)], "label": ["happy"]})
    parquet.write_table(large, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < MIB
    before = arrow.total_allocated_bytes()
    with pytest.raises(InputError, match=r"train\.parquet: damaged or no Parquet \(has a page of .* that unpacks to"):
        FaceSet.open(path)
    assert arrow.total_allocated_bytes() - before < 100 * MIB


def test_many_rows_of_one_value_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    column = arrow.DictionaryArray.from_arrays(arrow.array(np.zeros(3_000_000, np.int32)), arrow.array([b"x"]))
    parquet.write_table(arrow.table({"image": column, "label": column.cast(arrow.string())}), path)
    with pytest.raises(InputError, match=r"claims 3,000,000 rows"):
        FaceSet.open(path)


def test_bytes_of_a_parquet_file_changed_at_random_give_faces_or_one_error(tmp_path: Path) -> None:
    content = parquet_file(tmp_path / "train.parquet").read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(256)
        (tmp_path / "train.parquet").write_bytes(changed)
        try:
            FaceSet.open(tmp_path / "train.parquet", skip_unreadable=True)
            outcomes.add("faces")
        except InputError:
            outcomes.add("refused")
    assert outcomes == {"faces", "refused"}


@pytest.mark.parametrize("pictures", [len(ROWS) - 1, len(ROWS) + 1, 0])
def test_columns_of_different_length_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int
) -> None:
    """As of a page whose header was changed (fuzz): pyarrow hands out what is there."""
    path = parquet_file(tmp_path / "train.parquet")
    monkeypatch.setattr("mien.data.parquet._pictures", lambda _: iter([png(ROWS[0][1])] * pictures))
    with pytest.raises(
        InputError, match=rf"damaged: has {len(ROWS)} labels and {pictures} pictures. Download it again"
    ):
        FaceSet.open(path)


def test_a_zip_member_that_lies_of_its_size_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for code, name in enumerate(CODES):
            archive.writestr(f"{name}/a.png", png(ROWS[code][1]))
        archive.writestr("happy/b.png", bytes(300 * MIB))
    content = path.read_bytes()
    path.write_bytes(content.replace((300 * MIB).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"happy/b\.png: damaged in the zip"):
        FaceSet.open(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * MIB


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_without_a_bound_is_refused(kind: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w", kind) as archive:
        archive.writestr("happy/a.png", b"x")
    with pytest.raises(InputError, match="packed in a rare way"):
        FaceSet.open(tmp_path / "d.zip")

"""Layouts: the same faces in any container have one fingerprint, and their splits are told apart."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data.faceset import FaceSet
from mien.data.sources import FolderSource, open_source
from mien.errors import InputError
from mien.images import Pixels
from mien.labels import FER7, FER2013_CSV_CODES

USAGE = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
HF_NAME = {"train": "train", "val": "validation", "test": "test"}
Row = tuple[str, str, Pixels]  # split, class, gray pixels


@pytest.fixture(scope="module")
def faces(drawn_zip: Path) -> FaceSet:
    return FaceSet.open(drawn_zip)


@pytest.fixture(scope="module")
def rows(faces: FaceSet) -> list[Row]:
    """The drawn faces, in an order of their own."""
    order = np.random.default_rng(0).permutation(len(faces))
    return [(str(faces.splits[i]), FER7.labels[faces.labels[i]], faces.images[i]) for i in order]


def as_csv(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["emotion", "pixels", "Usage"])
    for split, label, pixels in rows:
        writer.writerow([FER2013_CSV_CODES.index(label), " ".join(map(str, pixels.ravel())), USAGE[split]])
    return out.getvalue()


def write_parquet(
    folder: Path, rows: list[Row], encode: Callable[[Pixels], bytes], *, text: bool = False, named: bool = True
) -> Path:
    """One file per split, as `datasets` writes an Image and a ClassLabel (or text) column."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder.mkdir()
    feature = {"names": list(FER7.labels), "_type": "ClassLabel"} if named else {"dtype": "int64", "_type": "Value"}
    features = {"image": {"_type": "Image"}, "label": feature}
    for split, stem in HF_NAME.items():
        mine = [(label, encode(pixels)) for its, label, pixels in rows if its == split]
        table = arrow.table(
            {
                "image": [{"bytes": data, "path": None} for _, data in mine],
                "label": [label if text else FER7.labels.index(label) for label, _ in mine],
            }
        )
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(table, folder / f"{stem}-00000-of-00001.parquet")
    return folder


def test_the_drawn_zip_is_read_as_the_kaggle_layout(faces: FaceSet) -> None:
    assert [len(faces.select(split)) for split in ("train", "val", "test")] == [112, 14, 14]
    assert faces.label_set is FER7
    assert all(name.split("/")[1] == FER7.labels[label] for name, label in zip(faces.names, faces.labels, strict=True))
    for prefix, split in (("Training", "train"), ("PublicTest", "val"), ("PrivateTest", "test")):
        here = np.char.find(faces.names, f"/{prefix}_") >= 0
        assert set(faces.splits[here]) == {split}


def test_an_extracted_zip_has_its_fingerprint_also_one_level_deeper(
    faces: FaceSet, drawn_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_folder, tmp_path / "download" / "archive")
    (tmp_path / "download" / "archive" / "readme.txt").write_text("no picture")
    for folder in (drawn_folder, tmp_path / "download"):
        assert FaceSet.open(folder).fingerprint == faces.fingerprint


def test_other_files_in_a_folder_are_passed_over(faces: FaceSet, drawn_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(drawn_folder, tmp_path / "faces")
    (folder / "__MACOSX" / "train").mkdir(parents=True)
    (folder / "__MACOSX" / "train" / "._x.png").write_bytes(b"x")
    (folder / "train" / "happy" / ".hidden.png").write_bytes(b"x")
    (folder / "train" / "labels.csv").write_text("x")
    assert FaceSet.open(folder).fingerprint == faces.fingerprint


def test_csv_and_csv_gz(faces: FaceSet, rows: list[Row], tmp_path: Path) -> None:
    text = as_csv(rows)
    (tmp_path / "fer2013.csv").write_text(text)
    (tmp_path / "fer2013.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "windows.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    for name in ("fer2013.csv", "fer2013.csv.gz", "windows.csv"):
        assert FaceSet.open(tmp_path / name).fingerprint == faces.fingerprint


@pytest.mark.parametrize("text", [False, True])
def test_parquet_by_codes_with_names_or_by_text(
    text: bool, faces: FaceSet, rows: list[Row], encode: Callable[[Pixels], bytes], tmp_path: Path
) -> None:
    folder = write_parquet(tmp_path / "hf", rows, encode, text=text)
    assert FaceSet.open(folder).fingerprint == faces.fingerprint
    one = FaceSet.open(folder / "validation-00000-of-00001.parquet")
    assert len(one.select("val")) == len(one) == 14


def test_parquet_codes_without_names_need_labels(
    faces: FaceSet, rows: list[Row], encode: Callable[[Pixels], bytes], tmp_path: Path
) -> None:
    folder = write_parquet(tmp_path / "hf", rows, encode, named=False)
    with pytest.raises(InputError, match=r"labels are numbers without names.*--labels"):
        FaceSet.open(folder)
    assert FaceSet.open(folder, labels=FER7.labels).fingerprint == faces.fingerprint
    with pytest.raises(InputError, match="label 6 is not a number from 0 to 5"):
        FaceSet.open(folder, labels=FER7.labels[:6])


def test_labels_reorder_named_parquet_codes_and_never_rename_them(
    faces: FaceSet, rows: list[Row], encode: Callable[[Pixels], bytes], tmp_path: Path
) -> None:
    backwards = FER7.labels[::-1]
    again = FaceSet.open(write_parquet(tmp_path / "hf", rows, encode), labels=backwards)
    assert again.label_set.labels == backwards
    assert again.fingerprint == faces.fingerprint


def test_parquet_files_whose_split_cannot_be_told(
    rows: list[Row], encode: Callable[[Pixels], bytes], tmp_path: Path
) -> None:
    folder = write_parquet(tmp_path / "hf", rows, encode)
    (folder / "test-00000-of-00001.parquet").rename(folder / "part.parquet")
    with pytest.raises(InputError, match=r"part\.parquet: cannot tell its split"):
        FaceSet.open(folder)


def test_rgb_copies_count_as_gray(
    faces: FaceSet, rows: list[Row], encode: Callable[[Pixels], bytes], pack: Callable[..., Path]
) -> None:
    copies = {
        f"{split}/{label}/{i}.png": encode(np.repeat(pixels[..., None], 3, axis=2))
        for i, (split, label, pixels) in enumerate(rows)
    }
    again = FaceSet.open(pack("rgb.zip", copies))
    assert again.store.ndim == 3
    assert again.fingerprint == faces.fingerprint


def test_one_changed_pixel_label_or_split_changes_the_fingerprint(
    faces: FaceSet, rows: list[Row], tmp_path: Path
) -> None:
    split, label, pixels = rows[0]
    changed = pixels.copy()
    changed[5, 5] ^= 1
    other_label = "sad" if label != "sad" else "fear"
    other_split = "val" if split != "val" else "test"
    prints = {faces.fingerprint}
    for k, row in enumerate([(split, label, changed), (split, other_label, pixels), (other_split, label, pixels)]):
        (tmp_path / f"{k}.csv").write_text(as_csv([row, *rows[1:]]))
        prints.add(FaceSet.open(tmp_path / f"{k}.csv").fingerprint)
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"), ("Training", "train"), ("val", "val"), ("valid", "val"), ("validation", "val"),
        ("VALIDATION", "val"), ("dev", "val"), ("test", "test"), ("Testing", "test"),
    ],
)  # fmt: skip
def test_names_of_split_folders(folder: str, split: str, pack: Callable[..., Path]) -> None:
    source = open_source(pack("set", {"train/a/1.png": b"", f"{folder}/b/2.png": b"", "test/a/PublicTest_3.png": b""}))
    found = {entry.name: (entry.class_name, entry.split) for entry in source.entries}
    assert found[f"{folder}/b/2.png"] == ("b", split)
    assert found["test/a/PublicTest_3.png"] == ("a", "val")


def test_class_folders_may_hold_folders(pack: Callable[..., Path]) -> None:
    source = FolderSource(pack("set", {"faces/a/one/1.png": b"", "faces/a/2.png": b"", "faces/b/3.JPG": b""}))
    assert [(entry.class_name, entry.split) for entry in source.entries] == [("a", None), ("a", None), ("b", None)]

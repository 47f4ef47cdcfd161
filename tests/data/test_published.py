"""Published data sets, each as a tiny drawn copy of its layout: found by looking at the folder or zip."""

from __future__ import annotations

import io
import json
import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import FaceSet, InputError
from mien.data.sources import open_source
from mien.images import Pixels
from mien.labels import FER7, FERPLUS8

Encode = Callable[[Pixels], bytes]
RAFDB = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")


@pytest.fixture
def put(tmp_path: Path, encode: Encode, noise: Callable[..., Pixels]) -> Callable[..., Path]:
    """Write files below `tmp_path / "set"`: text, bytes, or None for a picture like no other."""

    def write(files: dict[str, str | bytes | None]) -> Path:
        root = tmp_path / "set"
        for number, (name, content) in enumerate(files.items()):
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                pixels = noise((8, 8), 7_000 + number)
                content = encode(pixels) if name.endswith((".png", ".jpg", ".JPG")) else tiff(pixels)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


def tiff(pixels: Pixels) -> bytes:
    return cv2.imencode(".tiff", pixels)[1].tobytes()


def npy(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


def found(root: Path) -> dict[str, tuple[str, str, str]]:
    """Name of the file → class, split as the source tells it, person."""
    return {
        entry.name.rpartition("/")[2]: (entry.class_name, entry.split or "", entry.person)
        for entry in open_source(root).entries
    }


def zipped(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", root.parent, root.name))


def rafdb_files() -> dict[str, str | bytes | None]:
    """Codes 1 to 7 in train, and in test from the last to the first."""
    names = [f"train_{code:05}.jpg {code}" for code in range(1, 8)] + [
        f"test_{8 - code:04}.jpg {code}" for code in range(1, 8)
    ]
    pictures = [f"basic/Image/aligned/{line.split('.')[0]}_aligned.jpg" for line in names]
    return {
        "basic/EmoLabel/list_patition_label.txt": "\r\n".join(names) + "\r\n",
        **dict.fromkeys(pictures),
        "basic/Image/original/train_00001.jpg": None,
        "basic/Annotation/boundingbox/train_00001_boundingbox.txt": "1 2 3 4",
    }


def test_rafdb_by_its_list(put: Callable[..., Path]) -> None:
    root = put(rafdb_files())
    seen = found(root)
    assert len(seen) == 14
    assert seen["train_00001_aligned.jpg"] == ("surprise", "train", "")
    assert seen["train_00007_aligned.jpg"] == ("neutral", "train", "")
    assert seen["test_0001_aligned.jpg"] == ("neutral", "test", "")
    assert seen["test_0005_aligned.jpg"] == ("disgust", "test", "")
    assert found(zipped(root)) == seen
    assert FaceSet.open(zipped(root)).fingerprint == FaceSet.open(put({"basic/more.txt": ""})).fingerprint


def test_a_line_of_rafdb_s_list_that_is_none_is_named(put: Callable[..., Path]) -> None:
    root = put(rafdb_files() | {"basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\ntrain_00002.jpg 8\n"})
    with pytest.raises(InputError, match=r"list_patition_label\.txt, line 2: expected .* 1 to 7"):
        FaceSet.open(root)


def test_rafdb_without_its_aligned_faces_says_what_to_unpack(put: Callable[..., Path]) -> None:
    root = put(rafdb_files())
    shutil.rmtree(root / "basic" / "Image" / "aligned")
    with pytest.raises(InputError, match=r"no Image/aligned beside it\. Unpack aligned\.zip"):
        FaceSet.open(root)


def test_rafdb_in_numbered_folders(put: Callable[..., Path]) -> None:
    names = [f"train/{code}/train_{code:05}_aligned.jpg" for code in range(1, 8)]
    names += [f"valid/{code}/test_{code:04}_aligned.jpg" for code in range(1, 8)]
    root = put(dict.fromkeys(names))
    seen = found(root)
    assert [seen[f"train_{code:05}_aligned.jpg"] for code in range(1, 8)] == [(name, "train", "") for name in RAFDB]
    assert seen["test_0003_aligned.jpg"] == ("disgust", "test", "")  # whatever the folder is called
    own = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben")
    faces = FaceSet.open(root, labels=own)
    assert {faces.label_set.labels[label] for label in faces.labels[faces.splits == "train"]} == set(own)


def test_affectnet(put: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    order = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
    files: dict[str, str | bytes | None] = {}
    for part in ("train_set", "val_set"):
        for code in range(11):
            for place, content in (("images/{}.jpg", None), ("annotations/{}_exp.npy", npy(str(code)))):
                files[f"{part}/{place.format(100 + code)}"] = content
            files[f"{part}/annotations/{100 + code}_val.npy"] = npy("0.25")
    files["train_set/annotations/999_exp.npy"] = npy(3)  # without its picture
    root = put(files)
    entries = open_source(root).entries
    assert [(entry.class_name, entry.split) for entry in entries] == [
        (name, split) for split in ("train", "val") for name in order
    ]
    caplog.set_level(logging.INFO)
    faces = FaceSet.open(root)
    assert faces.label_set is FERPLUS8
    assert (faces.splits == "val").sum() == 8
    told = next(message for message in caplog.messages if "read as AffectNet" in message)
    for why in ("16 faces", "2 annotated as none", "2 annotated as uncertain", "2 annotated as no face", "1 that are"):
        assert why in told
    assert found(zipped(root)) == found(root)
    others = {f"{part}/images/{100 + code}.jpg" for part in ("train_set", "val_set") for code in (8, 9, 10)}
    assert set(faces.left_out) == others
    assert others < faces.known
    assert {name.partition("/")[2] for name in FaceSet.open(zipped(root)).left_out} == others


@pytest.mark.parametrize("value", ["11", "happy", [1, 2]])
def test_an_annotation_that_is_no_code_is_named(value: object, put: Callable[..., Path]) -> None:
    root = put({"train_set/images/1.jpg": None, "train_set/annotations/1_exp.npy": npy(value)})
    with pytest.raises(InputError, match=r"1_exp\.npy: "):
        FaceSet.open(root)


def test_an_annotation_that_tells_of_more_than_it_holds_takes_no_memory(put: Callable[..., Path]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (2**40,)})
    root = put({"train_set/images/1.jpg": None, "train_set/annotations/1_exp.npy": file.getvalue()})
    with pytest.raises(InputError, match="holds something else than one number"):
        FaceSet.open(root)


def test_affectnet_s_parquet_on_the_hub(tmp_path: Path, encode: Encode, noise: Callable[..., Pixels]) -> None:
    """`Piro17/affectnethq`: image and label, names in the file's metadata, several files of one split."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = ["anger", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for part in range(2):
        rows = [{"bytes": encode(noise((8, 8), 10 * part + code)), "path": None} for code in range(7)]
        table = arrow.table({"image": rows, "label": list(range(7))})
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(table, tmp_path / "hub" / "data" / f"train-0000{part}-of-00002-d689c8b8a59d4983.parquet")
    faces = FaceSet.open(tmp_path / "hub")
    assert faces.label_set is FER7
    assert np.bincount(faces.labels).tolist() == [2] * 7
    assert set(faces.splits) == {"train", "val"}


CKPLUS = {1: "angry", 2: "contempt", 3: "disgust", 4: "fear", 5: "happy", 6: "sad", 7: "surprise"}


def ckplus_files() -> dict[str, str | bytes | None]:
    """Two people, seven labeled sequences each of three frames, and one sequence without a label."""
    files: dict[str, str | bytes | None] = {}
    for person in ("S005", "S010"):
        for number in range(1, 9):
            folder = f"{person}/{number:03}"
            for frame in (1, 2, 3):
                files[f"cohn-kanade-images/{folder}/{person}_{number:03}_{frame:08}.png"] = None
            if number < 8:
                code = f"   {number:.7e}\n"
                files[f"Emotion/{folder}/{person}_{number:03}_00000003_emotion.txt"] = code
    return files


def test_ckplus(put: Callable[..., Path]) -> None:
    root = put(ckplus_files())
    seen = found(root)
    assert seen == {
        f"{person}_{code:03}_00000003.png": (name, "", person)
        for person in ("S005", "S010")
        for code, name in CKPLUS.items()
    }
    assert FaceSet.open(root).label_set.labels == tuple(CKPLUS.values())
    assert found(zipped(root)) == seen


def test_ckplus_s_labels_alone_and_a_label_that_is_none(put: Callable[..., Path]) -> None:
    root = put(ckplus_files() | {"Emotion/S005/001/S005_001_00000003_emotion.txt": "1.5\n"})
    with pytest.raises(InputError, match=r"S005_001_00000003_emotion\.txt: expected one code from 0 to 7, got '1\.5'"):
        FaceSet.open(root)
    shutil.rmtree(root / "cohn-kanade-images")
    with pytest.raises(InputError, match=r"none of the frames .* Unpack cohn-kanade-images\.zip"):
        FaceSet.open(root)


JAFFE = {"AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise"}
KDEF = {"AF": "fear"} | {code: name for code, name in JAFFE.items() if code != "FE"}


def test_jaffe(put: Callable[..., Path]) -> None:
    names = [f"jaffe/{who}.{code}{n}.{39 + n}.tiff" for who in ("KA", "NM") for code in JAFFE for n in (1, 2)]
    root = put(dict.fromkeys(names) | {"jaffe/README": "words"})
    seen = found(root)
    assert len(seen) == 28
    assert seen["KA.FE1.40.tiff"] == ("fear", "", "KA")
    assert seen["NM.SU2.41.tiff"] == ("surprise", "", "NM")
    assert FaceSet.open(root).label_set is FER7
    assert found(zipped(root)) == seen


def test_kdef(put: Callable[..., Path]) -> None:
    people = ("AF01", "BF01", "AM07")
    names = [f"KDEF/{who}/{who}{code}{angle}.JPG" for who in people for code in KDEF for angle in ("S", "FL", "HR")]
    root = put(dict.fromkeys(names))
    seen = found(root)
    assert len(seen) == 63
    assert seen["AF01AFFL.JPG"] == ("fear", "", "F01")
    assert seen["BF01SUS.JPG"] == ("surprise", "", "F01")
    assert seen["AM07NEHR.JPG"] == ("neutral", "", "M07")
    assert found(zipped(root)) == seen


@pytest.mark.parametrize(
    ("names", "people"),
    [
        (("S010_004_00000017.png", "S011_001_00000016.png"), ["S010", "S011"]),
        (("KA.HA1.29.tiff", "KL.HA1.158.tiff"), ["KA", "KL"]),
        (("AF01HAS.JPG", "BM35HAHL.JPG"), ["F01", "M35"]),
        (("AF01HAS.JPG", "holiday.jpg"), ["", ""]),
    ],
)
def test_in_class_folders_the_folder_is_the_class_and_the_name_the_person(
    names: tuple[str, str], people: list[str], put: Callable[..., Path]
) -> None:
    root = put({f"{label}/{name}": None for label in ("happy", "other") for name in names})
    entries = open_source(root).entries
    assert [entry.class_name for entry in entries] == ["happy"] * 2 + ["other"] * 2
    assert [entry.person for entry in entries] == people * 2


def test_expw(put: Callable[..., Path], encode: Encode, noise: Callable[..., Pixels]) -> None:
    photo = noise((40, 60), 5)
    lines = [
        "a.png 0 10 20 50 30 62.5 3",  # top, left, right, bottom
        "a.png 1 -5 40 70 20 11.25 6",  # beyond the photo
        "a.png 0 10 20 50 30 62.5 3",
        *(f"b{code}.png 0 0 0 8 8 50 {code}" for code in range(7)),
        "gone.png 0 0 0 8 8 50 1",
    ]
    photos = {f"image/origin/b{code}.png": None for code in range(7)}
    root = put({"label/label.lst": "\n".join(lines), "image/origin/a.png": encode(photo)} | photos)
    seen = found(root)
    assert len(seen) == 9
    assert [seen[f"b{code}.png#0"][0] for code in range(7)] == [
        "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral",
    ]  # fmt: skip
    faces = FaceSet.open(root)
    crops = {name.rpartition("/")[2]: tuple(shape) for name, shape in zip(faces.names, faces.shapes, strict=True)}
    assert crops["a.png#0"] == (20, 30)
    assert crops["a.png#1"] == (20, 20)
    loaded = next(iter(open_source(root).loaders()))()
    assert np.array_equal(loaded, photo[10:30, 20:50])
    assert FaceSet.open(zipped(root)).fingerprint == faces.fingerprint
    moved = root / "label" / "label.lst"
    moved.write_text(moved.read_text().replace("10 20 50 30", "11 20 50 30"))
    assert FaceSet.open(root).fingerprint != faces.fingerprint  # not the cache of the other boxes


@pytest.mark.parametrize("line", ["a.png 0 1 2 3 4 50", "a.png 0 1 2 3 4 50 7", "a.png 0 1 2 x 4 50 1"])
def test_a_line_of_expw_s_list_that_is_none_is_refused(line: str, put: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"label\.lst, different line 1: expected name, face, top"):
        FaceSet.open(put({"label.lst": line, "origin/a.png": None}))


def test_a_box_outside_of_its_photo_is_an_unreadable_face(put: Callable[..., Path]) -> None:
    lines = [f"b{code}.png 0 0 0 8 8 50 {code}" for code in range(7)] + ["b1.png 1 20 20 30 30 50 1"]
    root = put({"label.lst": "\n".join(lines)} | {f"origin/b{code}.png": None for code in range(7)})
    with pytest.raises(InputError, match=r"b1\.png#1: its box .* outside of the photo"):
        FaceSet.open(root)
    assert len(FaceSet.open(root, skip_unreadable=True)) == 7


def test_ferplus_folders(put: Callable[..., Path]) -> None:
    """Majority: single votes are dropped, then more than half of the rest."""
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    files: dict[str, str | bytes | None] = {}
    rows = [header]
    for number, (usage, folder) in enumerate((("Training", "FER2013Train"), ("PublicTest", "FER2013Valid"))):
        for code in range(8):
            votes = ["8" if place == code else "1" if place == (code + 1) % 8 else "0" for place in range(10)]
            name = f"fer{number}{code:06}.png"
            rows.append(",".join([usage, name, *votes]))
            files[f"images/{folder}/{name}"] = None
    rows.append("PrivateTest,fer9000001.png,5,5,0,0,0,0,0,0,0,0")  # no majority
    rows.append("PrivateTest,fer9000002.png,4,0,0,0,0,0,0,0,6,0")  # unknown
    rows.append("PrivateTest,fer9000003.png,5,1,1,1,1,1,0,0,0,0")  # half, before single votes are dropped
    rows.append("PrivateTest,,0,0,0,0,0,0,0,0,0,10")
    files |= {f"images/FER2013Test/fer900000{n}.png": None for n in (1, 2, 3)}
    root = put(files | {"fer2013new.csv": "\n".join(rows)})
    seen = found(root)
    assert len(seen) == 17
    assert [seen[f"fer0{code:06}.png"] for code in range(8)] == [(name, "train", "") for name in FERPLUS8.labels]
    assert seen["fer1000007.png"] == ("contempt", "val", "")
    assert seen["fer9000003.png"] == ("neutral", "test", "")
    assert FaceSet.open(root).label_set is FERPLUS8
    assert found(zipped(root)) == seen


def test_a_list_that_speaks_of_other_pictures_is_told(put: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"looks like ExpW, but label\.lst speaks of none of its 1 pictures"):
        FaceSet.open(put({"label.lst": "a.png 0 1 2 3 4 50 1", "origin/other.png": None}))


def test_two_sets_in_one_folder_are_told_apart_by_hand(put: Callable[..., Path]) -> None:
    root = put(rafdb_files() | {"copy/list_patition_label.txt": "train_00001.jpg 5"})
    with pytest.raises(InputError, match=r"list_patition_label\.txt more than once .* the folder of one data set"):
        FaceSet.open(root)


def test_a_list_in_a_zip_is_no_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("label.lst", b"\xff\xfe\x00")
        archive.writestr("origin/a.png", b"x")
    with pytest.raises(InputError, match=r"label\.lst is no text in UTF-8"):
        FaceSet.open(tmp_path / "x.zip")

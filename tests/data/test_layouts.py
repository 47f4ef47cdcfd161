"""Layouts as people have them: splits above or below the classes, links, odd suffixes, names of every kind."""

from __future__ import annotations

import os
import shutil
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mien import FaceSet, InputError
from mien.data.folders import split_of

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def picture(path: Path, value: int) -> None:
    """A gray picture that no other value gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (8, 8), value)
    image.putpixel((value % 8, 3), 255 - value)
    image.save(path, "PNG")


def laid_out(root: Path, pattern: str, splits: dict[str, str]) -> Path:
    """Two faces for each class and split; `pattern` holds {split}, {label} and {name}, `splits` go by ours."""
    value = 0
    for split, called in splits.items():
        for label in CLASSES:
            for number in range(2):
                picture(root / pattern.format(split=called, label=label, name=f"{split}{number}.png"), value)
                value += 1
    return root


@pytest.mark.parametrize("pattern", ["{split}/{label}/{name}", "{label}/{split}/{name}", "x/{split}/{label}/{name}"])
@pytest.mark.parametrize(
    "splits",
    [
        {"train": "train", "val": "val", "test": "test"},
        {"train": "train_set", "val": "val_set", "test": "test_set"},
        {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"},
        {"train": "Training", "val": "PublicTest", "test": "PrivateTest"},
        {"train": "images_train", "val": "validation-images", "test": "TESTING"},
        {"train": "trainset", "val": "valset", "test": "testset"},
    ],
    ids=lambda splits: splits["train"],
)
def test_splits_are_known_by_their_names_above_and_below_the_classes(
    pattern: str, splits: dict[str, str], tmp_path: Path
) -> None:
    faces = FaceSet.open(laid_out(tmp_path / "d", pattern, splits))
    assert faces.label_set.labels == CLASSES
    for split in splits:
        assert [name.rpartition("/")[2][:-5] for name in faces.select(split).names] == [split] * 14


@pytest.mark.parametrize("name", ["happy", "contest", "latest", "retrain", "trainer", "validity", "data", "set", "1"])
def test_other_names_are_no_splits(name: str) -> None:
    assert split_of(name) is None


@pytest.mark.parametrize(
    ("pattern", "splits", "why"),
    [
        ("{split}/images/{name}", {"train": "train_set", "test": "test_set"}, "all its pictures are of one class"),
        ("train/{label}/{split}/{name}", {"train": "train", "test": "test"}, "below its class and split"),
        ("{label}/deep/{split}/{name}", {"train": "train", "test": "test"}, "below its class and split"),
        ("{split}/{split}/{name}", {"train": "train", "test": "test"}, "named like a split"),
    ],
)
def test_a_split_that_would_be_passed_over_is_refused(
    pattern: str, splits: dict[str, str], why: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=why):
        FaceSet.open(laid_out(tmp_path / "d", pattern, splits))


def test_classes_with_splits_and_without_do_not_mix(tmp_path: Path) -> None:
    laid_out(tmp_path / "d", "{label}/{split}/{name}", {"train": "train", "test": "test"})
    picture(tmp_path / "d" / "happy" / "loose.png", 200)
    with pytest.raises(InputError, match=r"happy/loose\.png is in no split folder, as others are"):
        FaceSet.open(tmp_path / "d")


def test_links_to_folders_are_followed_and_end(tmp_path: Path) -> None:
    real = laid_out(tmp_path / "real", "{label}/{name}", {"train": "train"})
    linked = tmp_path / "linked"
    (linked / "train").mkdir(parents=True)
    for label in CLASSES:
        (linked / "train" / label).symlink_to(real / label)
    (real / "happy" / "loop").symlink_to(linked)
    (real / "sad" / "self").symlink_to(real / "sad")
    faces = FaceSet.open(linked)
    assert len(faces) == 14
    assert faces.label_set.labels == CLASSES


def test_what_is_no_picture_is_counted_by_suffix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = laid_out(tmp_path / "d", "{label}/{name}", {"train": "train"})
    happy = folder / "happy"
    (happy / "train0.png").rename(happy / "train0")  # without a suffix: known by its first bytes
    (happy / "train1.png").rename(happy / "train1.JFIF")
    for name in ("a.txt", "b.txt", "c.psd", "nothing", ".hidden"):
        (happy / name).write_bytes(b"words")
    os.mkfifo(happy / "pipe.png")
    os.mkfifo(happy / "pipe")
    (happy / "gone").symlink_to(happy / "nowhere")
    assert len(FaceSet.open(folder)) == 14
    told = caplog.messages[0]
    assert "left out, as no pictures: " in told
    for kind in (".txt 2", ".psd 1", "no suffix 1", "pipes, sockets and devices 2", "broken links 1"):
        assert kind in told


def test_a_zip_with_backslashes_is_the_folder(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "d", "{split}/{label}/{name}", {"train": "train", "test": "test"})
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            member = zipfile.ZipInfo("x")
            member.filename = str(file.relative_to(tmp_path)).replace("/", "\\")
            archive.writestr(member, file.read_bytes())
    assert FaceSet.open(tmp_path / "d.zip").fingerprint == FaceSet.open(folder).fingerprint


def test_names_that_are_not_utf_8_or_hold_control_characters(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / os.fsdecode(b"donn\xe9es"), "{label}/{name}", {"train": "train"})
    (folder / "happy" / "train0.png").rename(folder / "happy" / os.fsdecode(b"caf\xe9\x1b[31m.png"))
    faces = FaceSet.open(folder)
    assert faces.source == r"donn\xe9es"
    assert r"happy/caf\xe9\x1b[31m.png" in faces.names
    assert len(faces) == 14
    repr(faces).encode()
    str(faces).encode()


def test_both_ways_to_write_an_accent_are_one_class(tmp_path: Path) -> None:
    for number, form in enumerate(("NFC", "NFD")):
        picture(tmp_path / "d" / f"{number}" / unicodedata.normalize(form, "fröhlich") / "a.png", number)
    shutil.copytree(tmp_path / "d" / "0", tmp_path / "e" / "train")
    shutil.copytree(tmp_path / "d" / "1", tmp_path / "e" / "test")
    for split in ("train", "test"):
        picture(tmp_path / "e" / split / "traurig" / "b.png", 9)
    assert FaceSet.open(tmp_path / "e").label_set.labels == (unicodedata.normalize("NFC", "fröhlich"), "traurig")
    decomposed = ["traurig", unicodedata.normalize("NFD", "fröhlich")]
    faces = FaceSet.open(tmp_path / "e", labels=decomposed)
    assert [faces.label_set.labels[label] for label in faces.labels] == [
        unicodedata.normalize("NFC", name.split("/")[1]) for name in faces.names
    ]


def test_numbered_folders_take_the_labels_in_order(tmp_path: Path) -> None:
    order = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")  # RAF-DB
    for first in (0, 1):
        root = tmp_path / str(first)
        for number, label in enumerate(order, start=first):
            picture(root / "train" / f"{number}" / f"{label}.png", 10 * number)
        faces = FaceSet.open(root, labels=order)
        names = [faces.label_set.labels[label] for label in faces.labels]
        assert names == [name.rpartition("/")[2].removesuffix(".png") for name in faces.names]
    shutil.rmtree(tmp_path / "1" / "train" / "3")
    with pytest.raises(InputError, match="unknown class '1'"):
        FaceSet.open(tmp_path / "1", labels=order)


def test_numbered_folders_are_named_one_by_one_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    named = {"0": "neutral", "1": "happy", "7": "contempt", "8": "none"}  # of AffectNet
    for number, (folder, label) in enumerate(named.items()):
        for i in range(2):
            picture(tmp_path / "d" / "train" / folder / f"{label}{i}.png", 10 * number + i)
    (tmp_path / "d" / "train" / "8" / "none0.png").write_bytes(b"damaged, and left out")
    caplog.set_level("INFO")
    faces = FaceSet.open(tmp_path / "d", labels=named | {"8": None})
    assert sorted({faces.label_set.labels[label] for label in faces.labels}) == ["contempt", "happiness", "neutral"]
    for name, label in zip(faces.names, faces.labels, strict=True):
        assert faces.label_set.labels[label].startswith(name.rpartition("/")[2][:4])
    assert len(faces) == 6
    assert not faces.unreadable
    assert "--labels leaves out 2 faces of 8" in caplog.text


def test_numbers_of_parquet_are_named_one_by_one(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = []
    for code in (0, 1, 2):
        picture(tmp_path / "x.png", code)
        rows.append({"bytes": (tmp_path / "x.png").read_bytes(), "path": None})
    parquet.write_table(arrow.table({"image": rows, "label": [0, 1, 2]}), tmp_path / "test.parquet")
    faces = FaceSet.open(tmp_path / "test.parquet", labels={"0": "sad", "1": None, "2": "happy"})
    assert faces.label_set.labels == ("happy", "sad")
    assert faces.labels.tolist() == [1, 0]
    with pytest.raises(InputError, match=r"one by one: --labels 0=angry,1=-"):
        FaceSet.open(tmp_path / "test.parquet")


def test_faces_go_by_the_labels_of_a_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, label in enumerate(("Contempt", "happiness", "anger")):
        picture(tmp_path / "d" / "test" / label / f"{label}.png", number)
    faces = FaceSet.open(tmp_path / "d", labels={"contempt": None})
    ours = faces.for_labels(CLASSES, "m")
    assert ours.label_set.labels == CLASSES
    assert [CLASSES[label] for label in ours.labels] == ["angry", "happy"]
    assert [name.rpartition("/")[2] for name in ours.names] == ["anger.png", "happiness.png"]
    assert "has no class disgust, fear, neutral, sad, surprise, which m may answer" in caplog.text
    everything = FaceSet.open(tmp_path / "d", labels=["Contempt", "happiness", "anger"])
    with pytest.raises(InputError, match=r"m was trained on .* does not know: --labels Contempt=-; or name"):
        everything.for_labels(CLASSES, "m")


def test_a_long_name_is_refused_and_not_given_to_every_row(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for label in CLASSES:
            archive.writestr(f"{label}/{'x' * (65_000 if label == 'sad' else 5)}.png", b"")
    with pytest.raises(InputError, match=r"a name of 65,008 letters, at most 1000 are read\. Rename it") as refused:
        FaceSet.open(tmp_path / "d.zip")
    assert len(str(refused.value)) < 300

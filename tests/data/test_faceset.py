"""FaceSet: splits made and kept, classes checked, faces picked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.images import Pixels
from mien.labels import FER7, FERPLUS8

Pack = Callable[..., Path]
Classes = Callable[..., dict[str, bytes]]
COUNTS = {"a": 40, "b": 25, "c": 4, "d": 1}


@pytest.fixture
def unsplit(classes: Classes) -> dict[str, bytes]:
    """Class folders alone, of very different sizes."""
    return {
        name: data for label, count in COUNTS.items() for name, data in classes([label], count, seed=ord(label)).items()
    }


def val_hashes(faces: FaceSet) -> set[str]:
    return set(faces.select("val").hashes)


def test_a_tenth_of_each_class_becomes_val(pack: Pack, unsplit: dict[str, bytes]) -> None:
    faces = FaceSet.open(pack("set", unsplit))
    counts = faces.counts()
    assert counts["val"] == {"a": 4, "b": 2, "c": 1, "d": 0}
    assert counts["train"] == {"a": 36, "b": 23, "c": 3, "d": 1}
    assert not any(counts["test"].values())


def test_val_does_not_depend_on_names_order_or_container(
    pack: Pack, unsplit: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FaceSet.open(pack("one", unsplit))
    order = np.random.default_rng(0).permutation(len(unsplit))
    renamed = {f"{name[0]}/{order[i]:03d}_new.png": data for i, (name, data) in enumerate(unsplit.items())}
    for again in (FaceSet.open(pack("one.zip", unsplit)), FaceSet.open(pack("two", renamed))):
        assert val_hashes(again) == val_hashes(first)
        assert again.fingerprint == first.fingerprint


def test_val_follows_its_seed(pack: Pack, unsplit: dict[str, bytes]) -> None:
    path = pack("set", unsplit)
    first, again, other = (val_hashes(FaceSet.open(path, val_seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert len(other) == len(first)


def test_identical_images_stay_together(pack: Pack, classes: Classes) -> None:
    files = classes("ab", 30)
    twins = {f"{name[:-4]}_again{k}.png": data for name, data in files.items() for k in range(2)}
    for seed in range(5):
        faces = FaceSet.open(pack("set", files | twins), val_seed=seed)
        train, val = set(faces.select("train").hashes), val_hashes(faces)
        assert not train & val
        assert len(faces.select("val")) == 3 * len(val) == 18  # a tenth of 2 x 90 faces


def test_identical_images_of_two_classes_stay_together(pack: Pack, classes: Classes) -> None:
    files = classes("a", 30)
    files |= {name.replace("a/", "b/"): data for name, data in files.items()} | classes("b", 30, prefix="x", seed=9)
    faces = FaceSet.open(pack("set", {name.replace("xb/", "b/x"): data for name, data in files.items()}))
    assert not set(faces.select("train").hashes) & val_hashes(faces)


def test_val_is_never_taken_from_test(pack: Pack, classes: Classes) -> None:
    test = classes("ab", 20, prefix="test/", seed=1)
    faces = FaceSet.open(pack("set", classes("ab", 20, prefix="train/") | test))
    assert [len(faces.select(split)) for split in ("train", "val", "test")] == [36, 4, 40]
    assert set(faces.select("test").names) == set(test)
    assert all(name.startswith("train/") for name in faces.select("val").names)


def test_a_val_that_is_there_is_left_alone(pack: Pack, classes: Classes) -> None:
    faces = FaceSet.open(pack("set", classes("ab", 20, prefix="train/") | classes("ab", 1, prefix="valid/", seed=1)))
    assert sorted(faces.select("val").names) == ["valid/a/0.png", "valid/b/0.png"]


@pytest.mark.parametrize(
    ("names", "label_set"),
    [
        (["anger", "Disgust", "fearful", "happiness", "calm", "sadness", "surprised"], FER7),
        (["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", "contempt"], FERPLUS8),
    ],
)
def test_aliases_and_ferplus(names: list[str], label_set: object, pack: Pack, classes: Classes) -> None:
    faces = FaceSet.open(pack("set", classes(names)))
    assert faces.label_set is label_set
    by_name = dict(zip(faces.names, faces.labels, strict=True))
    assert [by_name[f"{name}/0.png"] for name in names] == (
        list(range(7)) if label_set is FER7 else [4, 5, 6, 1, 0, 3, 2, 7]
    )


def test_labels_override_the_order(pack: Pack, classes: Classes) -> None:
    path = pack("set", classes(["happy", "sad"]))
    with pytest.raises(InputError, match=r"set: no class named 'angry'.*--labels happy,sad"):
        FaceSet.open(path)
    faces = FaceSet.open(path, labels=["sad", "happiness"])
    assert faces.label_set.labels == ("sad", "happiness")
    assert all(label == ("happy" in name) for name, label in zip(faces.names, faces.labels, strict=True))


def test_a_class_missing_in_train_alone_is_an_error(pack: Pack, classes: Classes) -> None:
    path = pack("set", classes("ab", prefix="train/") | classes("abc", prefix="test/", seed=1))
    with pytest.raises(InputError, match="set: train has no images of c"):
        FaceSet.open(path)


def test_a_class_missing_in_test_alone_is_a_warning(
    pack: Pack, classes: Classes, caplog: pytest.LogCaptureFixture
) -> None:
    files = classes("abc", prefix="train/") | classes("ab", prefix="test/", seed=1)
    with caplog.at_level(logging.WARNING, "mien"):
        faces = FaceSet.open(pack("set", files))
    assert [record.getMessage().split("set: ")[1] for record in caplog.records] == ["test has no images of c"]
    assert faces.counts()["test"] == {"a": 2, "b": 2, "c": 0}


def test_a_set_for_evaluation_alone(pack: Pack, classes: Classes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mien"):
        faces = FaceSet.open(pack("set", classes("ab", 20, prefix="test/")))
    assert "no train split" in caplog.text
    assert set(faces.splits) == {"test"}


def test_select_and_gather_keep_rows_together(drawn_zip: Path, encode: Callable[[Pixels], bytes]) -> None:
    faces = FaceSet.open(drawn_zip)
    some = faces.select("test", "val")
    place = {name: i for i, name in enumerate(faces.names)}
    chosen = np.array([place[name] for name in some.names])
    assert len(some) == 28
    for key in ("labels", "names", "splits", "hashes", "shapes", "blank"):
        assert np.array_equal(getattr(some, key), getattr(faces, key)[chosen]), key
    assert np.array_equal(some.images, faces.images[chosen])
    backwards = np.array([5, 3, 3])
    assert np.array_equal(some.gather(backwards), some.images[backwards])
    assert some.fingerprint != faces.fingerprint
    with pytest.raises(InputError, match=r"unknown split 'dev'\. Known: train, val, test"):
        faces.select("dev")


def test_the_source_is_named_without_its_folder(drawn_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drawn_folder)
    assert FaceSet.open(".").source == drawn_folder.name

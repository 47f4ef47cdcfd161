"""Near-duplicates between splits: copies changed in known ways are found, other pictures are not; and in FER2013."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.data.faceset import FaceSet
from mien.data.leaks import Leaks, leaks, near_duplicates, similarity
from mien.images import Pixels
from mien.report.leaks import leak_sentences


def texture(seed: int, side: int = 64) -> Pixels:
    """A picture with structure of many sizes, alike to none of another seed."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(size=(n, n)), (side, side), interpolation=cv2.INTER_CUBIC) for n in (4, 8, 16, 32)]
    total = sum(layers)
    return np.clip(128 + 40 * total / total.std(), 0, 255).astype(np.uint8)


NAMED = ("--labels", "happy,sad")
CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "light": lambda image: np.clip(0.7 * image.astype(float) + 40, 0, 255).astype(np.uint8),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "cut": lambda image: np.ascontiguousarray(image[3:-1, 2:-2]),
    "smaller": lambda image: cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA),
    "jpeg": lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0),
    "color": lambda image: np.repeat(image[..., None], 3, axis=2) // np.array([1, 1, 2], dtype=np.uint8),
    "marked": lambda image: cv2.putText(image.copy(), "mark", (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1),
}


@pytest.fixture
def made(pack: Callable[..., Path], encode: Callable[[Pixels], bytes]) -> FaceSet:
    files = {f"train/happy/{i}": texture(i) for i in range(20)}
    files |= {f"test/happy/{name}": change(texture(i)) for i, (name, change) in enumerate(CHANGES.items())}
    files |= {f"test/happy/new{i}": texture(100 + i) for i in range(20)}
    files |= {"test/happy/same": texture(8), "test/happy/blank": np.full((30, 30), 7, np.uint8)}
    files |= {"train/happy/blank": np.full((30, 30), 9, np.uint8), "train/sad/x": texture(50)}
    files |= {"test/sad/light": CHANGES["light"](texture(9)), "val/sad/jpeg": CHANGES["jpeg"](texture(10))}
    place = pack("made.zip", {f"{name}.png": encode(image) for name, image in files.items()})
    return FaceSet.open(place, labels=["happy", "sad"])


@pytest.fixture
def found(made: FaceSet) -> Leaks:
    return leaks(made)


def test_changed_copies_are_found_and_new_pictures_are_not(found: Leaks) -> None:
    pairs = {
        Path(pair.name).stem: pair
        for pair in found.pairs
        if pair.similarity >= found.threshold and pair.split == "test" and pair.label == "happy"
    }
    assert set(pairs) == set(CHANGES)
    assert [Path(pairs[name].of).stem for name in CHANGES] == [str(i) for i in range(len(CHANGES))]
    assert [name for name, pair in pairs.items() if pair.mirrored] == ["mirrored"]


def test_counts(found: Leaks) -> None:
    assert found.identical == {"val in train": 0, "test in train": 1, "test in val": 0}
    assert found.near == {"val in train": 1, "test in train": len(CHANGES) + 1, "test in val": 0}
    assert found.other_label == {"val in train": 1, "test in train": 1, "test in val": 0}  # sad of happy
    assert [pair.similarity for pair in found.pairs] == sorted((p.similarity for p in found.pairs), reverse=True)
    assert Leaks.model_validate_json(found.model_dump_json()) == found


def test_similarity_of_itself_of_its_negative_and_of_nothing() -> None:
    one = cv2.resize(texture(0), (48, 48), interpolation=cv2.INTER_AREA)
    assert similarity(one, one) == pytest.approx(1, abs=1e-4)
    assert similarity(one, one[:, ::-1], mirrored=True) == pytest.approx(1, abs=1e-4)
    assert similarity(one, one[:, ::-1]) < 0.6
    assert similarity(one, 255 - one) < 0.6
    flat = np.full((48, 48), 100, dtype=np.uint8)
    assert similarity(flat, one) == -1
    assert similarity(one, flat) < 0.5


def test_a_split_that_is_not_there_has_none(made: FaceSet) -> None:
    assert near_duplicates(made.select("train"), "test", "train") == []
    assert near_duplicates(made.select("test"), "test", "train") == []


def test_one_split_alone_is_told(made: FaceSet) -> None:
    only = made.select("test")
    assert leak_sentences(leaks(only))[0] == (
        f"All {len(only):,} images are of one split, test: there is none to compare it with."
    )


def test_command(made: FaceSet, tmp_path: Path, mien) -> None:
    told = mien("data", "leaks", tmp_path / "made.zip", *NAMED, "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert "Of 30 test images 1 stand in train with the same pixels; 8 more (26.7 %)" in told.out
    page = (tmp_path / "out" / "leaks.html").read_text()
    for title in ("What the splits share", "A sample", "The least alike that are counted"):
        assert title in page
    kept = json.loads((tmp_path / "out" / "leaks.json").read_text())
    assert len([pair for pair in kept["pairs"] if pair["similarity"] >= 0.86]) == 9
    strict = mien(
        "data", "leaks", tmp_path / "made.zip", *NAMED, "--out", tmp_path / "out", "--threshold", "1", "--json"
    )
    assert strict.code == 0, strict.err
    assert json.loads(strict.out)["near"]["test in train"] <= 1  # the gray copy in color
    assert mien("data", "leaks", tmp_path / "made.zip", *NAMED, "--out", tmp_path / "o", "--threshold", "0.2").code == 2
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "leaks.json").write_text("{}")
    refused = mien("data", "leaks", tmp_path / "made.zip", *NAMED, "--out", tmp_path / "theirs")
    assert refused.code == 2
    assert (tmp_path / "theirs" / "leaks.json").read_text() == "{}"


@pytest.mark.slow
def test_fer2013(fer2013: FaceSet) -> None:
    """What the documentation says."""
    found = leaks(fer2013)
    assert found.identical == {"val in train": 280, "test in train": 288, "test in val": 44}
    assert found.near["test in train"] == pytest.approx(534, abs=3)  # another OpenCV may round otherwise
    assert found.near["val in train"] == pytest.approx(534, abs=3)
    assert found.near["test in val"] == pytest.approx(139, abs=3)

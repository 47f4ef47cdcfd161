"""The audit: repeats, leaks, conflicts and bad pictures, by hand and in FER2013."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data.audit import Audit, Group, audit
from mien.data.faceset import FaceSet
from mien.images import Pixels


@pytest.fixture
def made(pack: Callable[..., Path], encode: Callable[[Pixels], bytes], noise: Callable[..., Pixels]) -> FaceSet:
    """Pictures A to M; what repeats is written with the same letter."""
    picture = {letter: encode(noise((30, 30), seed)) for seed, letter in enumerate("ABCDEFGHIJKLM")}
    picture["tiny"] = encode(noise((23, 40), 50))
    picture["blank"] = encode(np.full((24, 24), 9, dtype=np.uint8))
    content = {
        "train/happy/1": "A", "train/happy/2": "A", "train/happy/3": "A", "train/happy/4": "B", "train/happy/5": "F",
        "train/sad/1": "B", "train/sad/2": "C", "train/sad/3": "D", "train/sad/4": "tiny", "train/sad/5": "blank",
        "val/happy/1": "A", "val/happy/2": "G", "val/happy/3": "H",
        "val/sad/1": "I", "val/sad/2": "I", "val/sad/3": "J",
        "test/happy/1": "A", "test/happy/2": "G", "test/happy/3": "K", "test/happy/4": "I",
        "test/sad/1": "C", "test/sad/2": "C", "test/sad/3": "L", "test/sad/4": "M", "test/sad/5": "M",
    }  # fmt: skip
    files = {f"{name}.png": picture[letter] for name, letter in content.items()}
    path = pack("made.zip", files | {"train/sad/bad.png": b"x", "test/sad/cut.png": picture["A"][:-60]})
    return FaceSet.open(path, labels=["happy", "sad"], skip_unreadable=True)


@pytest.fixture
def found(made: FaceSet) -> Audit:
    return audit(made)


def test_counts(found: Audit, made: FaceSet) -> None:
    assert (found.source, found.fingerprint) == ("made.zip", made.fingerprint)
    assert found.images == {"train": 10, "val": 6, "test": 9}


def test_repeats(found: Audit) -> None:
    assert found.repeated_groups == 6  # A B C G I M
    assert found.surplus == 4 + 1 + 2 + 1 + 2 + 1
    assert found.repeats_within == {"train": 2 + 1, "val": 1, "test": 1 + 1}  # AA B, I, C M


def test_leaks_between_splits(found: Audit) -> None:
    assert found.shared == {"val in train": 1, "test in train": 3, "test in val": 3}  # A; A C C; A G I
    # val without A; test without A C C G I; both together without A A C C
    assert found.leak_free == {"val": 5, "test": 4, "pooled": 11}


def test_conflicting_labels(found: Audit) -> None:
    groups = sorted(found.conflicts, key=lambda group: len(group.names))
    assert [len(group.names) for group in groups] == [2, 3]
    assert groups[0] == Group(
        names=("train/happy/4.png", "train/sad/1.png"), splits=("train", "train"), labels=("happy", "sad")
    )
    assert groups[1].names == ("test/happy/4.png", "val/sad/1.png", "val/sad/2.png")
    assert groups[1].splits == ("test", "val", "val")
    assert groups[1].labels == ("happy", "sad", "sad")


def test_bad_pictures(found: Audit) -> None:
    assert found.blank == ("train/sad/5.png",)
    assert found.tiny == ("train/sad/4.png",)
    assert sorted(found.unreadable) == ["test/sad/cut.png", "train/sad/bad.png"]
    assert "damaged picture" in found.unreadable["test/sad/cut.png"]


def test_json_round_trip(found: Audit) -> None:
    assert Audit.model_validate_json(found.model_dump_json()) == found


def test_a_set_without_test_has_no_score_for_it(made: FaceSet) -> None:
    assert audit(made.select("train", "val")).leak_free == {"val": 5}


def test_the_drawn_set_has_the_one_leak_that_was_drawn(drawn_zip: Path) -> None:
    found = audit(FaceSet.open(drawn_zip))
    assert (found.repeated_groups, found.surplus) == (1, 1)
    assert found.shared == {"val in train": 0, "test in train": 1, "test in val": 0}
    assert found.leak_free == {"val": 14, "test": 13, "pooled": 27}


@pytest.mark.slow
def test_fer2013(fer2013: FaceSet) -> None:
    found = audit(fer2013)
    assert found.images == {"train": 28_709, "val": 3_589, "test": 3_589}
    assert found.shared == {"val in train": 280, "test in train": 288, "test in val": 44}
    assert found.surplus == 1_851
    assert len(found.conflicts) == 62
    assert len(found.blank) == 12
    assert found.leak_free["test"] == 3_275
    assert found.leak_free["pooled"] == 6_610
    assert not found.tiny
    assert not found.unreadable

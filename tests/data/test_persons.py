"""Persons: known by names or by a file, on one side of every split that mien makes, and told where they are not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError
from mien.data.audit import audit
from mien.data.persons import fold_of, groups_of, read_subjects, tenth_of_groups

CODES = {"AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise"}
PEOPLE = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")


@pytest.fixture
def jaffe(tmp_path: Path, encode: Callable[..., bytes], noise: Callable[..., np.ndarray]) -> Path:
    """Ten people with three faces of each emotion."""
    (tmp_path / "jaffe").mkdir()
    number = 0
    for person in PEOPLE:
        for code in CODES:
            for again in (1, 2, 3):
                number += 1
                name = f"{person}.{code}{again}.{number}.tiff"
                (tmp_path / "jaffe" / name).write_bytes(encode(noise((8, 8), 30_000 + number)))
    return tmp_path / "jaffe"


def test_val_has_its_own_persons_and_every_class(jaffe: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    faces = FaceSet.open(jaffe)
    assert sorted(set(faces.persons)) == list(PEOPLE)
    val = faces.select("val")
    assert len(set(val.persons)) == 1
    assert np.bincount(val.labels).tolist() == [3] * 7
    assert not set(val.persons) & set(faces.select("train").persons)
    assert "val is a tenth of train by persons: 1 of 10, 21 of 210 faces; none of them in both" in caplog.text
    assert np.array_equal(FaceSet.open(jaffe).splits, faces.splits)
    others = {str(FaceSet.open(jaffe, val_seed=seed).select("val").persons[0]) for seed in range(6)}
    assert len(others) > 1
    assert faces.to_dicts()[0]["person"] == faces.persons[0]


def test_without_persons_the_split_is_by_images_as_ever(jaffe: Path, tmp_path: Path) -> None:
    for place in list(jaffe.iterdir()):
        who, code, number, _ = place.name.split(".")
        folder = tmp_path / "by-class" / CODES[code[:2]]
        folder.mkdir(parents=True, exist_ok=True)
        place.rename(folder / f"{who}-{number}.png")
    faces = FaceSet.open(tmp_path / "by-class")
    assert not faces.persons.any()
    assert faces.shared_persons() == {}
    assert np.bincount(faces.select("val").labels).tolist() == [3] * 7
    assert audit(faces).persons == 0


def test_subjects_from_a_file(jaffe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [place.name for place in sorted(jaffe.iterdir())]
    people = {name: f"p{i % 5}" for i, name in enumerate(names)}
    rows = [f"{who},30,{name}" for name, who in people.items()][:-1]
    (tmp_path / "subjects.csv").write_text("\n".join(["subject,age,name", *rows]))
    faces = FaceSet.open(jaffe, subjects=tmp_path / "subjects.csv")
    assert [people[name] for name in faces.names[:-1]] == faces.persons[:-1].tolist()
    assert faces.persons[-1] == ""
    assert "tells no subject of 1 of 210 faces; each counts as one" in caplog.text
    assert not (set(faces.select("val").persons) & set(faces.select("train").persons)) - {""}
    assert len(set(faces.select("val").persons) - {""}) <= 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,person\na,1\n", "expected a CSV with the columns name and subject, found: name, person"),
        ("name,subject\na,\n", "line 2: expected a name and a subject"),
        ("name,subject\na,1\na,2\n", "line 3: a is of 1 and of 2"),
        ("name,subject\nother.png,1\n", "speaks of none of the 210 faces. It names pictures like other.png"),
    ],
)
def test_a_file_of_subjects_that_is_none_says_so(text: str, why: str, jaffe: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        FaceSet.open(jaffe, subjects=tmp_path / "s.csv")
    assert why in str(refused.value)
    with pytest.raises(InputError, match="found: no such file"):
        read_subjects(tmp_path / "gone.csv")


def test_given_splits_that_share_persons_are_told(
    jaffe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place in list(jaffe.iterdir()):
        who, code, *_ = place.name.split(".")
        split = "test" if who == "YM" or (who in ("KA", "KL") and code.endswith("3")) else "train"
        folder = tmp_path / "split" / split / CODES[code[:2]]
        folder.mkdir(parents=True, exist_ok=True)
        place.rename(folder / place.name)
    faces = FaceSet.open(tmp_path / "split")
    found = audit(faces)
    assert found.persons == 10
    shared = {"KA", "KL"} - {str(faces.select("val").persons[0])}
    assert found.shared_persons == {"val in train": 0, "test in train": len(shared), "test in val": 2 - len(shared)}
    assert f"{len(shared)} persons of test are also in train: a figure on test says less of new people" in caplog.text


def test_groups_join_persons_with_identical_pictures() -> None:
    persons = np.array(["a", "a", "b", "c", "", "", "c"])
    pictures = np.array(["1", "2", "2", "3", "4", "4", "5"])
    groups = groups_of(persons, pictures).tolist()
    assert [groups.index(group) for group in groups] == [0, 0, 0, 3, 4, 4, 3]
    assert groups_of(persons[::-1], pictures[::-1]).tolist() == groups[::-1]


def test_folds_are_as_alike_as_scikit_learn_s() -> None:
    """Against `StratifiedGroupKFold`: no group parted, and the shares of classes no further from the whole."""
    selection = pytest.importorskip("sklearn.model_selection")
    rng = np.random.default_rng(3)
    groups = np.unique(rng.integers(0, 60, 600), return_inverse=True)[1]
    labels = np.where(rng.random(600) < 0.1, 2, rng.integers(0, 2, 600))

    def unlike(folds: np.ndarray) -> float:
        counts = np.array([[((folds == f) & (labels == k)).sum() for k in range(3)] for f in range(5)])
        return float((counts / counts.sum(axis=0)).std(axis=0).mean())

    ours = fold_of(groups, labels, 5, seed=0)
    assert all(len(set(ours[groups == group])) == 1 for group in set(groups))
    theirs = np.zeros(600, dtype=int)
    splitter = selection.StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for fold, (_, members) in enumerate(splitter.split(labels, labels, groups)):
        theirs[members] = fold
    assert unlike(ours) < unlike(theirs) + 0.01
    assert unlike(ours) < 0.03
    assert not np.array_equal(fold_of(groups, labels, 5, seed=1), ours)


def test_no_part_is_taken_that_would_leave_a_class_out_of_train() -> None:
    labels = np.array([0, 0, 1, 0, 0, 0])
    groups = np.array([0, 0, 1, 2, 3, 4])  # one person alone shows class 1
    for seed in range(5):
        part = tenth_of_groups(groups, labels, seed)
        assert part is not None
        assert not part[2]
        assert 0 < part.sum() <= 2
    assert tenth_of_groups(np.zeros(6, dtype=np.int64), labels, 0) is None
    assert tenth_of_groups(np.array([0, 0, 1]), np.array([0, 0, 1]), 0) is None

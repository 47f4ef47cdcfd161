"""Suspects: planted wrong labels are found, folds keep identical images together, and what is missing is said."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mien import FaceSet
from mien.errors import InputError, MissingExtraError
from mien.evaluation.suspects import Judge, Suspects, assign_folds, out_of_fold, suspects
from mien.labels import LabelSet

PLANTED = 6
SIZE = 64


def upright_or_turned(faces: FaceSet) -> FaceSet:
    """The drawn faces, half of them upside down, labeled by that: features of 112 cartoons tell no more apart."""
    turned = np.array([int(pixels, 16) % 2 for pixels in faces.hashes.tolist()])
    images = faces.images
    store = np.where(turned[:, None, None] == 1, images[:, ::-1], images)
    return replace(
        faces, label_set=LabelSet("way", ("upright", "turned")), store=store, rows=np.arange(len(faces)), labels=turned
    )


def flipped(faces: FaceSet) -> tuple[FaceSet, dict[str, tuple[str, str]]]:
    """Six train faces that appear once get the other label: name → (label, true label)."""
    ways = upright_or_turned(faces)
    unique, counts = np.unique(ways.hashes, return_counts=True)
    candidates = np.flatnonzero((ways.splits == "train") & np.isin(ways.hashes, unique[counts == 1]))
    chosen = np.random.default_rng(0).choice(candidates, PLANTED, replace=False)
    labels, names = ways.labels.copy(), ways.label_set.labels
    labels[chosen] = 1 - labels[chosen]
    return replace(ways, labels=labels), {str(ways.names[i]): (names[labels[i]], names[ways.labels[i]]) for i in chosen}


@pytest.fixture(scope="module")
def searched(drawn_faces: FaceSet) -> tuple[Suspects, dict[str, tuple[str, str]]]:
    wrong, planted = flipped(drawn_faces)
    return suspects(wrong, "train", Judge(size=SIZE)), planted


def test_planted_labels_come_first(searched: tuple[Suspects, dict[str, tuple[str, str]]]) -> None:
    found, planted = searched
    top = {suspect.name: (suspect.label, suspect.suggested) for suspect in found.ranked[: 2 * PLANTED]}
    assert len(planted) == PLANTED
    hits = [name for name in planted if top.get(name) == planted[name]]
    assert len(hits) >= PLANTED - 1, f"of {sorted(planted)} found: {hits} in {top}"


def test_the_figures_fit_together(searched: tuple[Suspects, dict[str, tuple[str, str]]], drawn_faces: FaceSet) -> None:
    found, _ = searched
    wrong = flipped(drawn_faces)[0].select("train")
    assert (found.n, found.split, found.backbone, found.folds) == (len(wrong), "train", "efficientnet-lite0", 5)
    assert {row.label: row.images for row in found.per_class} == {
        label: int((wrong.labels == k).sum()) for k, label in enumerate(wrong.label_set.labels)
    }
    assert sum(row.issues for row in found.per_class) == found.issues == len(found.ranked)
    qualities = [suspect.quality for suspect in found.ranked]
    assert qualities == sorted(qualities)
    assert all(
        0 <= quality < 0.5 and s.label != s.suggested for quality, s in zip(qualities, found.ranked, strict=True)
    )
    assert 0.5 < found.accuracy.low < found.accuracy.value < found.accuracy.high < 1
    assert Suspects.model_validate_json(found.model_dump_json()) == found


def test_again_and_with_a_copy_under_another_label(
    searched: tuple[Suspects, dict[str, tuple[str, str]]], drawn_faces: FaceSet
) -> None:
    """The second search sees the same train split, and one of its pictures once more in val under another label."""
    found, planted = searched
    wrong, _ = flipped(drawn_faces)
    first = next(suspect.name for suspect in found.ranked if suspect.name in planted)
    hashes = wrong.hashes.copy()
    other_way = wrong.labels != wrong.labels[wrong.names == first][0]
    hashes[np.flatnonzero((wrong.splits == "val") & other_way)[0]] = hashes[wrong.names == first][0]
    calls: list[tuple[str, int, int]] = []
    again = suspects(
        replace(wrong, hashes=hashes), "train", Judge(size=SIZE), progress=lambda *call: calls.append(call)
    )
    assert [s.name for s in again.ranked if s.conflict and s.name in planted] == [first]
    assert not any(s.conflict for s in found.ranked if s.name in planted)
    unmarked = [s.model_copy(update={"conflict": False}) for s in again.ranked]
    assert unmarked == [s.model_copy(update={"conflict": False}) for s in found.ranked]
    assert (again.accuracy, again.per_class) == (found.accuracy, found.per_class)
    assert [call for call in calls if call[1] == call[2]] == [("features of faces", 112, 112), ("folds", 5, 5)]


def test_identical_images_share_a_fold(drawn_faces: FaceSet) -> None:
    train = drawn_faces.select("train")
    hashes = train.hashes.copy()
    hashes[1::4] = hashes[0::4][: len(hashes[1::4])]  # a quarter are copies of the image before, some relabeled so
    faces = replace(train, hashes=hashes)
    folds = assign_folds(faces, 3, 0)
    assert set(folds.tolist()) == {0, 1, 2}
    for pixels in set(hashes.tolist()):
        assert len(set(folds[hashes == pixels].tolist())) == 1
    assert np.array_equal(folds, assign_folds(faces, 3, 0))
    assert not np.array_equal(folds, assign_folds(faces, 3, 1))


def test_classes_are_spread_over_the_folds(drawn_faces: FaceSet) -> None:
    train = drawn_faces.select("train")
    folds = assign_folds(train, 5, 0)
    for k in range(len(train.label_set)):
        per_fold = np.bincount(folds[train.labels == k], minlength=5)
        assert per_fold.min() >= 1
        assert np.ptp(per_fold) <= 2


def test_no_face_is_judged_by_what_learned_from_it() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    labels, folds = rng.integers(0, 3, 60), np.arange(60) % 3
    probs = out_of_fold(features, labels, folds, 3)
    for fold in range(3):
        held, seen = folds == fold, folds != fold
        scaler = StandardScaler().fit(features[seen])
        model = LogisticRegression(C=0.001, max_iter=1000).fit(scaler.transform(features[seen]), labels[seen])
        assert probs[held] == pytest.approx(model.predict_proba(scaler.transform(features[held])), abs=1e-6)
    others = np.where(folds == 0, (labels + 1) % 3, labels)
    assert out_of_fold(features, others, folds, 3)[folds == 0] == pytest.approx(probs[folds == 0])


def test_a_class_that_stands_in_one_fold_alone_is_improbable_there() -> None:
    features = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    labels, folds = np.array([0, 1] * 5 + [2, 2]), np.array([0] * 5 + [1] * 7)
    probs = out_of_fold(features, labels, folds, 3)
    assert (probs[folds == 1, 2] == 0).all()
    assert (probs[folds == 0, 2] > 0).all()
    assert probs.sum(axis=1) == pytest.approx(np.ones(12))


def test_too_few_images_of_a_class(drawn_faces: FaceSet) -> None:
    with pytest.raises(InputError, match=r"different images here, expected at least as many as the 5 folds"):
        suspects(drawn_faces, "test", Judge(size=SIZE))
    with pytest.raises(InputError, match=r"has 16 different images here"):
        assign_folds(drawn_faces.select("train"), 50, 0)
    train = drawn_faces.select("train")
    copies = np.where(train.labels == 1, "the same", train.hashes)  # many images of a class, but all alike
    with pytest.raises(InputError, match="disgust has 1 different images"):
        assign_folds(replace(train, hashes=copies), 2, 0)
    with pytest.raises(InputError, match="at least 2, got 1"):
        assign_folds(train, 1, 0)


def test_a_split_that_is_not_there(drawn_faces: FaceSet) -> None:
    with pytest.raises(InputError, match=r"has no val split\. It has: test, train"):
        suspects(drawn_faces.select("train", "test"), "val")


def test_without_cleanlab_the_extra_is_named(drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cleanlab", "cleanlab.filter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match='needs the extra "audit"'):
        suspects(drawn_faces, "train", Judge(size=SIZE))

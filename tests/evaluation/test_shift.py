"""Shift: distances against a covariance of one's own, alarms by simulation, and the real model on real faces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import chi2

from mien import FaceSet, InputError
from mien.evaluation.corruptions import corrupt
from mien.evaluation.robustness import Draw, robustness
from mien.evaluation.shift import FEWEST_FACES, LEVEL, Source, fit_reference, references, shift_alarm
from mien.model import Model
from mien.model_files import with_features
from mien.recognize.classifier import Classifier
from mien.recognize.shift import Reference

DRAWN = Source("drawn", "none")


def drawn(n: int, shares: list[float], seed: int, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Answers `(N, 3)` and features `(N, 24)` of faces of three classes: features are classes, noise and `moved`."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, n, p=shares)
    logits = 3 * np.eye(3)[classes] + rng.normal(size=(n, 3))
    features = logits @ np.arange(72).reshape(3, 24) / 40 + rng.normal(size=(n, 24)) @ np.diag(np.linspace(2, 0.2, 24))
    features[:, 1] += moved
    return softmax(logits, axis=1).astype(np.float32), features.astype(np.float32)


def of(n: int = 4000, seed: int = 0) -> Reference:
    said, seen = drawn(n, [0.5, 0.3, 0.2], seed)
    return fit_reference(seen, said, (3,), DRAWN)


def alarms(reference: Reference, draws: int, n: int, **how: object) -> float:
    told = 0
    for seed in range(draws):
        said, seen = drawn(n, seed=1000 + seed, **{"shares": [0.5, 0.3, 0.2], **how})
        told += reference.look(reference.rest(seen, said).mean(axis=0), n).alarm
    return told / draws


def test_the_distance_is_hotelling_s_of_what_answers_do_not_predict() -> None:
    said, seen = drawn(2000, [0.5, 0.3, 0.2], 3)
    reference = fit_reference(seen, said, (3,), DRAWN, seed=5)
    assert reference.limit == pytest.approx(chi2.isf(LEVEL, 16))
    own = np.random.default_rng(5).permutation(2000)[:1000]
    # By hand: regress on the answers, keep the plane of the sixteen largest deviations, invert its covariance.
    logs = np.log(np.maximum(said.astype(float), 1e-3))
    columns = np.column_stack([np.ones(2000), logs - logs.mean(axis=1, keepdims=True), said])
    rest = seen - columns @ (np.linalg.pinv(columns[own], rcond=1e-6) @ seen[own].astype(float))
    values, axes = np.linalg.eigh(np.cov(rest[own].T))
    plane = rest @ axes[:, -16:]
    other_said, other_seen = drawn(150, [0.2, 0.2, 0.6], 9, moved=0.3)
    logs = np.log(np.maximum(other_said.astype(float), 1e-3))
    shown = np.column_stack([np.ones(150), logs - logs.mean(axis=1, keepdims=True), other_said])
    slopes = np.linalg.pinv(columns[own], rcond=1e-6) @ seen[own].astype(float)
    mean = ((other_seen - shown @ slopes) @ axes[:, -16:]).mean(axis=0)
    by_hand = mean @ np.linalg.inv(np.cov(plane[own].T)) @ mean / (1 / 150 + 1 / 1000)
    found = reference.look(reference.rest(other_seen, other_said).mean(axis=0), 150)
    assert found.distance == pytest.approx(by_hand, rel=1e-3)
    assert values[-1] > values[0]


def test_faces_like_the_reference_s_are_seldom_an_alarm_and_others_are() -> None:
    reference = of()
    assert reference.false_alarms <= 10  # of 1,000, asked: at most 1 %
    assert alarms(reference, 400, 200) <= 0.0125
    assert alarms(reference, 50, 200, moved=1.5) == 1


def test_other_shares_of_classes_are_no_alarm() -> None:
    assert alarms(of(), 200, 200, shares=[0.02, 0.08, 0.9]) <= 0.03


def test_more_faces_find_no_smaller_shift() -> None:
    reference = of()
    barely = 0.35
    assert alarms(reference, 10, 4000, moved=barely) <= alarms(reference, 40, 200, moved=barely) + 0.5
    mean = np.full(reference.directions, 0.1)
    assert (
        reference.look(mean, 200).distance == reference.look(mean, 100_000).distance > reference.look(mean, 60).distance
    )


def test_too_few_faces_are_refused() -> None:
    said, seen = drawn(FEWEST_FACES - 1, [0.5, 0.3, 0.2], 0)
    with pytest.raises(InputError, match="799 val faces that are not in the training set; a reference needs 800"):
        fit_reference(seen, said, (3,), DRAWN)
    with pytest.raises(InputError, match="faces found: 49, expected at least 50"):
        of(1000).look(np.zeros(16), 49)


def test_features_that_never_change_tell_nothing() -> None:
    said, seen = drawn(1000, [0.5, 0.3, 0.2], 0)
    with pytest.raises(InputError, match="the same for every face"):
        fit_reference(np.ones_like(seen), said, (3,), DRAWN)


@pytest.mark.slow
def test_mien_tiny_on_real_faces(fer2013: FaceSet) -> None:
    """What a quarter of the answers costs is told; val faces of the other half and mixes of emotions are not."""
    model = Model.open("mien-tiny")
    opened = Classifier.read(with_features(model.content, "mien-tiny"), "mien-tiny")
    free = model.unseen(fer2013, "val")
    as_they_came, anew = references(opened.with_features, free, model.card)
    assert (as_they_came.detector, anew.detector) == ("none", "default")
    assert as_they_came.faces + 1 >= len(free) / 2
    assert max(as_they_came.false_alarms, anew.false_alarms) <= 10
    test = fer2013.select("test").keep(np.arange(3589) % 4 == 0)
    clean = model.predictions(test, "test").answers("labels")
    classify = lambda crops: opened.probabilities(crops)[:, :7]  # noqa: E731
    robust = robustness(classify, test, clean, model.card.alignment, Draw(draws=50))
    found = shift_alarm((opened.with_features, as_they_came), test, robust)
    assert found.clean.value <= 0.01
    assert found.costly >= 10
    assert not [row for row in found.missed if row[2] > 0.08]
    happy = test.keep(test.labels == test.label_set.labels.index("happy"))
    said, seen = opened.with_features(list(happy.gather(np.arange(len(happy)))))
    assert not as_they_came.look(as_they_came.rest(seen, said)[:200].mean(axis=0), 200).alarm
    blurred = [corrupt(crop, "blur", 5) for crop in happy.gather(np.arange(200))]
    said, seen = opened.with_features(blurred)
    assert as_they_came.look(as_they_came.rest(seen, said).mean(axis=0), 200).alarm

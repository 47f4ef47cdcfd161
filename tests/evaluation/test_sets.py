"""Prediction sets: thresholds against MAPIE, the promise by simulation, figures by hand, and on kept answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import betabinom

from mien.cards import Card, Head, Sets
from mien.confidence import in_set, set_thresholds
from mien.errors import InputError
from mien.evaluation.sets import expected_coverage, prediction_sets
from mien.predictions import Predictions

RESULTS = Path(__file__).parents[2] / "results"


def draw(n: int, rng: np.random.Generator, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels that are not equally frequent, and probabilities that know something of them."""
    labels = rng.choice(classes, size=n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    powers = np.exp(logits)
    return labels, powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("level", "seed"), [(0.9, 0), (0.8, 1), (0.95, 2)])
def test_the_sets_are_mapie_s_of_each_class(level: float, seed: int) -> None:
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose images are its probabilities."""

        classes_ = np.arange(3)

        def fit(self, _x: object, _y: object = None) -> Given:
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x.argmax(axis=1))

    rng = np.random.default_rng(seed)
    labels, probs = draw(600, rng)
    _, fresh = draw(400, rng)
    ours = fresh >= set_thresholds(level, probs, np.eye(3)[labels])
    for k in range(3):
        theirs = SplitConformalClassifier(Given(), confidence_level=level, conformity_score="lac", prefit=True)
        theirs.conformalize(probs[labels == k], labels[labels == k])
        np.testing.assert_array_equal(ours[:, k], theirs.predict_set(fresh)[1][:, k, 0])
    assert 0.2 < ours.mean() < 0.9


def test_thresholds_by_hand() -> None:
    probs = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    both = np.stack([probs, 1 - probs], axis=1)
    first = np.stack([np.ones(9), np.zeros(9)], axis=1)
    np.testing.assert_allclose(set_thresholds(0.9, both, first), [0.1, 0])  # 9 of 9 + 1; of the other none is known
    np.testing.assert_allclose(set_thresholds(0.8, both, first), [0.2, 0])
    assert set_thresholds(0.9, both[:8], first[:8]).tolist() == [0, 0]  # 8 are too few
    np.testing.assert_allclose(set_thresholds(0.5, both, first / 2)[0], 0.4)  # 2.75 of 4.5 + 1: six halves
    for level in (0, 1, -0.1, float("nan")):
        with pytest.raises(InputError, match="above 0 and below 1"):
            set_thresholds(level, both, first)


def test_the_most_probable_label_is_always_in() -> None:
    held = in_set(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), np.array([0.9, 0.25, 0.1]))
    assert held.tolist() == [[True, True, True], [False, False, True]]
    sets = Sets(level=0.9, thresholds=(0.9, 0.25, 0.3), images=(9, 9, 9))
    head = Head(labels=("a", "b", "c"), sets=sets)
    assert head.set_of(np.array([0.3, 0.5, 0.2])) == ("b",)
    assert head.set_of(np.array([0.3, 0.3, 0.4])) == ("c", "b")
    assert Head(labels=("a", "b")).set_of(np.array([0.4, 0.6])) is None


def test_the_promise_holds_in_each_class_over_draws_of_val() -> None:
    """Mean coverage of class k lies within [level, level + 1 / (n_k + 1)], but for the error of the simulation."""
    rng, level, repeats = np.random.default_rng(3), 0.8, 1500
    held, number = np.zeros(3), np.zeros(3)
    for _ in range(repeats):
        labels, probs = draw(60, rng)
        thresholds = set_thresholds(level, probs, np.eye(3)[labels])
        fresh, said = draw(60, rng)
        for k in range(3):
            held[k] += (said[fresh == k, k] >= thresholds[k]).sum()
            number[k] += (fresh == k).sum()
    coverage = held / number
    assert (coverage > level - 0.006).all(), coverage
    assert (coverage < level + np.array([0.12, 0.06, 0.04])).all(), coverage  # of 10, 20 and 30 images
    assert held.sum() / number.sum() > level - 0.003


def test_of_votes_the_promise_holds_for_a_tagger_drawn_at_random() -> None:
    """Taggers of a face agree more than two faces do, and number 1 to 10: only faces are independent."""
    rng, level, repeats = np.random.default_rng(4), 0.8, 1500

    def voted(n: int) -> tuple[np.ndarray, np.ndarray]:
        _, probs = draw(n, rng)
        crowd = rng.dirichlet([0.5] * 3, size=n) / 2 + probs / 2
        votes = np.stack([rng.multinomial(rng.integers(1, 11), one) for one in crowd])
        return votes / votes.sum(axis=1, keepdims=True), probs

    held, number = np.zeros(3), np.zeros(3)
    for _ in range(repeats):
        shares, probs = voted(50)
        thresholds = set_thresholds(level, probs, shares)
        truth, said = voted(50)
        held += (truth * (said >= thresholds)).sum(axis=0)
        number += truth.sum(axis=0)
    assert (held / number > level - 0.006).all(), held / number
    assert (held / number < level + 0.06).all(), held / number


def test_what_one_threshold_covers_of_all_faces_has_a_beta_distribution() -> None:
    rng = np.random.default_rng(5)
    # Of uniform scores a threshold covers exactly 1 - itself.
    covered = [
        1 - set_thresholds(0.9, np.stack([p, 1 - p], axis=1), np.stack([p > -1, p < -1], axis=1).astype(float))[0]
        for p in rng.random((4000, 41))
    ]
    low, high = expected_coverage(0.9, 41)
    np.testing.assert_allclose((low, high), np.percentile(covered, [2.5, 97.5]), atol=0.01)
    assert np.mean(covered) == pytest.approx(38 / 42, abs=0.003)
    assert expected_coverage(0.9, 8) == (1, 1)


def answers(labels: np.ndarray, probs: np.ndarray, split: str = "test") -> Predictions:
    n, names = len(labels), np.array([f"{i}.png" for i in range(len(labels))], dtype=np.str_)
    none = np.zeros(n, dtype=bool)
    given = (labels.astype(np.int64), probs.astype(np.float32))
    return Predictions(split, ("a", "b", "c"), names, names, *given, none, none.copy())


def test_figures_of_four_faces_by_hand() -> None:
    probs = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.35, 0.34, 0.31]])
    said = answers(np.array([1, 0, 2, 0]), probs)
    head = Head(labels=("a", "b", "c"), sets=Sets(level=0.9, thresholds=(0.5, 0.3, 0.9), images=(20, 20, 8)))
    found = prediction_sets(said, said.label_shares, head)
    assert found is not None
    assert (found.n, found.coverage.value, found.size.value) == (4, 0.75, 1.5)  # {a b} {b} {c} {a b}
    assert found.sizes == (0.5, 0.5, 0)
    assert found.only_top == 0.25  # c of the third face, whose threshold is .9
    a, b, c = found.per_class
    assert a.coverage is not None
    assert (a.images, a.coverage.value, a.size) == (2, 0.5, 1.5)
    assert (b.images, b.size, c.size, c.expected) == (1, 2, 1, (1, 1))
    held, of = 19, 20  # ceil(.9 * 21) of 20: the threshold's coverage has the distribution Beta(19, 2)
    assert min(one.p for one in found.per_class) == pytest.approx(min(1, 3 * betabinom.cdf(1, 2, held, of + 1 - held)))
    assert found.broken == ()
    assert prediction_sets(said, said.label_shares, Head(labels=("a", "b", "c"))) is None


def test_a_broken_promise_is_told() -> None:
    rng = np.random.default_rng(6)
    labels, probs = draw(2000, rng)
    card = set_thresholds(0.9, probs, np.eye(3)[labels])
    sets = Sets(level=0.9, thresholds=tuple(card), images=tuple(np.bincount(labels).astype(float)))
    head = Head(labels=("a", "b", "c"), sets=sets)
    fresh, said = draw(2000, rng)
    kept = prediction_sets(answers(fresh, said), np.eye(3)[fresh], head)
    assert kept is not None
    assert kept.broken == ()
    other = np.where((fresh == 0) & (rng.random(2000) < 0.5), 1, fresh)  # half of what looks like a is called b
    moved = prediction_sets(answers(other, said), np.eye(3)[other], head)
    assert moved is not None
    assert moved.broken == ("b",)


@pytest.mark.parametrize("name", ["mien-tiny", "cnn-v2"])
def test_kept_answers_hold_the_promise_on_test(name: str) -> None:
    card = Card.load(RESULTS / name / "card.json")
    card = card.calibrated(Predictions.load(RESULTS / name / "predictions" / "val.npz"), card.risk, 0.9)
    test = Predictions.load(RESULTS / name / "predictions" / "test.npz").tempered(card.temperature)
    found = prediction_sets(test, test.label_shares, card.head("labels"))
    assert found is not None
    assert (found.level, found.n, found.broken) == (0.9, 3275, ())
    assert 0.89 < found.coverage.value < 0.93
    assert 1.5 < found.size.value < 3.5
    if card.people:
        said = Predictions.load(RESULTS / name / "predictions" / "test.npz").answers("people")
        said = said.tempered(card.people.temperature)
        votes = prediction_sets(said, said.vote_shares, card.people, of_votes=True)
        assert votes is not None
        assert votes.broken == ()
        assert 0.88 < votes.coverage.value < 0.93

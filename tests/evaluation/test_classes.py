"""Class tests are McNemar on the images of a class, corrected by Holm, beside an honest interval of F1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score, recall_score

from mien.errors import InputError
from mien.evaluation.classes import class_tests, compare_classes
from mien.evaluation.significance import holm
from mien.predictions import Predictions

LABELS = ("a", "b", "c")


def answering(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> Predictions:
    """Predictions that are sure of `predicted`."""
    truth, guess = np.asarray(labels, dtype=np.int64), np.asarray(predicted)
    n = len(truth)
    return Predictions(
        split="test",
        label_names=LABELS,
        names=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i:032x}" for i in range(n)], dtype=np.str_),
        labels=truth,
        probabilities=np.eye(3, dtype=np.float32)[guess],
        in_train=np.zeros(n, dtype=np.bool_),
        in_val=np.zeros(n, dtype=np.bool_),
    )


def random_pair(n: int = 500) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(4)
    labels = rng.choice(3, size=n, p=(0.6, 0.3, 0.1))
    weak = np.where(rng.random(n) < 0.5, labels, rng.integers(3, size=n))
    strong = np.where(rng.random(n) < 0.4, labels, weak)
    return answering(labels, weak), answering(labels, strong)


def test_a_case_by_hand() -> None:
    labels = [0] * 10 + [1] * 2
    first = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]  # one of a, both of b
    second = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]  # nine of a, one of b
    result = compare_classes(("x", answering(labels, first)), ("y", answering(labels, second)))
    assert (result.first, result.second, result.split, result.n) == ("x", "y", "test", 12)
    a, b, c = result.rows
    assert (a.label, a.support, a.recall) == ("a", 10, (0.1, 0.9))
    assert (a.only_first_right, a.only_second_right) == (0, 8)
    assert a.p_value == pytest.approx(2 / 2**8)  # eight fair coins, all the same
    assert a.p_holm == pytest.approx(2 * 2 / 2**8)  # two classes have images
    assert (a.better, a.significant) == (1, 1)
    assert a.f1 == pytest.approx((2 / 11, 18 / 20))
    assert a.f1_difference is not None
    assert a.f1_difference.value == pytest.approx(18 / 20 - 2 / 11)
    assert (b.only_first_right, b.only_second_right) == (1, 0)
    assert (b.p_value, b.p_holm, b.significant) == (1.0, 1.0, None)
    assert b.f1 == pytest.approx((4 / 13, 2 / 4))
    assert b.better == 1  # by F1, although its recall is lower
    assert (c.support, c.f1, c.f1_difference, c.p_value, c.p_holm, c.better, c.significant) == (
        0, (None, None), None, None, None, None, None,
    )  # fmt: skip


def test_agrees_with_scipy_and_scikit_learn() -> None:
    first, second = random_pair()
    result = compare_classes(("x", first), ("y", second), draws=10)
    for k, row in enumerate(result.rows):
        of_class = first.labels == k
        x, y = (p.predicted[of_class] == k for p in (first, second))
        assert row.p_value == pytest.approx(binomtest(int((y & ~x).sum()), int((x != y).sum())).pvalue)
        for i, p in enumerate((first, second)):
            assert row.f1[i] == pytest.approx(f1_score(p.labels, p.predicted, labels=[k], average=None)[0])
            assert row.recall[i] == pytest.approx(recall_score(p.labels, p.predicted, labels=[k], average=None)[0])
    assert [row.p_holm for row in result.rows] == holm([row.p_value or 0.0 for row in result.rows])


def test_interval_of_f1_equals_naive_resampling() -> None:
    first, second = random_pair()
    result = compare_classes(("x", first), ("y", second))
    rng = np.random.default_rng(9)
    draws = []
    for _ in range(600):
        picked = rng.integers(len(first), size=len(first))
        x, y = (f1_score(p.labels[picked], p.predicted[picked], average=None) for p in (first, second))
        draws.append(y - x)
    for k, row in enumerate(result.rows):
        low, high = np.percentile([draw[k] for draw in draws], [2.5, 97.5])
        assert row.f1_difference is not None
        assert (row.f1_difference.low, row.f1_difference.high) == pytest.approx((low, high), abs=0.02)


def test_a_class_that_many_draws_lack_still_has_an_interval() -> None:
    labels = [0] * 30 + [1]
    row = compare_classes(("x", answering(labels, [0] * 31)), ("y", answering(labels, labels)), draws=50).rows[1]
    assert row.f1_difference is not None
    assert (row.f1_difference.value, row.f1_difference.low, row.f1_difference.high) == (1.0, 1.0, 1.0)


def test_the_same_answers_cannot_be_told_apart() -> None:
    first, _ = random_pair()
    for row in compare_classes(("x", first), ("y", first), draws=20).rows:
        assert (row.p_holm, row.better, row.significant) == (1.0, None, None)
        assert row.f1_difference is not None
        assert (row.f1_difference.low, row.f1_difference.high) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("raw", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),  # never below one that was smaller
        ([0.005, 0.9, 0.011, 0.02], [0.02, 0.9, 0.033, 0.04]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm(raw: list[float], corrected: list[float]) -> None:
    assert holm(raw) == pytest.approx(corrected)


def test_every_pair_in_the_order_given() -> None:
    first, second = random_pair()
    tests = class_tests({"x": first, "y": second, "z": first})
    assert tests is not None
    assert [(pair.first, pair.second) for pair in tests.pairs] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert tests.pair("y", "z") == tests.pairs[2]
    assert tests.pair("z", "y") is None
    assert class_tests({"x": first}) is None
    assert class_tests({}) is None


def test_other_images_or_none_are_refused() -> None:
    first, second = random_pair()
    with pytest.raises(InputError, match=r"cannot compare x and y by class: different splits.*Evaluate both"):
        compare_classes(("x", first), ("y", replace(second, split="val")))
    nothing = answering(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(InputError, match="no image to score"):
        compare_classes(("x", nothing), ("y", nothing))

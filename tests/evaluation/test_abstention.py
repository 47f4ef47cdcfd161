"""Risk against coverage, against hand cases and scikit-learn's curve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc
from statsmodels.stats.proportion import proportion_confint

from mien.errors import InputError
from mien.evaluation.abstention import Abstention, abstention
from mien.predictions import Predictions


def answers(confidence: list[float], right: list[bool]) -> Predictions:
    top, n = np.array(confidence, dtype=np.float32), len(right)
    return Predictions(
        split="test",
        label_names=("happy", "sad"),
        names=np.array([f"{i}" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i}" for i in range(n)], dtype=np.str_),
        labels=np.where(right, 0, 1).astype(np.int64),
        probabilities=np.stack([top, 1 - top], axis=1).reshape(n, 2),
        in_train=np.zeros(n, dtype=bool),
        in_val=np.zeros(n, dtype=bool),
    )


def test_four_answers_by_hand() -> None:
    found = abstention(answers([0.6, 0.9, 0.8, 0.7], [False, True, False, True]), threshold=0.75, wanted=0.2)
    assert [one.n for one in found.curve] == [1, 2, 3, 4]
    assert [one.risk.value for one in found.curve if one.risk] == [0, 1 / 2, 1 / 3, 1 / 2]
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert found.aurc_best == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    there = found.at_threshold
    assert there is not None
    assert (there.n, there.coverage) == (2, 0.5)
    assert there.risk is not None
    assert (there.risk.low, there.risk.high) == pytest.approx(proportion_confint(1, 2, method="wilson"))
    assert found.kept is None  # one of two says little about a risk of .2


def test_a_broken_promise_is_told() -> None:
    found = abstention(answers([0.9] * 100, [False] * 60 + [True] * 40), threshold=0.5, wanted=0.2)
    assert found.kept is False
    found = abstention(answers([0.9] * 400, [False] * 40 + [True] * 360), threshold=0.5, wanted=0.2)
    assert found.kept is True


def test_no_answer_reaches_the_threshold() -> None:
    found = abstention(answers([0.9] * 10, [True] * 10), threshold=1.0, wanted=0.2)
    assert found.at_threshold is not None
    assert (found.at_threshold.n, found.at_threshold.risk, found.kept) == (0, None, None)


def test_equal_confidences_are_given_together() -> None:
    """Constant predictions: no threshold separates them."""
    found = abstention(answers([0.7] * 200, [True] * 150 + [False] * 50))
    assert {one.n for one in found.curve} == {200}
    assert {one.risk.value for one in found.curve if one.risk} == {0.25}
    assert found.at_threshold is None


def test_the_area_is_that_of_the_curve() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 3000)
    right = rng.uniform(size=3000) < confidence
    found = abstention(answers(list(confidence), list(right)))
    coverage = [one.coverage for one in found.curve]
    risk = [one.risk.value for one in found.curve if one.risk]
    assert found.aurc == pytest.approx(auc([0, *coverage], [risk[0], *risk]), abs=0.01)
    assert found.aurc_best < found.aurc < 1 - right.mean()
    assert Abstention.model_validate_json(found.model_dump_json()) == found


def test_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="no image to look at"):
        abstention(answers([], []))

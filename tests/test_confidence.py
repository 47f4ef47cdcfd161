"""Temperature and threshold: hand cases, and the promise of the threshold kept in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mien import InputError
from mien.confidence import is_unsure, tempered, threshold_for


def test_tempered_by_hand() -> None:
    probs = np.array([[0.8, 0.2], [0.5, 0.5]])
    np.testing.assert_allclose(tempered(probs, 2.0), [[2 / 3, 1 / 3], [0.5, 0.5]])  # roots: 2 to 1
    np.testing.assert_allclose(tempered(tempered(probs, 3.0), 1 / 3.0), probs)
    assert tempered(np.zeros((0, 2)), 2.0).shape == (0, 2)


def test_all_answers_where_all_are_right() -> None:
    assert threshold_for(0.1, np.linspace(0.5, 1, 400), np.ones(400, dtype=bool)) == 0


@pytest.mark.parametrize("n", [0, 13])
def test_no_answer_where_too_few_are_known(n: int) -> None:
    """14 right answers of 14 are the fewest that speak for a risk of .2 with 95 %: .8 to the 14th is .044."""
    assert threshold_for(0.2, np.linspace(0.5, 1, n), np.ones(n, dtype=bool)) == 1
    assert threshold_for(0.2, np.linspace(0.5, 1, 14), np.ones(14, dtype=bool)) == 0


def test_no_answer_where_all_are_wrong() -> None:
    assert threshold_for(0.3, np.linspace(0.5, 1, 400), np.zeros(400, dtype=bool)) == 1


def test_it_ends_where_the_bound_says_so() -> None:
    """The 1,000 surest are right, the others wrong: the binomial says how many of those are let through."""
    confidence, right = np.linspace(1, 0.5, 2000), np.arange(2000) < 1000
    kept = int((confidence >= threshold_for(0.2, confidence, right)).sum())
    wrong = kept - 1000
    assert binom.cdf(wrong, kept, 0.2) <= 0.05  # so few wrong are unlikely if the risk were .2
    more = kept + 21  # a step further
    assert binom.cdf(more - 1000, more, 0.2) > 0.05


def test_the_wanted_risk_is_kept_in_95_of_100_trainings() -> None:
    """Answers right as often as their confidence says: the true risk above a threshold is known exactly."""
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(600):
        confidence = rng.uniform(0.3, 1, 500)
        threshold = threshold_for(0.2, confidence, rng.uniform(size=500) < confidence)
        broken += 1 - (1 + max(threshold, 0.3)) / 2 > 0.2
    assert broken / 600 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, float("nan")])
def test_a_risk_is_a_share(risk: float) -> None:
    with pytest.raises(InputError, match="expected a share of wrong answers"):
        threshold_for(risk, np.ones(3), np.ones(3, dtype=bool))


def test_equal_confidences_are_tested_together() -> None:
    """Sorted by class, the first of 500 answers of confidence 1 are right and the others wrong: none may pass."""
    confidence = np.concatenate([np.ones(500), np.linspace(0.9, 0.3, 500)])
    right = np.concatenate([np.ones(150, dtype=bool), np.zeros(850, dtype=bool)])
    threshold = threshold_for(0.2, confidence, right)
    assert threshold == 1
    assert is_unsure(1.0, threshold)  # a threshold of 1 marks all


@pytest.mark.parametrize(
    ("confidence", "threshold", "unsure"), [(0.5, 0.5, False), (0.49, 0.5, True), (0.0, 0.0, False)]
)
def test_unsure_is_below_the_threshold(confidence: float, threshold: float, unsure: bool) -> None:
    assert is_unsure(confidence, threshold) is unsure

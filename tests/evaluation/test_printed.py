"""Figures, p-values and verdicts as text."""

from __future__ import annotations

import pytest

from mien.evaluation.bootstrap import Estimate
from mien.evaluation.compare import PairedTest
from mien.evaluation.printed import format_estimate, recipe_verdict, verdict
from mien.evaluation.seeds import RecipeTest

SEEN = "2.1 points would be seen in 80 of 100 cases"


def paired(value: float, low: float, high: float, p: float) -> PairedTest:
    difference = Estimate(value=value, low=low, high=high)
    return PairedTest(
        first="cnn-v1",
        second="cnn-v2",
        accuracy_difference=difference,
        macro_f1_difference=difference,
        weighted_f1_difference=difference,
        mean_class_accuracy_difference=difference,
        nll_difference=difference,
        only_first_right=0,
        only_second_right=0,
        p_value=p / 3,  # the corrected one decides
        p_holm=p,
        detectable=0.021,
    )


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((0.6341, 0.6179, 0.6502), ".634 [.618, .650]"),
        ((1.0, 0.9996, 1.0), "1.000 [1.000, 1.000]"),
        ((10.25, 0.0, 10.5), "10.250 [.000, 10.500]"),
        ((-0.012, -0.1, -0.0001), "-.012 [-.100, .000]"),
    ],
)
def test_format_estimate(figures: tuple[float, float, float], text: str) -> None:
    value, low, high = figures
    assert format_estimate(Estimate(value=value, low=low, high=high)) == text


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (paired(0.081, 0.065, 0.098, 1e-9), "cnn-v2 is better than cnn-v1 by 8.1 points [6.5, 9.8], p < .001"),
        (paired(-0.081, -0.098, -0.065, 0.012), "cnn-v2 is worse than cnn-v1 by 8.1 points [6.5, 9.8], p = .012"),
        (paired(0.02, -0.001, 0.04, 0.049), "cnn-v2 is better than cnn-v1 by 2.0 points [-0.1, 4.0], p = .049"),
        (
            paired(0.004, -0.01, 0.018, 0.55),
            "cannot tell cnn-v2 and cnn-v1 apart: difference 0.4 points [-1.0, 1.8], p = .55; " + SEEN,
        ),
        (
            paired(0.02, -0.0001, 0.04, 0.05),
            "cannot tell cnn-v2 and cnn-v1 apart: difference 2.0 points [0.0, 4.0], p = .050; " + SEEN,
        ),
    ],
)
def test_verdict(pair: PairedTest, sentence: str) -> None:
    assert verdict(pair) == sentence


def test_verdict_on_recipes() -> None:
    def tested(value: float, p: float) -> RecipeTest:
        difference = Estimate(value=value, low=value - 0.01, high=value + 0.01)
        return RecipeTest(first="x", second="y", difference=difference, p_value=p, p_holm=p)

    assert recipe_verdict(tested(0.03, 0.0001)) == "y is better than x by 3.0 points [2.0, 4.0], p < .001"
    assert recipe_verdict(tested(-0.03, 0.01)) == "y is worse than x by 3.0 points [2.0, 4.0], p = .010"
    assert recipe_verdict(tested(0.003, 0.4)).startswith("cannot tell y and x apart: difference 0.3 points [-0.7, 1.3]")

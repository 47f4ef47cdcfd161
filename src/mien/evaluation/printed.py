"""Printed: figures, p-values and verdicts as text, worded here alone: `print()` and every page take them from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.evaluation.bootstrap import Estimate

if TYPE_CHECKING:
    from mien.evaluation.compare import PairedTest
    from mien.evaluation.seeds import RecipeTest

NONE = "–"  # stands where there is no figure


def figure_text(value: float, digits: int = 3) -> str:
    """A figure of 0–1 as papers print it, without the zero before the point.

    >>> figure_text(0.6341), figure_text(1.0), figure_text(-0.05, 2)
    ('.634', '1.000', '-.05')
    """
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0.0 turns -0.0 into 0.0
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def format_estimate(estimate: Estimate) -> str:
    """A figure and its interval to three decimals, without the zero before the point.

    >>> format_estimate(Estimate(value=0.6341, low=0.6179, high=0.6502))
    '.634 [.618, .650]'
    """
    return f"{figure_text(estimate.value)} [{figure_text(estimate.low)}, {figure_text(estimate.high)}]"


def points_text(difference: Estimate) -> str:
    """A difference of accuracies in points, with its interval.

    >>> points_text(Estimate(value=0.081, low=0.065, high=0.098))
    '8.1 points [6.5, 9.8]'
    """
    value, low, high = (round(100 * x, 1) + 0.0 for x in (difference.value, difference.low, difference.high))  # no -0.0
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"


def p_text(p: float | None) -> str:
    """A p-value for a table, to three decimals.

    >>> p_text(0.55), p_text(0.0123), p_text(1e-9), p_text(None)
    ('.550', '.012', '< .001', '–')
    """
    return NONE if p is None else "< .001" if p < 0.001 else figure_text(p)


def p_words(p: float) -> str:
    """A p-value within a sentence; three decimals where the decision falls, two above.

    >>> p_words(0.55), p_words(0.0123), p_words(1e-9)
    ('p = .55', 'p = .012', 'p < .001')
    """
    return "p < .001" if p < 0.001 else f"p = {figure_text(p, 3 if p < 0.1 else 2)}"


def verdict(pair: PairedTest) -> str:
    """One plain sentence on the accuracy of the second model against the first; the corrected p < .05 decides.

    As in `cnn-v2 is better than cnn-v1 by 8.1 points [6.5, 9.8], p < .001`.
    """
    told = outcome(pair.first, pair.second, pair.accuracy_difference, pair.p_holm < 0.05)
    told += f", {p_words(pair.p_holm)}"
    if pair.p_holm < 0.05 or pair.detectable is None:
        return told
    return f"{told}; {100 * pair.detectable:.1f} points would be seen in 80 of 100 cases"


def recipe_verdict(test: RecipeTest) -> str:
    """The same of two recipes over their seeds, by the mean accuracies of their runs."""
    return f"{outcome(test.first, test.second, test.difference, test.p_holm < 0.05)}, {p_words(test.p_holm)}"


def outcome(first: str, second: str, difference: Estimate, decided: bool) -> str:
    """Better, worse or not to be told apart, by the difference of accuracies, second minus first."""
    if not decided:
        return f"cannot tell {second} and {first} apart: difference {points_text(difference)}"
    if difference.value > 0:
        return f"{second} is better than {first} by {points_text(difference)}"
    return f"{second} is worse than {first} by {points_text(-difference)}"

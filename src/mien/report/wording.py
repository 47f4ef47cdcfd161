"""Wording: figures, names and p-values as every section of a page prints them."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.evaluate import Evaluation, figure_text, format_estimate

NONE = "–"  # stands where there is no figure
NO_INTERVAL = "One class has no interval here: few images, much chance."


def as_given(figure: float) -> str:
    """A figure of the study with the digits that it gives.

    >>> as_given(0.5181), as_given(0.634)
    ('.5181', '.634')
    """
    return f"{figure:.6g}".removeprefix("0")


def share(figure: float | None) -> str:
    return NONE if figure is None else figure_text(figure)


def spoken(evaluation: Evaluation) -> str:
    """Accuracy with split, n and interval."""
    return f"{evaluation.split} accuracy {format_estimate(evaluation.scores.accuracy)} (n = {evaluation.scores.n:,})"


def p_text(p: float | None) -> str:
    return NONE if p is None else "< .001" if p < 0.001 else figure_text(p)


def plural(word: str, count: float) -> str:
    return word if count == 1 else f"{word}s"


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

"""Words: what several sections print in the same way; figures, p-values and verdicts: `evaluation.printed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mien.evaluation.printed import NONE, figure_text, format_estimate

if TYPE_CHECKING:
    from mien.evaluation.evaluate import Evaluation
    from mien.evaluation.leaks import StrictScore

AI_ACT = (
    "In the European Union, Article 5(1)(f) of the AI Act (Regulation 2024/1689) forbids inferring emotions of people "
    "at work and in education, medical and safety reasons aside."
)
INTERVALS = (
    "Intervals are the 95 % percentile bootstrap over 2,000 resamples of the images; they do not show the chance of "
    "the seed, which only several runs of a recipe show (mien compare --seeds)."
)
LEAK_FREE = (
    "Leak-free figures leave out images whose pixels also stand in the training set, of test and all also those in val."
)


def as_given(figure: float) -> str:
    """A figure of the study with the digits that it gives.

    >>> as_given(0.5181), as_given(0.634)
    ('.5181', '.634')
    """
    return f"{figure:.6g}".removeprefix("0")


def share(figure: float | None) -> str:
    """A figure of 0–1, or a dash."""
    return NONE if figure is None else figure_text(figure)


def spoken(evaluation: Evaluation) -> str:
    """Accuracy with split, n and interval."""
    return f"{evaluation.split} accuracy {format_estimate(evaluation.scores.accuracy)} (n = {evaluation.scores.n:,})"


def strict_sentence(strict: StrictScore) -> str:
    """What is left out beside identical pixels, and the accuracy on the rest."""
    persons = f", and {strict.persons:,} of a person who is there too" if strict.known_persons else ""
    told = (
        f"Of the leak-free images {strict.near:,} show a photo again that training or selection saw, cut or scaled "
        f"otherwise{persons}"
    )
    if strict.scores is None:
        return f"{told}; none is left."
    return f"{told}. Without them accuracy is {format_estimate(strict.scores.accuracy)}, n = {strict.scores.n:,}."


def n_of(n: int, of: int) -> str:
    """How many images were looked at.

    >>> n_of(300, 3589), n_of(3589, 3589)
    ('n = 300 of 3,589', 'n = 3,589')
    """
    return f"n = {n:,}" if n == of else f"n = {n:,} of {of:,}"


def plural(word: str, count: float) -> str:
    return word if count == 1 else f"{word}s"


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

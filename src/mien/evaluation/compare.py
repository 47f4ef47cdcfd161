"""Comparison: models on the same images, class by class and pair by pair.

Shapes: M models, N images, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.evaluation import metrics
from mien.evaluation.evaluate import ClassScore, Estimate, Frozen, check_scorable, class_scores, estimate
from mien.predictions import Predictions, check_same_images


class ClassRow(Frozen):
    """One class: recall and F1 of each model (M), and the model with the best F1 (None for a tie)."""

    label: str
    support: int
    recall: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    winner: str | None


class PairedTest(Frozen):
    """Two models on the same images; differences are second minus first."""

    first: str
    second: str
    accuracy_difference: Estimate  # paired bootstrap
    macro_f1_difference: Estimate  # paired bootstrap
    only_first_right: int
    only_second_right: int
    p_value: float  # exact McNemar, two-sided


class Comparison(Frozen):
    split: str
    n: int
    models: tuple[str, ...]
    per_class: tuple[ClassRow, ...]
    pairs: tuple[PairedTest, ...]


def compare_predictions(models: Sequence[tuple[str, Predictions]], *, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare M >= 2 models, given as (name, predictions), on the same images: class by class, and every pair.

    Pairs stand in the order given, the first against each later one first. The intervals are a paired bootstrap: both
    models are scored on the same `draws` resamples. Raises `InputError` for fewer than two models, a name that repeats,
    no images, or predictions that are not of the same images in the same order.
    """
    _check(models)
    names = tuple(name for name, _ in models)
    points = [metrics.point_figures(p.labels, p.probabilities) for _, p in models]
    samples = metrics.bootstrap_figures([metrics.tally(p.labels, p.probabilities) for _, p in models], draws, seed)
    rights_MN = [p.predicted == p.labels for _, p in models]
    return Comparison(
        split=models[0][1].split,
        n=len(models[0][1]),
        models=names,
        per_class=_class_rows(names, [class_scores(p) for _, p in models]),
        pairs=tuple(
            PairedTest(
                first=names[i],
                second=names[j],
                accuracy_difference=estimate(
                    points[j].accuracy[0] - points[i].accuracy[0], samples[j].accuracy - samples[i].accuracy
                ),
                macro_f1_difference=estimate(
                    points[j].macro_f1[0] - points[i].macro_f1[0], samples[j].macro_f1 - samples[i].macro_f1
                ),
                only_first_right=int((rights_MN[i] & ~rights_MN[j]).sum()),
                only_second_right=int((rights_MN[j] & ~rights_MN[i]).sum()),
                p_value=mcnemar(rights_MN[i], rights_MN[j]),
            )
            for i, j in combinations(range(len(models)), 2)
        ),
    )


def mcnemar(first_right_N: npt.NDArray[np.bool_], second_right_N: npt.NDArray[np.bool_]) -> float:
    """Two-sided p-value of the exact McNemar test: are the images that only one model gets right split evenly?

    1.0 when there is no such image. Source: McNemar, Psychometrika 12 (1947); the exact form is the binomial test.
    """
    discordant = int((first_right_N != second_right_N).sum())
    if discordant == 0:
        return 1.0
    from scipy.stats import binomtest

    only_second = int((second_right_N & ~first_right_N).sum())
    return float(binomtest(only_second, discordant, 0.5).pvalue)


def verdict(pair: PairedTest) -> str:
    """One plain sentence on the accuracy of the second model against the first; p < .05 decides.

    >>> difference = Estimate(value=0.081, low=0.065, high=0.098)
    >>> verdict(PairedTest(first="cnn-v1", second="cnn-v2", accuracy_difference=difference,
    ...     macro_f1_difference=difference, only_first_right=309, only_second_right=600, p_value=2e-22))
    'cnn-v2 is better than cnn-v1 by 8.1 points [6.5, 9.8], p < .001'
    """
    d, p = pair.accuracy_difference, _format_p(pair.p_value)
    if pair.p_value >= 0.05:
        points = _points(d.value, d.low, d.high)
        return f"cannot tell {pair.second} and {pair.first} apart: difference {points}, p {p}"
    if d.value > 0:
        return f"{pair.second} is better than {pair.first} by {_points(d.value, d.low, d.high)}, p {p}"
    return f"{pair.second} is worse than {pair.first} by {_points(-d.value, -d.high, -d.low)}, p {p}"


def _check(models: Sequence[tuple[str, Predictions]]) -> None:
    if len(models) < 2:
        raise InputError(f"a comparison needs at least two models, got {len(models)}. Name another run")
    names = [name for name, _ in models]
    repeated = [name for i, name in enumerate(names) if name in names[:i]]
    if repeated:
        raise InputError(f"two models are named '{repeated[0]}'. Give each its own name")
    first_name, first = models[0]
    for name, predictions in models[1:]:
        try:
            check_same_images(first, predictions)
        except InputError as error:
            raise InputError(
                f"cannot compare {first_name} and {name}: {error}. Evaluate both on the same split of the same data"
            ) from error
    check_scorable(first, first_name)  # the labels of the others are the same


def _class_rows(names: tuple[str, ...], scores_MK: Sequence[tuple[ClassScore, ...]]) -> tuple[ClassRow, ...]:
    return tuple(
        ClassRow(
            label=scores_M[0].label,
            support=scores_M[0].support,
            recall=tuple(score.recall for score in scores_M),
            f1=tuple(score.f1 for score in scores_M),
            winner=_winner(names, [score.f1 for score in scores_M]),
        )
        for scores_M in zip(*scores_MK, strict=True)
    )


def _winner(names: tuple[str, ...], f1_M: Sequence[float | None]) -> str | None:
    defined = [f1 for f1 in f1_M if f1 is not None]
    if len(defined) < len(names):  # a class without an image
        return None
    best = max(defined)
    return names[defined.index(best)] if defined.count(best) == 1 else None


def _points(value: float, low: float, high: float) -> str:
    value, low, high = (round(100 * x, 1) + 0.0 for x in (value, low, high))  # adding 0.0 turns -0.0 into 0.0
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"


def _format_p(p: float) -> str:
    if p < 0.001:
        return "< .001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"  # three decimals where the decision falls
    return f"= {text.removeprefix('0')}"

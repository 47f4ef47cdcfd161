"""Class tests: two models class by class on the same images: F1 with an interval, recall with a paired test.

Shapes: N images, K classes, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, bootstrap_weights, estimate, tally
from mien.evaluation.evaluate import check_scorable, class_scores
from mien.evaluation.significance import holm, mcnemar
from mien.predictions import Predictions, check_same_images


class ClassTest(Frozen):
    """One class of a pair of models; differences are second minus first, and None for a class without an image."""

    label: str
    support: int
    f1: tuple[float | None, float | None]
    recall: tuple[float | None, float | None]
    f1_difference: Estimate | None  # paired bootstrap
    only_first_right: int  # of the images of this class
    only_second_right: int
    p_value: float | None  # exact McNemar on the images of this class, that is, of recall; two-sided
    p_holm: float | None  # the same, corrected for the classes of this pair

    @property
    def better(self) -> int | None:
        """Which model, 0 or 1, has the higher F1; None for a tie."""
        first, second = self.f1
        return None if first is None or second is None or first == second else int(second > first)

    @property
    def significant(self) -> int | None:
        """Which model, 0 or 1, has the better recall at corrected p < .05; None where that cannot be told."""
        if self.p_holm is None or self.p_holm >= 0.05:
            return None
        return int(self.only_second_right > self.only_first_right)


class ClassComparison(Frozen):
    """Two models on the same `n` images, class by class, in label order."""

    first: str
    second: str
    split: str
    n: int
    rows: tuple[ClassTest, ...]


class ClassTests(Frozen):
    """Every pair of a few models."""

    pairs: tuple[ClassComparison, ...]

    def pair(self, first: str, second: str) -> ClassComparison | None:
        """The comparison of these two in this order; None when there is none."""
        return next((pair for pair in self.pairs if (pair.first, pair.second) == (first, second)), None)


def class_tests(models: Mapping[str, Predictions]) -> ClassTests | None:
    """Every pair of M models (name → predictions on one split), earlier against later; None for fewer than two.

    Raises `InputError` for predictions that are not of the same images in the same order.
    """
    pairs = tuple(compare_classes(first, second) for first, second in combinations(models.items(), 2))
    return ClassTests(pairs=pairs) if pairs else None


def compare_classes(
    first: tuple[str, Predictions], second: tuple[str, Predictions], *, draws: int = 2000, seed: int = 0
) -> ClassComparison:
    """Two models, each as (name, predictions), class by class on the same images.

    The paired test is the exact McNemar test on the images of a class, so it speaks of recall; its p-values are
    corrected for the number of classes by Holm's method. F1, which also counts what a model wrongly gives the class,
    has the 95 % interval of a paired bootstrap over all images instead (over the draws that hold the class).
    Raises `InputError` for no image, or predictions that are not of the same images in the same order.
    """
    (first_name, ours), (second_name, theirs) = first, second
    try:
        check_same_images(ours, theirs)
    except InputError as error:
        raise InputError(
            f"cannot compare {first_name} and {second_name} by class: {error}. Evaluate both on the same split of the "
            "same data"
        ) from error
    check_scorable(ours, first_name)
    right_N, other_right_N = (p.predicted == p.labels for p in (ours, theirs))
    of_class = [ours.labels == k for k in range(len(ours.label_names))]
    p_values = [mcnemar(right_N[mask], other_right_N[mask]) if mask.any() else None for mask in of_class]
    corrected = iter(holm([p for p in p_values if p is not None]))
    differences = _f1_differences(ours, theirs, draws, seed)
    scores = zip(class_scores(ours), class_scores(theirs), strict=True)
    return ClassComparison(
        first=first_name,
        second=second_name,
        split=ours.split,
        n=len(ours),
        rows=tuple(
            ClassTest(
                label=one.label,
                support=one.support,
                f1=(one.f1, other.f1),
                recall=(one.recall, other.recall),
                f1_difference=difference,
                only_first_right=int((right_N & ~other_right_N & mask).sum()),
                only_second_right=int((other_right_N & ~right_N & mask).sum()),
                p_value=p,
                p_holm=None if p is None else next(corrected),
            )
            for (one, other), mask, p, difference in zip(scores, of_class, p_values, differences, strict=True)
        ),
    )


def _f1_differences(ours: Predictions, theirs: Predictions, draws: int, seed: int) -> list[Estimate | None]:
    """F1 of each class, theirs minus ours, with a paired interval; None for a class without an image."""
    k = len(ours.label_names)
    first_NC, second_NC = (tally(p.labels, p.probabilities) for p in (ours, theirs))

    def difference(weights_BN: Floats) -> npt.NDArray[np.float64]:
        return _f1(weights_BN, second_NC, k) - _f1(weights_BN, first_NC, k)

    (point_K,) = difference(np.ones((1, len(ours))))
    samples_BK = np.concatenate([difference(block) for block in bootstrap_weights(len(ours), draws, seed)])
    return [_with_interval(point_K[i], samples_BK[:, i]) for i in range(k)]


def _f1(weights_BN: Floats, tally_NC: Floats, k: int) -> npt.NDArray[np.float64]:
    """`(B, K)` F1 of each weighting of the images behind a tally; NaN where the class does not occur."""
    sums_BC = (weights_BN @ tally_NC[:, : 3 * k]).astype(np.float64)
    right_BK, true_BK, predicted_BK = sums_BC[:, :k], sums_BC[:, k : 2 * k], sums_BC[:, 2 * k :]
    return np.where(true_BK > 0, 2 * right_BK / np.maximum(true_BK + predicted_BK, 1), np.nan)


def _with_interval(value: float, samples_B: npt.NDArray[np.float64]) -> Estimate | None:
    held_B = samples_B[~np.isnan(samples_B)]
    return None if np.isnan(value) or not len(held_B) else estimate(value, held_B)

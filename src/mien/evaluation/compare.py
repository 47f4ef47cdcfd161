"""Comparison: models on the same images, class by class and pair by pair.

Shapes: M models, N images, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation import metrics
from mien.evaluation.evaluate import ClassScore, Estimate, Frozen, check_scorable, class_scores, estimate
from mien.model import Model, Named
from mien.predictions import Predictions, Truth, check_same_images


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
    accuracy_difference: Estimate  # this and the next four: paired bootstrap
    macro_f1_difference: Estimate
    weighted_f1_difference: Estimate
    mean_class_accuracy_difference: Estimate
    nll_difference: Estimate  # in nats; below 0 the second is better
    only_first_right: int
    only_second_right: int
    p_value: float  # exact McNemar, two-sided
    p_holm: float  # the same, corrected for the number of pairs
    detectable: float | None  # difference of accuracy that 80 of 100 such tests find; None: no such difference


_FIGURES = ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll")
DIFFERENCES = tuple(f"{figure}_difference" for figure in _FIGURES)  # fields of `PairedTest`


class Comparison(Frozen):
    split: str
    n: int
    models: tuple[str, ...]
    per_class: tuple[ClassRow, ...]
    pairs: tuple[PairedTest, ...]

    def __str__(self) -> str:
        """Who is better, a line for each pair."""
        header = f"{', '.join(self.models)} on {self.split}, n = {self.n:,} (accuracy; in brackets 95 % intervals)"
        return "\n".join([header, *(f"  {verdict(pair)}" for pair in self.pairs)])


def compare(
    *models: Named,
    split: str = "test",
    faces: FaceSet | None = None,
    votes: Votes | None = None,
    names: Sequence[str] = (),
    truth: Truth = "labels",
) -> Comparison:
    """Compare two or more models of any kind on the same images.

    Runs on the predictions that `evaluate` kept; with `faces` every model is asked, as a model file must be.
    `names` are for the tables; without them models are called as they are. `truth`: the labels of the data, or people:
    the most frequent of the `votes`, by the people's heads, on the images that have some.
    """
    opened = [Model.open(model) for model in models]
    shown = names or [model.name for model in opened]
    return compare_predictions(
        [(name, answers(model, split, faces, votes, truth)) for name, model in zip(shown, opened, strict=True)]
    )


def answers(
    model: Model,
    split: str,
    faces: FaceSet | None = None,
    votes: Votes | None = None,
    truth: Truth = "labels",
) -> Predictions:
    """What a model answers, at the temperature of the head, beside that truth: see `compare`."""
    said = model.kept(split) if faces is None else model.predictions(faces, split, votes=votes)
    head = model.card.head(truth)  # raises where the model lacks it
    if truth == "labels":
        return said.tempered(head.temperature)
    found = said.by_votes()
    if not len(found):
        raise InputError(
            f"{model.name}: keeps no votes beside its predictions for '{split}'. "
            f"Evaluate it with them: mien evaluate {model.name} --data PATH --votes FILE"
        )
    return found.tempered(head.temperature)


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
    places = list(combinations(range(len(models)), 2))
    p_values = [mcnemar(rights_MN[i], rights_MN[j]) for i, j in places]
    return Comparison(
        split=models[0][1].split,
        n=len(models[0][1]),
        models=names,
        per_class=_class_rows(names, [class_scores(p) for _, p in models]),
        pairs=tuple(
            PairedTest(
                first=names[i],
                second=names[j],
                **_differences((points[i], points[j]), (samples[i], samples[j])),
                only_first_right=int((rights_MN[i] & ~rights_MN[j]).sum()),
                only_second_right=int((rights_MN[j] & ~rights_MN[i]).sum()),
                p_value=p,
                p_holm=corrected,
                detectable=detectable(float((rights_MN[i] != rights_MN[j]).mean()), len(rights_MN[i]), len(places)),
            )
            for (i, j), p, corrected in zip(places, p_values, holm(p_values), strict=True)
        ),
    )


def _differences(
    points: tuple[metrics.Figures, metrics.Figures], samples: tuple[metrics.Figures, metrics.Figures]
) -> dict[str, Estimate]:
    """Every figure of the second less that of the first, by the field of `PairedTest`."""
    return {
        field: estimate(
            getattr(points[1], figure)[0] - getattr(points[0], figure)[0],
            getattr(samples[1], figure) - getattr(samples[0], figure),
        )
        for figure, field in zip(_FIGURES, DIFFERENCES, strict=True)
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given. Source: Holm, Scand. J. Statist. 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def detectable(discordant: float, n: int, tests: int = 1) -> float | None:
    """The difference of accuracies that McNemar's test on `n` images finds with 80 % power, as one of so many `tests`.

    `discordant`: share of the images (0–1) that only one of the two models gets right. None where not even all of
    them would be enough. Normal approximation; of several tests each has to pass .05 over their number, which is what
    Holm's method asks of the first.
    Source: Connor, Biometrics 43 (1987), equation 2, solved for the difference.

    >>> round(detectable(0.2, 3589), 4)
    0.0209
    """
    from scipy.stats import norm

    level, power = norm.ppf(1 - 0.025 / tests), norm.ppf(0.8)
    # sqrt(n) d = level sqrt(share) + power sqrt(share - d²), squared: a quadratic in d.
    a, b = n + power**2, -2 * level * np.sqrt(discordant * n)
    c = discordant * (level**2 - power**2)
    found = float((-b + np.sqrt(max(b**2 - 4 * a * c, 0.0))) / (2 * a))
    return found if 0 < found <= discordant else None


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
    """One plain sentence on the accuracy of the second model against the first; the corrected p < .05 decides.

    As in `cnn-v2 is better than cnn-v1 by 8.1 points [6.5, 9.8], p < .001`.
    """
    told = outcome(pair.first, pair.second, pair.accuracy_difference, pair.p_holm < 0.05)
    told += f", p {_format_p(pair.p_holm)}"
    if pair.p_holm < 0.05 or pair.detectable is None:
        return told
    return f"{told}; {100 * pair.detectable:.1f} points would be seen in 80 of 100 cases"


def outcome(first: str, second: str, difference: Estimate, decided: bool) -> str:
    """Better, worse or not to be told apart, by the difference of accuracies, second minus first."""
    if not decided:
        return f"cannot tell {second} and {first} apart: difference {points_text(difference)}"
    if difference.value > 0:
        return f"{second} is better than {first} by {points_text(difference)}"
    return f"{second} is worse than {first} by {points_text(negative(difference))}"


def negative(difference: Estimate) -> Estimate:
    """The same difference, taken the other way round."""
    return Estimate(value=-difference.value, low=-difference.high, high=-difference.low)


def same_images(models: Sequence[tuple[str, Predictions]]) -> None:
    """Raise `InputError`, naming both models and the first difference, unless all speak of the same images."""
    first_name, first = models[0]
    for name, predictions in models[1:]:
        try:
            check_same_images(first, predictions)
        except InputError as error:
            raise InputError(
                f"cannot compare {first_name} and {name}: {error}. Evaluate both on the same split of the same data"
            ) from error
    check_scorable(first, first_name)  # the labels of the others are the same


def _check(models: Sequence[tuple[str, Predictions]]) -> None:
    if len(models) < 2:
        raise InputError(f"a comparison needs at least two models, got {len(models)}. Name another run")
    names = [name for name, _ in models]
    repeated = [name for i, name in enumerate(names) if name in names[:i]]
    if repeated:
        raise InputError(f"two models are named '{repeated[0]}'. Give each its own name")
    same_images(models)


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


def points_text(difference: Estimate) -> str:
    """A difference of accuracies in points, with its interval.

    >>> points_text(Estimate(value=0.081, low=0.065, high=0.098))
    '8.1 points [6.5, 9.8]'
    """
    value, low, high = (round(100 * x, 1) + 0.0 for x in (difference.value, difference.low, difference.high))  # no -0.0
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"


def _format_p(p: float) -> str:
    if p < 0.001:
        return "< .001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"  # three decimals where the decision falls
    return f"= {text.removeprefix('0')}"

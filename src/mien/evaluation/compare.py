"""Comparison: models on the same images, class by class and pair by pair.

Shapes: M models, N images, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Figures, Frozen, bootstrap_figures, estimate, point_figures, tally
from mien.evaluation.evaluate import HEADLINE, ClassScore, check_scorable, class_scores
from mien.evaluation.printed import verdict
from mien.evaluation.significance import detectable, holm, mcnemar
from mien.model import Model, Named
from mien.predictions import Predictions, Truth, check_same_images
from mien.shown import Shown


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


DIFFERENCES = tuple(f"{figure}_difference" for figure in HEADLINE)  # fields of `PairedTest`


class Comparison(Shown, Frozen):
    split: str
    n: int
    models: tuple[str, ...]
    per_class: tuple[ClassRow, ...]
    pairs: tuple[PairedTest, ...]

    def __str__(self) -> str:
        """Who is better, a line for each pair."""
        header = f"{', '.join(self.models)} on {self.split}, n = {self.n:,} (accuracy; in brackets 95 % intervals)"
        return "\n".join([header, *(f"  {verdict(pair)}" for pair in self.pairs)])

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for each pair: the fields of `PairedTest`, each difference as its value, `_low` and `_high`."""
        rows = []
        for pair in self.pairs:
            row: dict[str, Any] = {"split": self.split, "n": self.n}
            for name, value in pair:
                if isinstance(value, Estimate):
                    row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
                else:
                    row[name] = value
            rows.append(row)
        return rows


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
            f"Give them: --data PATH --votes FILE; a run keeps them when it is evaluated with them (mien evaluate)"
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
    points = [point_figures(p.labels, p.probabilities) for _, p in models]
    samples = bootstrap_figures([tally(p.labels, p.probabilities) for _, p in models], draws, seed)
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


def _differences(points: tuple[Figures, Figures], samples: tuple[Figures, Figures]) -> dict[str, Estimate]:
    """Every figure of the second less that of the first, by the field of `PairedTest`."""
    return {
        field: estimate(
            getattr(points[1], figure)[0] - getattr(points[0], figure)[0],
            getattr(samples[1], figure) - getattr(samples[0], figure),
        )
        for figure, field in zip(HEADLINE, DIFFERENCES, strict=True)
    }


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

"""Seeds: recipes compared over several trainings each, so that a claim is about recipes and not about runs.

Shapes: N images, S seeds of a recipe, B bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mien.cards import Card
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, bootstrap_weights
from mien.evaluation.compare import answers, same_images
from mien.evaluation.significance import holm
from mien.model import Model
from mien.predictions import Predictions
from mien.recipes.recipe import Recipe
from mien.training.run import Run


class Trained(Protocol):
    """What is known of a training."""

    @property
    def name(self) -> str: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def card(self) -> Card: ...


_T = TypeVar("_T", bound=Trained)
_FEWEST = 2  # seeds of a recipe: one alone has no spread


class RecipeScore(Frozen):
    """Accuracy (0–1) of a recipe's runs on the same images."""

    recipe: str
    accuracies: tuple[float, ...]  # a run each
    mean: float
    spread: float  # standard deviation between runs, over seeds − 1


class RecipeTest(Frozen):
    """Two recipes; the difference is second minus first, of mean accuracies."""

    first: str
    second: str
    difference: Estimate  # holds the chance of seeds and of images
    p_value: float  # two-sided
    p_holm: float  # corrected for the number of pairs


class RecipeComparison(Frozen):
    """`left_out`: recipes with a single run, which say nothing about their spread."""

    split: str
    n: int
    recipes: tuple[RecipeScore, ...]
    pairs: tuple[RecipeTest, ...]
    left_out: tuple[str, ...]


def compare_over_seeds(*runs: Run, split: str = "test") -> RecipeComparison:
    """Compare recipes, each by its runs that differ in their seed alone, on the predictions that `evaluate` kept.

    Raises `InputError` unless two recipes have two runs each, and for one training that is named twice.
    """
    found: dict[str, list[Predictions]] = {}
    for name, members in named_recipes(runs).items():
        seeds = [run.recipe.seed for run in members]
        if len(set(seeds)) < len(seeds):
            raise InputError(
                f"{' and '.join(run.name for run in members)}: two runs of one recipe with the same seed are one "
                "training. Name one of them"
            )
        found[name] = [answers(Model.open(run), split) for run in members]
    return compare_recipes(found)


def compare_recipes(
    recipes: Mapping[str, Sequence[Predictions]], *, draws: int = 2000, seed: int = 0
) -> RecipeComparison:
    """Recipes (name → predictions of its runs, which differ in their seed alone) on the same images.

    The variance of a difference of means is that between the seeds of each recipe, over their number, and that of
    resampling the images (bootstrap, the same resamples for all); its degrees of freedom are Welch's and
    Satterthwaite's, the images counting as many. With two or three seeds the interval is wide, as it must be.
    Source: Bouthillier et al., "Accounting for variance in machine learning benchmarks", MLSys 2021, for why both
    count; Welch, Biometrika 34 (1947). Raises `InputError` unless two recipes have two runs each.
    """
    several = {name: runs for name, runs in recipes.items() if len(runs) >= _FEWEST}
    if len(several) < 2:
        told = ", ".join(f"{name} has {len(runs)}" for name, runs in recipes.items())
        raise InputError(
            f"recipes are compared over seeds: expected at least two recipes with {_FEWEST} runs each, got: {told}. "
            "Train more: mien study --recipes NAMES --seeds 0,1,2 --data PATH --out FOLDER"
        )
    same_images([(name, run) for name, runs in several.items() for run in runs])
    rights = {name: np.stack([run.predicted == run.labels for run in runs]) for name, runs in several.items()}
    scores = {name: _score(name, right_SN) for name, right_SN in rights.items()}
    means_N = {name: right_SN.mean(axis=0) for name, right_SN in rights.items()}
    tests = [
        _test(scores[first], scores[second], _image_variance(means_N[second] - means_N[first], draws, seed))
        for first, second in combinations(several, 2)
    ]
    corrected = holm([test.p_value for test in tests])
    example = next(iter(several.values()))[0]
    return RecipeComparison(
        split=example.split,
        n=len(example),
        recipes=tuple(scores.values()),
        pairs=tuple(test.model_copy(update={"p_holm": p}) for test, p in zip(tests, corrected, strict=True)),
        left_out=tuple(name for name in recipes if name not in several),
    )


def same_recipe(runs: Sequence[_T]) -> list[list[_T]]:
    """Runs of one recipe on the same data that differ in their seed alone, together, in the order of their first."""
    groups: dict[tuple[str, str, str | None], list[_T]] = {}
    for run in runs:
        training = run.card.training
        groups.setdefault((run.recipe.apart_from_seed, training.fingerprint, training.start), []).append(run)
    return list(groups.values())


def named_recipes(runs: Sequence[_T]) -> dict[str, list[_T]]:
    """The same by the recipe's name; where two share one, the later has the name of its first run beside it."""
    found: dict[str, list[_T]] = {}
    for members in same_recipe(runs):
        name = members[0].recipe.name
        found[name if name not in found else f"{name} ({members[0].name})"] = members
    return found


def _score(name: str, right_SN: npt.NDArray[np.bool_]) -> RecipeScore:
    accuracy_S = right_SN.mean(axis=1)
    return RecipeScore(
        recipe=name,
        accuracies=tuple(float(accuracy) for accuracy in accuracy_S),
        mean=float(accuracy_S.mean()),
        spread=float(accuracy_S.std(ddof=1)),
    )


def _image_variance(difference_N: Floats, draws: int, seed: int) -> float:
    """Of the mean difference, over bootstrap resamples of the images."""
    blocks = bootstrap_weights(len(difference_N), draws, seed)
    means_B = np.concatenate([block @ difference_N for block in blocks]) / len(difference_N)
    return float(means_B.var(ddof=1))


def _test(first: RecipeScore, second: RecipeScore, of_images: float) -> RecipeTest:
    from scipy.stats import t

    of_seeds = [one.spread**2 / len(one.accuracies) for one in (first, second)]
    error = float(np.sqrt(sum(of_seeds) + of_images))
    difference = second.mean - first.mean
    if error == 0:  # all runs of each recipe alike, on every image
        same = Estimate(value=difference, low=difference, high=difference)
        p = 1.0 if difference == 0 else 0.0
        return RecipeTest(first=first.recipe, second=second.recipe, difference=same, p_value=p, p_holm=p)
    small = sum(v**2 / (len(one.accuracies) - 1) for v, one in zip(of_seeds, (first, second), strict=True))
    freedom = error**4 / small if small else np.inf
    half = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(difference) / error, freedom))
    interval = Estimate(value=difference, low=difference - half, high=difference + half)
    return RecipeTest(first=first.recipe, second=second.recipe, difference=interval, p_value=p, p_holm=p)

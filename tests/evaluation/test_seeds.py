"""Recipes over seeds: textbook formulas, and a promise kept under the null."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.seeds import RecipeComparison, compare_recipes
from mien.predictions import Predictions


def run_of(right: np.ndarray) -> Predictions:
    n = len(right)
    return Predictions(
        split="test",
        label_names=("a", "b"),
        names=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i:032x}" for i in range(n)], dtype=np.str_),
        labels=np.zeros(n, dtype=np.int64),
        probabilities=np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]]).astype(np.float32),
        in_train=np.zeros(n, dtype=bool),
        in_val=np.zeros(n, dtype=bool),
    )


def runs_of(rng: np.random.Generator, hard: np.ndarray, shifts: list[float]) -> list[Predictions]:
    """Each image is right with a chance of its own, moved by what a seed does."""
    return [run_of(rng.random(len(hard)) < np.clip(hard + shift, 0, 1)) for shift in shifts]


def test_mean_spread_and_interval_are_those_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    hard = rng.beta(2, 1, 900)
    recipes = {"x": runs_of(rng, hard, [0.0, 0.03, -0.03]), "y": runs_of(rng, hard, [0.05, 0.08])}
    found = compare_recipes(recipes, draws=4000)
    x, y = (np.array([(one.predicted == one.labels) for one in runs]) for runs in recipes.values())
    assert found.recipes[0].mean == pytest.approx(x.mean())
    assert found.recipes[0].spread == pytest.approx(np.std(x.mean(axis=1), ddof=1))
    (pair,) = found.pairs
    images = np.var(y.mean(axis=0) - x.mean(axis=0)) / 900  # of a mean, without any bootstrap
    parts = [np.var(one.mean(axis=1), ddof=1) / len(one) for one in (x, y)]
    error = np.sqrt(images + sum(parts))
    freedom = error**4 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, (x, y), strict=True))
    half = stats.t.ppf(0.975, freedom) * error
    assert pair.difference.value == pytest.approx(y.mean() - x.mean())
    assert pair.difference.high - pair.difference.value == pytest.approx(half, rel=0.05)
    assert pair.p_value == pytest.approx(2 * stats.t.sf(abs(y.mean() - x.mean()) / error, freedom), rel=0.1)


def test_without_chance_of_images_it_is_welchs_test() -> None:
    """Runs that differ on so many images that only their accuracies matter: 40,000 of them, each seed far apart."""
    order = np.arange(40_000)
    first, second = [0.60, 0.66, 0.63], [0.70, 0.74, 0.69, 0.73]
    found = compare_recipes(
        {"x": [run_of(order < a * 40_000) for a in first], "y": [run_of(order < a * 40_000) for a in second]}, draws=200
    )
    assert found.pairs[0].p_value == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue, rel=0.05)


def test_equal_recipes_are_told_apart_in_few_cases() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        hard = rng.beta(2, 1, 200)
        recipes = {name: runs_of(rng, hard, list(rng.normal(0, 0.02, 3))) for name in ("x", "y")}
        found += compare_recipes(recipes, draws=60).pairs[0].p_value < 0.05
    assert found / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_three_recipes_are_corrected_and_a_single_run_is_left_out() -> None:
    rng = np.random.default_rng(2)
    hard = rng.beta(2, 1, 300)
    recipes = {name: runs_of(rng, hard, [0.0, shift]) for name, shift in (("x", 0.01), ("y", 0.02), ("z", 0.03))}
    found = compare_recipes({**recipes, "lonely": runs_of(rng, hard, [0.0])}, draws=100)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert max(pair.p_holm for pair in found.pairs) >= max(pair.p_value for pair in found.pairs)
    assert min(pair.p_holm for pair in found.pairs) == min(1, 3 * min(pair.p_value for pair in found.pairs))
    assert found.left_out == ("lonely",)
    assert RecipeComparison.model_validate_json(found.model_dump_json()) == found


def test_runs_that_are_all_alike() -> None:
    same = run_of(np.arange(10) < 6)
    (pair,) = compare_recipes({"x": [same, same], "y": [same, same]}, draws=20).pairs
    assert (pair.p_value, pair.difference) == (1, Estimate(value=0, low=0, high=0))


def test_a_single_seed_is_refused() -> None:
    same = run_of(np.arange(10) < 6)
    with pytest.raises(InputError, match=r"at least two recipes with 2 runs each, got: x has 2, y has 1\. Train more"):
        compare_recipes({"x": [same, same], "y": [same]})


def test_other_images_are_refused() -> None:
    same = run_of(np.arange(10) < 6)
    other = replace(same, labels=np.ones(10, dtype=np.int64))
    with pytest.raises(InputError, match=r"cannot compare x and y: different labels at image 0"):
        compare_recipes({"x": [same, same], "y": [same, other]})

"""Tests and intervals against scipy, statsmodels, exact enumeration and simulation."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, fisher_exact, kstest, permutation_test
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from mien.evaluation.significance import (
    detectable,
    detectable_gap,
    holm,
    mcnemar,
    newcombe,
    permutation_p,
    share_difference,
    wilson,
)

COUNTS = [(0, 5), (5, 5), (3, 8), (19, 30), (640, 1000)]


@pytest.mark.parametrize(("right", "n"), COUNTS)
def test_wilson_is_that_of_statsmodels(right: int, n: int) -> None:
    assert wilson(right, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [*combinations(COUNTS, 2), (COUNTS[1], COUNTS[1])])
def test_newcombe_is_that_of_statsmodels(first: tuple[int, int], second: tuple[int, int]) -> None:
    theirs = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    assert newcombe((first[0], second[0]), (first[1], second[1])) == pytest.approx(theirs, abs=1e-12)


def test_newcombe_textbook_case() -> None:
    """Newcombe 1998, table II: 56 of 70 against 48 of 80, method 10."""
    assert newcombe((56, 48), (70, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("share", "n"), [(0.65, (300, 300)), (0.5, (40, 900)), (0.9, (1000, 2589))])
def test_detectable_is_that_of_statsmodels(share: float, n: tuple[int, int]) -> None:
    size = NormalIndPower().solve_power(nobs1=n[0], ratio=n[1] / n[0], alpha=0.05, power=0.8)
    assert detectable_gap(share, n) == pytest.approx(size * np.sqrt(share * (1 - share)), rel=1e-3)


def test_detectable_gap_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    gap = detectable_gap(0.65, (400, 600))
    found = 0
    for seed in range(300):
        right = rng.binomial(400, 0.65 + 0.6 * gap), rng.binomial(600, 0.65 - 0.4 * gap)
        (p,) = permutation_p(np.array([[right[0]], [right[1]]]), np.array([[400], [600]]), permutations=500, seed=seed)
        found += p < 0.05
    assert found / 300 == pytest.approx(0.8, abs=0.07)  # three standard errors


def test_difference_by_hand() -> None:
    right, n = np.array([[8, 3], [9, 1]]), np.array([[10, 10], [30, 5]])
    weights = 10 * 30 / 40, 10 * 5 / 15
    by_hand = (weights[0] * (0.8 - 0.3) + weights[1] * (0.3 - 0.2)) / sum(weights)
    assert share_difference((right[0], n[0]), (right[1], n[1])) == pytest.approx(by_hand)
    assert share_difference((right[1], n[1]), (right[0], n[0])) == pytest.approx(-by_hand)
    one = share_difference((right[0].sum(keepdims=True), n[0].sum(keepdims=True)), (np.array([10]), np.array([35])))
    assert one == pytest.approx(11 / 20 - 10 / 35)  # one stratum: the plain difference
    apart = share_difference((np.array([3, 0]), np.array([5, 0])), (np.array([0, 4]), np.array([0, 7])))
    assert np.isnan(apart)  # no stratum holds both


@pytest.mark.parametrize("right", [(9, 3), (12, 8), (15, 15), (2, 9)])
def test_two_groups_of_one_size_are_fishers_exact_test(right: tuple[int, int]) -> None:
    exact = fisher_exact([[right[0], 20 - right[0]], [right[1], 20 - right[1]]]).pvalue
    (p,) = permutation_p(np.array([[right[0]], [right[1]]]), np.array([[20], [20]]), permutations=40_000)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000) + 1e-4)


def studentized(answers: np.ndarray, groups: np.ndarray, i: int, j: int) -> float:
    n = [(groups == g).sum() for g in (i, j)]
    gap = answers[groups == i].mean() - answers[groups == j].mean()
    return abs(gap) / np.sqrt(answers.var(ddof=1) * (1 / n[0] + 1 / n[1]))


def test_three_groups_are_the_permutation_test_of_scipy() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 1, 2], [15, 40, 90])
    answers = rng.random(145) < np.array([0.5, 0.8, 0.6])[groups]
    n_G1 = np.bincount(groups)[:, None]
    ours = permutation_p(np.bincount(groups, weights=answers).astype(int)[:, None], n_G1)
    pairs = list(combinations(range(3), 2))

    def largest(shuffled: np.ndarray) -> float:
        return max(studentized(answers, shuffled, *pair) for pair in pairs)

    theirs = permutation_test(
        (groups,), largest, permutation_type="pairings", n_resamples=3000, alternative="greater", rng=rng
    )
    assert min(ours) == pytest.approx(theirs.pvalue, abs=0.03)
    for p, pair in zip(ours, pairs, strict=True):
        by_chance = theirs.null_distribution >= studentized(answers, groups, *pair) - 1e-9
        assert p == pytest.approx(by_chance.mean(), abs=0.03)


def test_strata_are_exact_enumeration() -> None:
    """All ways to deal out three groups within two classes of four and three images, by hand."""
    strata = [("aabc", (1, 1, 0, 0)), ("abc", (1, 0, 0))]
    n_GS = np.array([[names.count(g) for names, _ in strata] for g in "abc"])

    def right_of(dealt: tuple[str, ...]) -> np.ndarray:
        names_and_right = [(names, right) for names, (_, right) in zip(dealt, strata, strict=True)]
        return np.array(
            [
                [sum(r for name, r in zip(names, right, strict=True) if name == g) for names, right in names_and_right]
                for g in "abc"
            ]
        )

    def z_of(right: np.ndarray) -> list[float]:
        found = []
        for i, j in combinations(range(3), 2):
            gap = weights = variance = 0.0
            for s, (_, answers) in enumerate(strata):
                a, b = n_GS[i, s], n_GS[j, s]
                w = a * b / (a + b)
                gap += w * (right[i, s] / a - right[j, s] / b)
                variance += w**2 * np.var(answers, ddof=1) * (1 / a + 1 / b)
                weights += w
            found.append(abs(gap) / np.sqrt(variance))
        return found

    every = [(first, second) for first in permutations("aabc") for second in permutations("abc")]
    largest = np.array([max(z_of(right_of(dealt))) for dealt in every])
    observed = right_of(("aabc", "abc"))
    exact = [(largest >= z - 1e-9).mean() for z in z_of(observed)]
    assert permutation_p(observed, n_GS, permutations=40_000) == pytest.approx(exact, abs=0.012)


def test_p_is_uniform_where_groups_do_not_differ() -> None:
    """Over 400 sets of three groups of other mixes whose classes are answered alike, within classes."""
    rng = np.random.default_rng(4)
    mixes = np.array([[40, 10, 60], [20, 20, 20], [90, 150, 30]])
    p = [
        min(permutation_p(rng.binomial(mixes, [0.9, 0.6, 0.4]), mixes, permutations=400, seed=seed))
        for seed in range(400)
    ]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.033)  # three standard errors


def test_a_small_group_does_not_hide_a_gap_of_large_ones() -> None:
    right, n = np.array([[700], [600], [20]]), np.array([[1000], [1000], [31]])
    first_second, first_third, second_third = permutation_p(right, n)
    assert first_second == pytest.approx(1 / 10_001)
    assert min(first_third, second_third) > 0.5


def test_nothing_varies_and_nothing_shared() -> None:
    all_right = np.array([[30, 5], [40, 9], [50, 0]])
    assert permutation_p(all_right, all_right, permutations=50).tolist() == [1, 1, 1]
    apart = permutation_p(np.array([[20, 0], [0, 9]]), np.array([[30, 0], [0, 30]]), permutations=50)
    assert np.isnan(apart).all()


def test_same_seed_same_p() -> None:
    right, n = np.array([[20], [25], [18]]), np.array([[40], [40], [40]])
    assert np.array_equal(permutation_p(right, n, seed=1), permutation_p(right, n, seed=1))
    assert not np.array_equal(permutation_p(right, n, seed=1), permutation_p(right, n, seed=2))


@pytest.mark.parametrize(("b", "c"), [(0, 1), (0, 6), (3, 9), (10, 10), (12, 31), (40, 25)])
def test_mcnemar_is_the_doubled_binomial_tail(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * 20 + [False] * 7)
    second = np.array([False] * b + [True] * c + [True] * 20 + [False] * 7)
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5)))
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_textbook_case() -> None:
    first = np.array([True] * 2 + [False] * 10)
    assert mcnemar(first, ~first) == pytest.approx(158 / 4096)  # 2 * (1 + 12 + 66) / 2**12


def test_the_detectable_difference_is_found_in_80_of_100_cases() -> None:
    """Simulated: images that only one of two models gets right, tested by the exact test itself."""
    n, discordant = 2000, 0.2
    difference = detectable(discordant, n)
    rng = np.random.default_rng(3)
    only_second, only_first = (discordant + difference) / 2, (discordant - difference) / 2
    drawn = rng.multinomial(n, [only_first, only_second, 1 - discordant], size=1500)
    found = [binomtest(int(b), int(b + c), 0.5).pvalue < 0.05 for b, c, _ in drawn]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)  # the exact test is a little timid
    assert detectable(0.0, n) is None
    assert detectable(0.01, 100) is None  # one image: no test finds that
    assert detectable(discordant, n, tests=10) > difference
    assert detectable(discordant, 4 * n) == pytest.approx(difference / 2, rel=0.01)


def test_holm_is_that_of_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels calls it each time, which takes a third of a second here
    rng = np.random.default_rng(0)
    for p in (rng.random(1), rng.random(40) ** 4, rng.integers(1, 4, 7) / 50, np.zeros(2), np.ones(3)):
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])


def test_mcnemar_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 10, 50, 900):
        for chance in (0.4, 0.6, 0.9):
            first = rng.random(n) < 0.6
            second = np.where(rng.random(n) < 0.5, first, rng.random(n) < chance)
            table = [[(a & b).sum() for b in (second, ~second)] for a in (first, ~first)]
            assert mcnemar(first, second) == pytest.approx(mcnemar_of_statsmodels(table, exact=True).pvalue)


def test_p_of_mcnemar_is_not_too_small() -> None:
    """Two models of the same accuracy: at most one in twenty sets says that they differ. The exact test is cautious."""
    rng = np.random.default_rng(1)
    p = [mcnemar(rng.random(300) < 0.65, rng.random(300) < 0.65) for _ in range(1000)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.055

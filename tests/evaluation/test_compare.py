"""A Comparison pairs the right images, and its tests are the textbook ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, binomtest

from mien.errors import InputError
from mien.evaluation.compare import Comparison, PairedTest, compare_predictions, detectable, mcnemar, verdict
from mien.evaluation.evaluate import Estimate, score
from mien.predictions import Predictions

LABELS = ("a", "b", "c")
SEEN = "2.1 points would be seen in 80 of 100 cases"


def answering(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> Predictions:
    """Predictions that are sure of `predicted`."""
    truth, guess = np.asarray(labels, dtype=np.int64), np.asarray(predicted)
    n = len(truth)
    return Predictions(
        split="test",
        label_names=LABELS,
        names=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i:032x}" for i in range(n)], dtype=np.str_),
        labels=truth,
        probabilities=np.eye(3, dtype=np.float32)[guess],
        in_train=np.zeros(n, dtype=np.bool_),
        in_val=np.zeros(n, dtype=np.bool_),
    )


def random_pair(n: int = 400) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=n)
    weak = np.where(rng.random(n) < 0.5, labels, rng.integers(3, size=n))
    strong = np.where(rng.random(n) < 0.6, labels, weak)
    return answering(labels, weak), answering(labels, strong)


def paired(value: float, low: float, high: float, p: float) -> PairedTest:
    difference = Estimate(value=value, low=low, high=high)
    return PairedTest(
        first="cnn-v1",
        second="cnn-v2",
        accuracy_difference=difference,
        macro_f1_difference=difference,
        weighted_f1_difference=difference,
        mean_class_accuracy_difference=difference,
        nll_difference=difference,
        only_first_right=0,
        only_second_right=0,
        p_value=p / 3,  # the corrected one decides
        p_holm=p,
        detectable=0.021,
    )


def test_a_case_by_hand() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    first = [0, 0, 0, 0, 0, 0, 0, 1]  # all of a, one of b
    second = [0, 0, 0, 1, 1, 1, 1, 1]  # three of a, all of b
    result = compare_predictions([("first", answering(labels, first)), ("second", answering(labels, second))])
    assert (result.split, result.n, result.models) == ("test", 8, ("first", "second"))
    (pair,) = result.pairs
    assert (pair.first, pair.second) == ("first", "second")
    assert (pair.only_first_right, pair.only_second_right) == (1, 3)
    assert pair.p_value == pytest.approx(2 * (1 + 4) / 16)  # 1 or fewer of 4 fair coins, both tails
    assert pair.accuracy_difference.value == pytest.approx(7 / 8 - 5 / 8)
    f1_first, f1_second = (8 / 11, 2 / 5), (6 / 7, 8 / 9)
    assert pair.macro_f1_difference.value == pytest.approx(np.mean(f1_second) - np.mean(f1_first))
    a, b, c = result.per_class
    assert (a.label, a.support, a.recall, a.winner) == ("a", 4, (1.0, 0.75), "second")
    assert a.f1 == pytest.approx((f1_first[0], f1_second[0]))
    assert b.recall == (0.25, 1.0)
    assert b.f1 == pytest.approx((f1_first[1], f1_second[1]))
    assert (c.support, c.recall, c.f1, c.winner) == (0, (None, None), (None, None), None)


@pytest.mark.parametrize(("b", "c"), [(0, 1), (0, 6), (3, 9), (10, 10), (12, 31), (40, 25)])
def test_mcnemar_is_the_doubled_binomial_tail(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * 20 + [False] * 7)
    second = np.array([False] * b + [True] * c + [True] * 20 + [False] * 7)
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5)))
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_textbook_case() -> None:
    first = np.array([True] * 2 + [False] * 10)
    assert mcnemar(first, ~first) == pytest.approx(158 / 4096)  # 2 * (1 + 12 + 66) / 2**12


def test_the_same_answers_cannot_be_told_apart() -> None:
    first, _ = random_pair()
    (pair,) = compare_predictions([("x", first), ("y", first)], draws=50).pairs
    assert pair.p_value == 1.0
    assert pair.accuracy_difference == Estimate(value=0, low=0, high=0)
    assert pair.macro_f1_difference == Estimate(value=0, low=0, high=0)
    assert verdict(pair).startswith("cannot tell y and x apart: difference 0.0 points [0.0, 0.0], p = 1.00")


def test_the_same_answers_have_no_winner() -> None:
    first, _ = random_pair()
    result = compare_predictions([("x", first), ("y", first)], draws=50)
    assert [row.winner for row in result.per_class] == [None, None, None]


def test_paired_interval_equals_naive_resampling() -> None:
    first, second = random_pair()
    (pair,) = compare_predictions([("weak", first), ("strong", second)]).pairs
    gain = (second.predicted == second.labels).astype(float) - (first.predicted == first.labels)
    rng = np.random.default_rng(7)
    naive = [gain[rng.choice(400, size=400)].mean() for _ in range(4000)]
    estimate = pair.accuracy_difference
    assert (estimate.low, estimate.high) == pytest.approx(np.percentile(naive, [2.5, 97.5]), abs=0.008)
    half = 1.96 * gain.std() / np.sqrt(400)
    assert (estimate.low, estimate.high) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=0.15 * half)
    assert verdict(pair).startswith("strong is better than weak by ")


def test_figures_are_those_of_score() -> None:
    first, second = random_pair()
    result = compare_predictions([("weak", first), ("strong", second)], draws=50)
    alone = [score(p, "m", draws=50) for p in (first, second)]
    assert result.pairs[0].macro_f1_difference.value == pytest.approx(
        alone[1].scores.macro_f1.value - alone[0].scores.macro_f1.value
    )
    for i, row in enumerate(result.per_class):
        assert row.f1 == tuple(evaluation.per_class[i].f1 for evaluation in alone)
        assert row.recall == tuple(evaluation.per_class[i].recall for evaluation in alone)
        assert row.winner == "strong"


def test_every_pair_of_three_models_in_order() -> None:
    first, second = random_pair()
    result = compare_predictions([("x", first), ("y", second), ("z", first)], draws=50)
    assert [(pair.first, pair.second) for pair in result.pairs] == [("x", "y"), ("x", "z"), ("y", "z")]
    forth, _, back = result.pairs
    assert forth.accuracy_difference.value == pytest.approx(-back.accuracy_difference.value)
    assert forth.p_value == back.p_value
    assert [pair.p_holm for pair in result.pairs] == pytest.approx(
        [min(1, 3 * forth.p_value), 1, min(1, 3 * back.p_value)]
    )
    assert (forth.nll_difference.value, back.nll_difference.value) == pytest.approx(
        (score(second, "y").scores.nll.value - score(first, "x").scores.nll.value, -forth.nll_difference.value)
    )


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


def test_json_round_trip() -> None:
    first, second = random_pair()
    result = compare_predictions([("x", first), ("y", second)], draws=50)
    assert Comparison.model_validate_json(result.model_dump_json()) == result


def test_different_images_are_refused_with_both_names() -> None:
    first, second = random_pair()
    hashes = second.hashes.copy()
    hashes[3] = "f" * 32
    models = [("cnn-v1", first), ("cnn-v2", first), ("vit", replace(second, hashes=hashes))]
    with pytest.raises(InputError, match=r"cannot compare cnn-v1 and vit: different pixels at image 3: 3\.png"):
        compare_predictions(models)


def test_one_model_is_refused() -> None:
    with pytest.raises(InputError, match="at least two models, got 1"):
        compare_predictions([("x", random_pair()[0])])


def test_a_name_given_twice_is_refused() -> None:
    first, second = random_pair()
    with pytest.raises(InputError, match="two models are named 'x'"):
        compare_predictions([("x", first), ("y", first), ("x", second)])


def test_no_image_is_refused() -> None:
    nothing = answering(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(InputError, match="no image to score"):
        compare_predictions([("x", nothing), ("y", nothing)])


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (paired(0.081, 0.065, 0.098, 1e-9), "cnn-v2 is better than cnn-v1 by 8.1 points [6.5, 9.8], p < .001"),
        (paired(-0.081, -0.098, -0.065, 0.012), "cnn-v2 is worse than cnn-v1 by 8.1 points [6.5, 9.8], p = .012"),
        (paired(0.02, -0.001, 0.04, 0.049), "cnn-v2 is better than cnn-v1 by 2.0 points [-0.1, 4.0], p = .049"),
        (
            paired(0.004, -0.01, 0.018, 0.55),
            "cannot tell cnn-v2 and cnn-v1 apart: difference 0.4 points [-1.0, 1.8], p = .55; " + SEEN,
        ),
        (
            paired(0.02, -0.0001, 0.04, 0.05),
            "cannot tell cnn-v2 and cnn-v1 apart: difference 2.0 points [0.0, 4.0], p = .050; " + SEEN,
        ),
    ],
)
def test_verdict(pair: PairedTest, sentence: str) -> None:
    assert verdict(pair) == sentence

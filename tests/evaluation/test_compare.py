"""A Comparison pairs the right images, and its tests are the textbook ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.compare import Comparison, compare_predictions
from mien.evaluation.evaluate import score
from mien.evaluation.printed import verdict
from mien.predictions import Predictions

LABELS = ("a", "b", "c")


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

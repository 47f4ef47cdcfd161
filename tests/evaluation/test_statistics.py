"""Statistics against scipy, statsmodels and torchmetrics, the coverage of their intervals, and input at its limits.

What one figure is worth by hand or by scikit-learn stands in the tests of its own module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from torchmetrics.functional.classification import binary_calibration_error

from mien.confidence import fit_temperature
from mien.errors import InputError
from mien.evaluation import bootstrap
from mien.evaluation.calibration import classwise_ece
from mien.evaluation.classes import class_tests, compare_classes
from mien.evaluation.compare import compare_predictions
from mien.evaluation.evaluate import score
from mien.evaluation.printed import verdict
from mien.predictions import Predictions

LABELS = ("a", "b", "c")


def predictions(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Predictions:
    truth = np.asarray(labels, dtype=np.int64)
    names = np.array([f"test/{i}.png" for i in range(len(truth))], dtype=np.str_)
    no = np.zeros(len(truth), dtype=np.bool_)
    return Predictions("test", LABELS, names, names, truth, np.asarray(probabilities, dtype=np.float32), no, no)


def drawn(n: int, seed: int = 0, skill: float = 1.5) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(3, size=n)
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), labels] += skill
    return predictions(labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.slow
def test_intervals_cover_the_truth_in_95_of_100_sets() -> None:
    """2,000 sets of 500 images, drawn from known chances of what two models answer; the second often copies the first.

    Resampling does not ask which image had which outcome, so the images of a set stand sorted by outcome, and the
    weights of an outcome are a piece of the running sum of the bootstrap weights. Every hundred sets share theirs.
    """
    outcomes, chances = _outcomes(shares=(0.5, 0.3, 0.2), recalls=((0.75, 0.55, 0.55), (0.8, 0.6, 0.5)))
    tallies = [_tally(outcomes[:, 0], outcomes[:, 1 + model]) for model in (0, 1)]
    truth = _five(*(bootstrap.weighted_figures(1e6 * chances[None], tally) for tally in tallies))
    rng = np.random.default_rng(0)
    covered = np.zeros(5)
    for seed in range(20):
        weights_BN = np.concatenate(list(bootstrap.bootstrap_weights(500, draws=1000, seed=seed)))
        running_BN = np.pad(weights_BN.cumsum(axis=1), ((0, 0), (1, 0)))
        for counts in rng.multinomial(500, chances, size=100):
            drawn_BT = np.diff(running_BN[:, np.append(0, counts.cumsum())])
            found = _five(*(bootstrap.weighted_figures(drawn_BT, tally) for tally in tallies))
            ends = (bootstrap.interval(samples) for samples in found)
            covered += [low <= true[0] <= high for (low, high), true in zip(ends, truth, strict=True)]
    names = ("accuracy", "macro F1", "nll", "difference of accuracy", "difference of macro F1")
    assert dict(zip(names, covered / 2000, strict=True)) == pytest.approx(dict.fromkeys(names, 0.95), abs=0.015)


def _outcomes(
    shares: tuple[float, ...], recalls: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(true, first's answer, second's answer), and the chance of each."""
    rows = np.array(list(np.ndindex(3, 3, 3)))
    true, first, second = rows.T
    of_first = np.where(first == true, np.array(recalls[0])[true], (1 - np.array(recalls[0])[true]) / 2)
    alone = np.where(second == true, np.array(recalls[1])[true], (1 - np.array(recalls[1])[true]) / 2)
    chances = np.array(shares)[true] * of_first * (0.5 * (first == second) + 0.5 * alone)
    assert chances.sum() == pytest.approx(1)
    return rows, chances


def _tally(true: npt.NDArray[np.int64], answer: npt.NDArray[np.int64]) -> bootstrap.Floats:
    return bootstrap.tally(true, np.where(np.arange(3) == answer[:, None], 0.7, 0.15))


def _five(first: bootstrap.Figures, second: bootstrap.Figures) -> tuple[bootstrap.Floats, ...]:
    return (
        first.accuracy,
        first.macro_f1,
        first.nll,
        second.accuracy - first.accuracy,
        second.macro_f1 - first.macro_f1,
    )


def test_intervals_are_those_of_scipy() -> None:
    first, second = drawn(400, 1), drawn(400, 2, skill=1.2)
    right, other_right = (np.equal(p.predicted, p.labels).astype(float) for p in (first, second))
    nll = bootstrap.nll_per_image(first.labels, first.probabilities)

    def theirs(values: npt.NDArray[np.float64]) -> tuple[float, float]:
        return stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=3).confidence_interval

    scores = score(first, "m", draws=4000).scores
    (pair,) = compare_predictions([("x", first), ("y", second)], draws=4000).pairs
    for ours, values, close in (
        (scores.accuracy, right, 0.004),  # the ends of 4,000 draws have a standard error of about 0.001 here
        (pair.accuracy_difference, other_right - right, 0.004),
        (scores.nll, nll, 0.008),
    ):
        assert ours.value == pytest.approx(values.mean(), abs=1e-6)
        assert (ours.low, ours.high) == pytest.approx(theirs(values), abs=close)


@pytest.mark.parametrize("bins", [5, 15])
def test_classwise_ece_is_that_of_torchmetrics(bins: int) -> None:
    found = drawn(1500)
    probs, truth = torch.tensor(found.probabilities), torch.tensor(found.labels)
    theirs = [binary_calibration_error(probs[:, k].contiguous(), (truth == k).int(), n_bins=bins) for k in range(3)]
    ours = classwise_ece(found.labels, found.probabilities.astype(np.float64), bins)
    assert ours == pytest.approx(float(torch.stack(theirs).mean()), abs=1e-6)


def constant(n: int = 90, probabilities: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Predictions:
    """The same answer for every image, of which each class has a third."""
    return predictions(np.arange(n) % 3, np.tile(probabilities, (n, 1)))


def test_constant_predictions_are_scored(recwarn: pytest.WarningsRecorder) -> None:
    result = score(constant(), "m", draws=50)
    assert result.scores.accuracy.value == pytest.approx(1 / 3)
    assert result.scores.macro_f1.value == pytest.approx((2 * 30 / (90 + 30)) / 3)
    assert result.scores.mean_class_accuracy.value == pytest.approx(1 / 3)
    assert result.scores.nll.value == pytest.approx(-np.log([0.5, 0.3, 0.2]).mean(), rel=1e-5)
    assert [(row.precision, row.recall, row.f1) for row in result.per_class[1:]] == [(None, 0, 0)] * 2
    assert result.calibration is not None
    assert result.calibration.ece == pytest.approx(0.5 - 1 / 3, abs=1e-6)
    assert result.calibration.ece_mass == pytest.approx(0.5 - 1 / 3, abs=0.1)
    assert result.calibration.classwise_ece == pytest.approx(np.abs(np.array([0.5, 0.3, 0.2]) - 1 / 3).mean(), abs=1e-6)
    assert not recwarn.list


def test_constant_predictions_have_a_temperature() -> None:
    """To .5, .3, .2 for three equal classes nothing is better than to flatten it; to equal chances all are as good."""
    assert fit_temperature(constant().labels, constant().probabilities) == pytest.approx(5, rel=1e-3)  # the largest
    equal = constant(probabilities=(1 / 3, 1 / 3, 1 / 3))
    assert 0.2 <= fit_temperature(equal.labels, equal.probabilities) <= 5


def test_constant_predictions_are_compared(recwarn: pytest.WarningsRecorder) -> None:
    lazy, also_lazy, able = constant(), constant(probabilities=(0.2, 0.2, 0.6)), drawn(90)
    able = replace(able, labels=lazy.labels, probabilities=able.probabilities[np.argsort(able.labels % 3)])
    first, second, third = compare_predictions([("lazy", lazy), ("too", also_lazy), ("able", able)], draws=50).pairs
    assert (first.accuracy_difference.value, first.p_value) == (0, 1)
    assert verdict(first).startswith("cannot tell too and lazy apart")
    assert (second.first, second.second, third.first) == ("lazy", "able", "too")
    rows = compare_classes(("lazy", lazy), ("too", also_lazy), draws=50).rows
    assert [row.significant for row in rows] == [0, None, 1]
    assert rows[1].p_value == 1
    assert not recwarn.list


def test_a_class_without_an_image_breaks_no_test(recwarn: pytest.WarningsRecorder) -> None:
    first, second = drawn(200, 1), drawn(200, 2, skill=0.5)
    kept = first.labels != 1
    first, second = first.keep(kept), second.keep(kept)
    result = score(first, "m", draws=50)
    assert result.per_class[1].recall is None
    assert result.calibration is not None
    assert 0 < result.calibration.classwise_ece < 1
    assert 0.2 < fit_temperature(first.labels, first.probabilities) < 5
    (pair,) = compare_predictions([("x", first), ("y", second)], draws=50).pairs
    assert pair.macro_f1_difference.low < pair.macro_f1_difference.high
    row = compare_classes(("x", first), ("y", second), draws=50).rows[1]
    assert (row.p_value, row.p_holm, row.f1_difference, row.better, row.significant) == (None,) * 5
    assert not recwarn.list


def turned(p: Predictions) -> Predictions:
    return p.keep(np.arange(len(p))[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (turned, r"different orders of the same images, first at image 0: test/0\.png and test/39\.png"),
        (lambda p: p.keep(np.arange(len(p)) != 7), r"different images: 40 and 39 of them; test/7\.png is missing"),
        (lambda p: replace(p, split="val"), "different splits: test and val"),
        (lambda p: replace(p, label_names=("a", "c", "b")), "different label orders: a, b, c and a, c, b"),
        (lambda p: replace(p, label_names=("a", "b", "d")), "different label sets: a, b, c and a, b, d"),
        (lambda p: replace(p, labels=(p.labels + 1) % 3), r"different labels at image 0: test/0\.png and test/0\.png"),
    ],
)
def test_what_is_not_of_the_same_images_is_not_compared(
    change: Callable[[Predictions], Predictions], message: str
) -> None:
    first, second = drawn(40, 1), drawn(40, 2)
    models = {"x": first, "y": second, "odd": change(second)}
    with pytest.raises(InputError, match=f"cannot compare x and odd: {message}"):
        compare_predictions(list(models.items()))
    with pytest.raises(InputError, match=f"cannot compare x and odd by class: {message}"):
        class_tests(models)

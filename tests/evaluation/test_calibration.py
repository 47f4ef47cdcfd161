"""Calibration figures against torchmetrics, scikit-learn, a plain loop and hand-made cases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from mien.confidence import fit_temperature, tempered
from mien.errors import InputError
from mien.evaluation.calibration import brier, calibration, classwise_ece, ece, ece_if_perfect
from mien.predictions import Predictions


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(n: int, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from honest probabilities over four classes, and those probabilities raised to `sharpness`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    labels = (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return labels, softmax(logits * sharpness)


def as_predictions(labels: np.ndarray, probs: np.ndarray) -> Predictions:
    names = np.array([f"{i}" for i in range(len(labels))], dtype=np.str_)
    no = np.zeros(len(labels), dtype=bool)
    return Predictions(
        "test", ("a", "b", "c", "d"), names, names, labels.astype(np.int64), probs.astype(np.float32), no, no
    )


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("bins", [5, 15])
def test_ece_is_that_of_torchmetrics(sharpness: float, bins: int) -> None:
    labels, probs = drawn(3000, sharpness)
    theirs = multiclass_calibration_error(torch.tensor(probs), torch.tensor(labels), num_classes=4, n_bins=bins)
    ours = ece(probs.max(axis=1), probs.argmax(axis=1) == labels, bins)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_ece_by_hand() -> None:
    confidence, right = np.array([0.95, 0.85, 0.55, 0.52]), np.array([True, False, True, False])
    # Two bins of width: all four lie in the upper one, right half of the time, at a mean confidence of .7175.
    assert ece(confidence, right, 2) == pytest.approx(0.2175)
    # Two bins of two images each: |.5 - .9| and |.5 - .535|, half of the images each.
    assert ece(confidence, right, 2, "mass") == pytest.approx((0.4 + 0.035) / 2)


def test_bins_of_equal_mass_are_a_plain_loop() -> None:
    labels, probs = drawn(1001, 2.0)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    edges = [-(-i * 1001 // 15) for i in range(16)]
    total = 0.0
    for start, end in pairwise(edges):
        chosen = order[start:end]
        total += len(chosen) * abs(right[chosen].mean() - confidence[chosen].mean())
    assert ece(confidence, right, 15, "mass") == pytest.approx(total / 1001)


def test_classwise_ece_is_the_mean_over_classes() -> None:
    labels, probs = drawn(2000, 1.7)
    loop = []
    for k in range(4):
        bins = np.clip(np.ceil(probs[:, k] * 15).astype(int) - 1, 0, 14)
        gaps = [abs((labels == k)[bins == b].sum() - probs[bins == b, k].sum()) for b in range(15)]
        loop.append(sum(gaps) / 2000)
    assert classwise_ece(labels, probs) == pytest.approx(np.mean(loop))


def test_brier_is_that_of_scikit_learn() -> None:
    labels, probs = drawn(500, 1.3)
    assert brier(labels, probs) == pytest.approx(brier_score_loss(labels, probs, scale_by_half=False))
    figures = calibration(as_predictions(labels, probs))
    assert (figures.n, figures.brier) == (500, pytest.approx(brier(labels, probs), abs=1e-6))


def test_brier_ends() -> None:
    sure = np.eye(4)
    assert brier(np.arange(4), sure) == 0
    assert brier((np.arange(4) + 1) % 4, sure) == 2


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_sharpening(sharpness: float) -> None:
    labels, probs = drawn(20_000, sharpness)
    temperature = fit_temperature(labels, probs)
    assert temperature == pytest.approx(sharpness, rel=0.04)
    honest = tempered(probs, temperature)
    assert np.array_equal(honest.argmax(axis=1), probs.argmax(axis=1))
    assert np.allclose(tempered(probs, sharpness), drawn(20_000)[1])


def test_no_other_temperature_is_better() -> None:
    labels, probs = drawn(400, 2.0, seed=3)
    best = fit_temperature(labels, probs)
    losses = [log_loss(labels, tempered(probs, best * factor)) for factor in (0.95, 1.0, 1.05)]
    assert losses[1] == min(losses)
    with pytest.raises(InputError, match="no image"):
        fit_temperature(labels[:0], probs[:0])


def test_the_range_of_perfect_calibration_covers_as_it_says() -> None:
    """Of sets whose answers are right as often as their confidence says, 95 % lie within; a too sure one does not."""
    confidence = drawn(800)[1].max(axis=1)
    low, high = ece_if_perfect(confidence)
    rng = np.random.default_rng(1)
    errors = np.array([ece(confidence, rng.random(800) < confidence) for _ in range(300)])
    within = (low <= errors) & (errors <= high)
    assert within.mean() == pytest.approx(0.95, abs=0.04)
    labels, sharp = drawn(800, 2.0)
    figures = calibration(as_predictions(labels, sharp))
    assert figures.ece > 2 * figures.ece_if_perfect[1]
    assert not figures.as_good_as_perfect
    assert calibration(as_predictions(*drawn(800))).as_good_as_perfect


def test_zero_and_one_are_borne() -> None:
    probs = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    figures = calibration(as_predictions(np.array([0, 2]), probs))
    assert figures.ece == pytest.approx(0.5)
    assert np.isfinite(tempered(probs, 3.0)).all()

"""An Evaluation holds the right numbers for the right images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk

from mien.errors import InputError
from mien.evaluation.evaluate import Evaluation, score
from mien.labels import FER7
from mien.predictions import Predictions


def some_predictions(n: int = 300, split: str = "test", seed: int = 0, missing: int | None = None) -> Predictions:
    """A tenth of the images stands in train, another tenth in val, and every one is answered at random."""
    rng = np.random.default_rng(seed)
    k = len(FER7)
    labels = rng.integers(k, size=n)
    if missing is not None:
        labels[labels == missing] = (missing + 1) % k
    probabilities = rng.dirichlet(np.ones(k), size=n).astype(np.float32)
    leak = rng.random(n)
    return Predictions(
        split=split,
        label_names=FER7.labels,
        names=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i:032x}" for i in range(n)], dtype=np.str_),
        labels=labels,
        probabilities=probabilities,
        in_train=leak < 0.1,
        in_val=(leak >= 0.1) & (leak < 0.2),
    )


def test_scores_equal_scikit_learn() -> None:
    p = some_predictions()
    result = score(p, "cnn-v2")
    y, guess = p.labels, p.predicted
    assert (result.model, result.split, result.labels, result.scores.n) == ("cnn-v2", "test", FER7.labels, 300)
    assert result.scores.accuracy.value == pytest.approx(sk.accuracy_score(y, guess))
    assert result.scores.macro_f1.value == pytest.approx(sk.f1_score(y, guess, average="macro"))
    assert result.scores.weighted_f1.value == pytest.approx(sk.f1_score(y, guess, average="weighted"))
    assert result.scores.mean_class_accuracy.value == pytest.approx(sk.balanced_accuracy_score(y, guess))
    assert result.scores.nll.value == pytest.approx(-np.log(p.probabilities[np.arange(300), y]).mean(), rel=1e-5)
    assert np.array_equal(result.confusion, sk.confusion_matrix(y, guess))
    for name in ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll"):
        figure = getattr(result.scores, name)
        assert figure.low < figure.value < figure.high, name


@pytest.mark.parametrize("split", ["test", "val", "pooled"])
def test_leak_free_scores_the_images_that_training_never_saw(split: str) -> None:
    p = some_predictions(split=split)
    if split == "val":
        p = replace(p, in_val=np.ones(len(p), dtype=np.bool_))
    seen = p.in_train | p.in_val if split == "test" else p.in_train
    result = score(p, "m", draws=50)
    assert result.leak_free is not None
    assert 0 < seen.sum() < len(p)
    assert result.leak_free.n == (~seen).sum()
    assert result.leak_free.accuracy.value == pytest.approx(np.mean((p.predicted == p.labels)[~seen]))
    assert result.scores.n == len(p)


def test_leak_free_is_everything_when_nothing_leaks() -> None:
    nothing = np.zeros(300, dtype=np.bool_)
    result = score(replace(some_predictions(), in_train=nothing, in_val=nothing), "m", draws=50)
    assert result.leak_free == result.scores


def test_leak_free_is_none_when_every_image_was_seen() -> None:
    result = score(replace(some_predictions(), in_train=np.ones(300, dtype=np.bool_)), "m", draws=50)
    assert result.leak_free is None
    assert result.scores.n == 300


def test_a_class_without_an_image_is_undefined_and_left_out_of_the_means() -> None:
    p = some_predictions(missing=1)
    result = score(p, "m", draws=50)
    disgust = result.per_class[1]
    assert (disgust.label, disgust.support) == ("disgust", 0)
    assert (disgust.precision, disgust.recall, disgust.f1) == (0.0, None, None)  # predicted, never rightly
    there = [row for row in result.per_class if row.support]
    assert len(there) == 6
    assert result.scores.macro_f1.value == pytest.approx(np.mean([row.f1 for row in there]))
    assert result.scores.mean_class_accuracy.value == pytest.approx(np.mean([row.recall for row in there]))
    assert sum(result.confusion[1]) == 0


def test_a_class_never_predicted_has_no_precision() -> None:
    p = some_predictions()
    kept = p.probabilities.copy()
    kept[:, 2] = 0
    row = score(replace(p, probabilities=kept / kept.sum(axis=1, keepdims=True)), "m", draws=50).per_class[2]
    assert (row.precision, row.recall, row.f1) == (None, 0.0, 0.0)


def test_json_round_trip() -> None:
    result = score(some_predictions(missing=3), "m", draws=50)
    assert Evaluation.model_validate_json(result.model_dump_json()) == result


def test_same_seed_same_numbers() -> None:
    p = some_predictions()
    assert score(p, "m", draws=50, seed=4) == score(p, "m", draws=50, seed=4)
    assert score(p, "m", draws=50, seed=4) != score(p, "m", draws=50, seed=5)


def test_one_image_scores_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    result = score(some_predictions(n=1), "m")
    assert result.scores.accuracy.low == result.scores.accuracy.value == result.scores.accuracy.high
    assert not recwarn.list


def test_no_image_is_refused() -> None:
    p = some_predictions()
    with pytest.raises(InputError, match="cnn-v2 for 'test': no image to score"):
        score(p.keep(np.zeros(300, dtype=np.bool_)), "cnn-v2")


@pytest.mark.parametrize("label", [-1, 7])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    p = some_predictions()
    labels = p.labels.copy()
    labels[5] = label
    with pytest.raises(InputError, match=rf"5\.png has label {label}, expected 0 to 6"):
        score(replace(p, labels=labels), "m")

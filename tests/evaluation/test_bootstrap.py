"""Figures against scikit-learn, and bootstrap draws against naive resampling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as sk
from scipy import stats

from mien.errors import InputError
from mien.evaluation import bootstrap

K = 7


def some_answers(
    n: int, seed: int, missing: int | None = None, never: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Random labels and probabilities; class `missing` has no image, class `never` is never predicted."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=n)
    if missing is not None:
        labels[labels == missing] = (missing + 1) % K
    logits = rng.normal(size=(n, K))
    logits[np.arange(n), labels] += 1.5
    if never is not None:
        logits[:, never] = -10
    odds = np.exp(logits)
    return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


CASES = [
    pytest.param(400, None, None, id="all classes"),
    pytest.param(400, 2, None, id="class without an image, predicted all the same"),
    pytest.param(400, None, 4, id="class never predicted"),
    pytest.param(400, 3, 3, id="class neither there nor predicted"),
    pytest.param(5, None, None, id="five images"),
    pytest.param(1, None, None, id="one image"),
]


@pytest.mark.parametrize(("n", "missing", "never"), CASES)
def test_point_figures_and_unit_weights_equal_scikit_learn(n: int, missing: int | None, never: int | None) -> None:
    labels, probs = some_answers(n, seed=1, missing=missing, never=never)
    predicted = probs.argmax(axis=1)
    present = np.unique(labels)
    normal = probs.astype(np.float64) / probs.astype(np.float64).sum(axis=1, keepdims=True)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, labels=present, average="macro", zero_division=0),
        "weighted_f1": sk.f1_score(labels, predicted, labels=present, average="weighted", zero_division=0),
        "mean_class_accuracy": sk.recall_score(labels, predicted, labels=present, average="macro"),
        "nll": sk.log_loss(labels, normal, labels=np.arange(K)),
    }
    point = bootstrap.point_figures(labels, probs)
    unit = bootstrap.weighted_figures(np.ones((1, n), np.float32), bootstrap.tally(labels, probs))
    for name, value in expected.items():
        tolerance = 1e-5 if name == "nll" else 1e-12
        assert getattr(point, name) == pytest.approx([value], rel=tolerance), name
        assert getattr(unit, name) == pytest.approx([value], rel=tolerance), name


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_mean_class_accuracy_is_balanced_accuracy() -> None:
    labels, probs = some_answers(300, seed=2, missing=5)
    figures = bootstrap.point_figures(labels, probs)
    assert figures.mean_class_accuracy[0] == pytest.approx(sk.balanced_accuracy_score(labels, probs.argmax(axis=1)))


def test_weights_equal_scikit_learn_on_repeated_images() -> None:
    labels, probs = some_answers(60, seed=3)
    labels[labels == 1] = 0
    labels[0] = 1  # a rare class: about a third of the draws lack it
    tally = bootstrap.tally(labels, probs)
    (weights,) = bootstrap.bootstrap_weights(60, draws=40, seed=4)
    assert 0 < (weights[:, 0] == 0).sum() < 40
    figures = bootstrap.weighted_figures(weights, tally)
    for b, counts in enumerate(weights.astype(int)):
        true, scores = np.repeat(labels, counts), np.repeat(probs, counts, axis=0)
        guess, present = scores.argmax(axis=1), np.unique(true)
        f1 = [sk.f1_score(true, guess, labels=present, average=a, zero_division=0) for a in ("macro", "weighted")]
        assert [figures.macro_f1[b], figures.weighted_f1[b]] == pytest.approx(f1)
        assert figures.accuracy[b] == pytest.approx(sk.accuracy_score(true, guess))
        assert figures.mean_class_accuracy[b] == pytest.approx(
            sk.recall_score(true, guess, labels=present, average="macro")
        )
        assert figures.nll[b] == pytest.approx(bootstrap.nll_per_image(true, scores).mean(), rel=1e-5)


def test_confusion_by_hand() -> None:
    counts = bootstrap.confusion_counts(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_class_figures_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 0, 2, 0, 0])  # class 1 never predicted, class 2 has no image, class 3 neither
    figures = bootstrap.class_figures(labels, predicted, 4)
    assert figures.support.tolist() == [4, 2, 0, 0]
    np.testing.assert_allclose(figures.precision, [3 / 5, np.nan, 0, np.nan])
    np.testing.assert_allclose(figures.recall, [3 / 4, 0, np.nan, np.nan])
    np.testing.assert_allclose(figures.f1, [6 / 9, 0, np.nan, np.nan])


def test_class_figures_equal_scikit_learn() -> None:
    labels, probs = some_answers(500, seed=5)
    figures = bootstrap.class_figures(labels, probs.argmax(axis=1), K)
    report = sk.classification_report(labels, probs.argmax(axis=1), output_dict=True)
    for i in range(K):
        row = report[str(i)]
        assert (figures.precision[i], figures.recall[i]) == pytest.approx((row["precision"], row["recall"]))
        assert (figures.f1[i], figures.support[i]) == pytest.approx((row["f1-score"], row["support"]))


def test_nll_clips_at_the_smallest_probability() -> None:
    probs = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    assert bootstrap.nll_per_image(np.array([0, 1]), probs) == pytest.approx([0, -np.log(1e-7)])


@pytest.mark.parametrize("chunk", [1, 7, 90, 10**6])
def test_bootstrap_weights_do_not_depend_on_chunk(chunk: int) -> None:
    blocks = list(bootstrap.bootstrap_weights(30, draws=20, seed=6, chunk=chunk))
    assert all(block.size <= max(chunk, 30) and block.dtype == np.float64 for block in blocks)
    weights = np.concatenate(blocks)
    whole = np.concatenate(list(bootstrap.bootstrap_weights(30, draws=20, seed=6)))
    assert weights.shape == (20, 30)
    assert (weights == whole).all()
    assert (weights.sum(axis=1) == 30).all()


def test_bootstrap_weights_are_multinomial() -> None:
    weights = np.concatenate(list(bootstrap.bootstrap_weights(50, draws=4000, seed=7)))
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)  # standard error 0.016
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)
    other = next(iter(bootstrap.bootstrap_weights(50, draws=4000, seed=8)))
    assert (other != weights).any()


def test_intervals_equal_naive_resampling() -> None:
    labels, probs = some_answers(250, seed=8, missing=6)
    predicted = probs.argmax(axis=1)
    (samples,) = bootstrap.bootstrap_figures([bootstrap.tally(labels, probs)], draws=4000, seed=0)
    rng = np.random.default_rng(99)
    accuracy, macro_f1 = [], []
    for _ in range(2000):
        picked = rng.choice(250, size=250)
        true, guess = labels[picked], predicted[picked]
        accuracy.append(np.mean(true == guess))
        f1 = []
        for k in set(true.tolist()):
            hits = np.sum((true == k) & (guess == k))
            f1.append(2 * hits / (np.sum(true == k) + np.sum(guess == k)))
        macro_f1.append(np.mean(f1))
    # The ends of an interval of 2,000 draws have a standard error of about 0.002 here.
    assert bootstrap.interval(samples.accuracy) == pytest.approx(np.percentile(accuracy, [2.5, 97.5]), abs=0.01)
    assert bootstrap.interval(samples.macro_f1) == pytest.approx(np.percentile(macro_f1, [2.5, 97.5]), abs=0.01)


def test_accuracy_interval_is_the_normal_approximation() -> None:
    labels, probs = some_answers(3000, seed=9)
    (samples,) = bootstrap.bootstrap_figures([bootstrap.tally(labels, probs)])
    rate = bootstrap.point_figures(labels, probs).accuracy[0]
    half = 1.96 * np.sqrt(rate * (1 - rate) / 3000)
    assert bootstrap.interval(samples.accuracy) == pytest.approx((rate - half, rate + half), abs=0.1 * half)


def test_interval_covers_the_true_accuracy() -> None:
    """Of 200 sets of 200 images answered right with chance .7, about 95 % have .7 in their interval."""
    rng = np.random.default_rng(10)
    covered = 0
    for seed in range(200):
        labels = rng.integers(2, size=200)
        right = rng.random(200) < 0.7
        probs = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
        (samples,) = bootstrap.bootstrap_figures([bootstrap.tally(labels, probs)], draws=400, seed=seed)
        low, high = bootstrap.interval(samples.accuracy)
        covered += low <= 0.7 <= high
    assert 180 <= covered <= 199  # binomial(200, .95): mean 190, standard deviation 3.1


def test_models_share_their_resamples() -> None:
    labels, probs = some_answers(100, seed=11)
    tally = bootstrap.tally(labels, probs)
    first, second = bootstrap.bootstrap_figures([tally, tally], draws=50)
    assert (first.accuracy == second.accuracy).all()
    assert (first.macro_f1 == second.macro_f1).all()
    assert first.accuracy.std() > 0


def test_blocks_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probs = some_answers(100, seed=12)
    tally = bootstrap.tally(labels, probs)
    (whole,) = bootstrap.bootstrap_figures([tally], draws=50, seed=3)
    original = bootstrap.bootstrap_weights
    monkeypatch.setattr(bootstrap, "bootstrap_weights", lambda n, draws, seed: original(n, draws, seed, chunk=700))
    (pieces,) = bootstrap.bootstrap_figures([tally], draws=50, seed=3)
    for name in ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy"):
        assert (getattr(whole, name) == getattr(pieces, name)).all(), name
    assert pieces.nll == pytest.approx(whole.nll, rel=1e-6)


def test_draws_below_one_are_refused() -> None:
    labels, probs = some_answers(10, seed=13)
    with pytest.raises(InputError, match="expected at least 1, got 0"):
        bootstrap.bootstrap_figures([bootstrap.tally(labels, probs)], draws=0)


def test_a_ratio_is_of_the_draws_that_hold_it() -> None:
    rng = np.random.default_rng(0)
    rare = np.zeros(60)
    rare[:2] = 1  # one draw in seven has neither
    hit = rare * np.array([1] + [0] * 59)
    found = bootstrap.estimates(
        {"rare": (hit, rare), "never": (np.zeros(60), np.zeros(60)), "all": (rng.random(60), np.ones(60))}, draws=500
    )
    assert found["rare"].value == 0.5
    assert (found["rare"].low, found["rare"].high) == (0, 1)
    assert set(found) == {"rare", "all"}
    with pytest.raises(InputError, match="at least 1, got 0"):
        bootstrap.estimates({"rare": (hit, rare)}, draws=0)


def test_the_rank_correlation_is_that_of_scipy_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 80).astype(float)  # many ties
    y = x + rng.normal(0, 3, 80)
    y[:20] = y[0]
    picked = rng.integers(80, size=(30, 80))
    weights = np.array([np.bincount(one, minlength=80) for one in picked], dtype=np.float32)
    theirs = [stats.spearmanr(x[one], y[one]).statistic for one in picked]
    np.testing.assert_allclose(bootstrap.weighted_spearman(x, y, weights), theirs, atol=1e-12)
    found = bootstrap.spearman(x, y, draws=400)
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < found.value < found.high
    assert bootstrap.spearman(x, np.ones(80)) is None

"""Robustness of a classifier of known behavior: accuracies by hand, intervals against scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from mien import FaceSet, Recognizer
from mien.cards import Alignment
from mien.errors import InputError
from mien.evaluation import robustness as module
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.corruptions import CORRUPTIONS, corrupt
from mien.evaluation.robustness import Draw, Robustness, robustness
from mien.labels import LabelSet
from mien.model import Model
from mien.predictions import Predictions

BRIGHTNESS = CORRUPTIONS.index("brightness")
N = 120


def classify(crops: Sequence[np.ndarray]) -> np.ndarray:
    """Bright above: class 1, dark above: class 0; sure of it. There is a class 2 that it never says."""
    bright = np.array([crop[: -(-len(crop) // 2)].mean() > 127.5 for crop in crops])
    return np.stack([~bright, bright, np.zeros_like(bright)], axis=1).astype(np.float32)


def half_and_half(n: int = N, wrong: int = 0) -> FaceSet:
    """Faces of one half at 60 and one at 195, mean 127.5, by turns; the last `wrong` ones have the other's label.

    So only brightness changes what `classify` sees: it needs to go up or down by 67.5 of 255, which is more than the
    .24 of severity 3 and less than the .32 of severity 4.
    """
    images = np.full((n, 48, 48), 60, np.uint8)
    images[0::2, 24:] = 195
    images[1::2, :24] = 195
    bright = np.arange(n) % 2
    names = np.array([f"face {i}" for i in range(n)], dtype=np.str_)
    return FaceSet(
        source="halves",
        label_set=LabelSet("halves", ("dark", "bright", "absent")),
        store=images,
        rows=np.arange(n),
        labels=np.where(np.arange(n) < n - wrong, bright, 1 - bright).astype(np.int64),
        names=names,
        splits=np.full(n, "val"),
        hashes=np.array([f"{i:032x}" for i in range(n)], dtype=np.str_),
        shapes=np.full((n, 2), 48, dtype=np.int32),
        blank=np.zeros(n, dtype=bool),
        persons=np.zeros(n, dtype="<U1"),
        unreadable={},
    )


def predicted(faces: FaceSet) -> Predictions:
    no = np.zeros(len(faces), dtype=bool)
    probs = classify(list(faces.images))
    return Predictions("val", faces.label_set.labels, faces.names, faces.hashes, faces.labels, probs, no, no)


def right_in_the_light(faces: FaceSet) -> np.ndarray:
    """`(N,)` whether `classify` is right once a face is much brighter or darker, as the seed 0 decides by its hash."""
    gray = np.full((1, 1), 128, np.uint8)
    brighter = np.array([corrupt(gray, "brightness", 5, identity=str(h))[0, 0] > 128 for h in faces.hashes])
    return np.asarray(brighter == faces.labels)


def near(estimate: Estimate, value: float, low: float, high: float, tolerance: float) -> None:
    assert estimate.value == pytest.approx(value, abs=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=tolerance)


def test_accuracies_are_those_found_by_hand() -> None:
    faces = half_and_half(wrong=18)
    found = robustness(classify, faces, predicted(faces))
    after = float(right_in_the_light(faces).mean())
    assert 0.3 < after < 0.7
    assert (found.split, found.n, found.of, found.seed) == ("val", N, N, 0)
    assert [score.corruption for score in found.corruptions] == list(CORRUPTIONS)
    clean = 1 - 18 / N
    assert found.clean.value == pytest.approx(clean)
    for i, score in enumerate(found.corruptions):
        expected = [clean] * 5 if i != BRIGHTNESS else [clean, clean, clean, after, after]
        assert [one.value for one in score.accuracy] == pytest.approx(expected), score.corruption
        assert score.mean.value == pytest.approx(np.mean(expected))
        assert score.drop.value == pytest.approx(clean - np.mean(expected))
    assert found.mean.value == pytest.approx((48 * clean + 2 * after) / 50)
    assert found.drop.value == pytest.approx(2 * (clean - after) / 50)


def test_intervals_are_the_binomials_and_scipys_paired_bootstrap() -> None:
    faces = half_and_half(wrong=18)
    found = robustness(classify, faces, predicted(faces), draw=Draw(draws=8000))
    for estimate in (found.clean, found.corruptions[BRIGHTNESS].accuracy[4]):  # a draw's count is a binomial
        low, high = binom.ppf([0.025, 0.975], N, estimate.value) / N
        near(estimate, estimate.value, low, high, 1.01 / N)
    clean_N = (np.arange(N) < N - 18).astype(float)
    mean_N = (3 * clean_N + 2 * right_in_the_light(faces)) / 5
    all_N = (9 * clean_N + mean_N) / 10
    for estimate, left_N in ((found.corruptions[BRIGHTNESS].drop, mean_N), (found.drop, all_N)):
        expected = bootstrap(
            (clean_N, left_N), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True, vectorized=True,
            method="percentile", n_resamples=8000, random_state=np.random.default_rng(5),
        ).confidence_interval  # fmt: skip
        near(estimate, (clean_N - left_N).mean(), *expected, 0.06 * (expected.high - expected.low))
    untouched = found.corruptions[0].drop  # right and wrong on the same faces: nothing is uncertain about a paired drop
    assert (untouched.value, untouched.low, untouched.high) == (0, 0, 0)


def test_the_batch_does_not_matter(monkeypatch: pytest.MonkeyPatch, drawn_faces: FaceSet) -> None:
    faces, model = drawn_faces.select("val"), Recognizer("mien-tiny", threads=1, truth="labels")
    clean = Model.open("mien-tiny").predictions(drawn_faces, "val")
    whole = robustness(model.classify, faces, clean, draw=Draw(draws=20))
    monkeypatch.setattr(module, "BATCH", 5)
    assert robustness(model.classify, faces, clean, draw=Draw(draws=20)) == whole
    assert robustness(model.classify, faces, clean, draw=Draw(draws=20, seed=1)) != whole
    assert len({score.mean.value for score in whole.corruptions}) > 2


def test_a_sample_is_drawn_by_seed_and_its_clean_accuracy_is_its_own() -> None:
    faces = half_and_half(wrong=60)
    seen: list[np.ndarray] = []

    def remember(crops: Sequence[np.ndarray]) -> np.ndarray:
        seen.append(np.array(crops))
        return classify(crops)

    first = robustness(remember, faces, predicted(faces), draw=Draw(most=40, draws=50))
    assert (first.n, first.of) == (40, N)
    assert {len(crops) for crops in seen} == {40}
    assert first == robustness(classify, faces, predicted(faces), draw=Draw(most=40, draws=50))
    cleans = {
        robustness(classify, faces, predicted(faces), draw=Draw(most=40, draws=2, seed=s)).clean.value for s in range(4)
    }
    assert len(cleans) > 1
    assert all(0.2 < value < 0.8 for value in cleans)
    assert robustness(classify, faces, predicted(faces), draw=Draw(most=N, draws=2)).n == N
    assert robustness(classify, faces, predicted(faces), draw=Draw(most=10**6, draws=2)).n == N


def test_eyes_and_mouth_are_where_the_alignment_says() -> None:
    """A classifier that looks at one row of pixels is blind where that row is covered, and there alone."""
    images = np.zeros((8, 40, 40), np.uint8)
    images[0::2, 10] = 255
    images[:, 30] = 200

    def row_10(crops: Sequence[np.ndarray]) -> np.ndarray:
        bright = np.array([crop[10].mean() < 250 for crop in crops])
        return np.stack([~bright, bright, np.zeros_like(bright)], axis=1).astype(np.float32)

    faces = replace(half_and_half(8), store=images)
    clean = replace(predicted(faces), probabilities=row_10(list(images)))
    place = Alignment(eye_distance=0.5, eye_x=0.5, eye_y=0.25, eyes_to_mouth=0.5, faces=0)
    found = {
        score.corruption: score.accuracy[4].value
        for score in robustness(row_10, faces, clean, alignment=place, draw=Draw(draws=2)).corruptions
    }
    assert (found["eyes"], found["mouth"]) == (0.5, 1.0)
    turned = robustness(row_10, faces, clean, alignment=place.model_copy(update={"eye_y": 0.6}), draw=Draw(draws=2))
    assert [score.accuracy[4].value for score in turned.corruptions if score.corruption == "eyes"] == [1.0]
    assert turned.alignment.eye_y == 0.6


def test_json_round_trip() -> None:
    faces = half_and_half(20)
    found = robustness(classify, faces, predicted(faces), draw=Draw(draws=50))
    assert Robustness.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (48, 48, 3)])
def test_one_face_and_tiny_crops(size: tuple[int, ...]) -> None:
    faces = replace(half_and_half(1), store=np.full((1, *size), 60, np.uint8))
    found = robustness(classify, faces, predicted(faces))
    assert found.n == 1
    assert (found.clean.value, found.clean.low, found.clean.high) == (1, 1, 1)
    assert found.corruptions[0].accuracy[4].value == 1


def test_progress_grows_to_the_end() -> None:
    said: list[tuple[str, int, int]] = []
    faces = half_and_half(150)
    robustness(classify, faces, predicted(faces), progress=lambda *step: said.append(step), draw=Draw(draws=2))
    assert {(what, total) for what, _, total in said} == {("corrupting faces", 150 * 50)}
    done = [step for _, step, _ in said]
    assert done == sorted(set(done))
    assert done[-1] == 150 * 50


def test_predictions_of_other_faces_are_refused() -> None:
    faces = half_and_half(10)
    clean = predicted(faces)
    order = np.array([0, 1, 2, 4, 3, 5, 6, 7, 8, 9])
    swapped = replace(clean, **{key: getattr(clean, key)[order] for key in ("names", "hashes", "labels")})
    with pytest.raises(InputError, match="face 3 is face 3, the predictions there are of face 4, with other pixels"):
        robustness(classify, faces, swapped)
    with pytest.raises(InputError, match=r"face 0 is .* another label"):
        robustness(classify, faces, replace(clean, labels=1 - clean.labels))
    with pytest.raises(InputError, match="10 faces, predictions of 9"):
        robustness(classify, faces, clean.keep(np.arange(10) < 9))
    with pytest.raises(InputError, match=r"halves has the classes dark, bright, absent; the predictions a, b, c\."):
        robustness(classify, faces, replace(clean, label_names=("a", "b", "c")))
    nothing = np.zeros(10, dtype=bool)
    with pytest.raises(InputError, match="no image"):
        robustness(classify, faces.keep(nothing), clean.keep(nothing))
    with pytest.raises(InputError, match="at most 0 faces: expected 1"):
        robustness(classify, faces, clean, draw=Draw(most=0))


def test_another_model_than_that_of_the_predictions_is_refused() -> None:
    faces = half_and_half(10)
    with pytest.raises(InputError, match="as its predictions say for 0 of the first 10 faces"):
        robustness(lambda crops: classify(crops)[:, [1, 0, 2]], faces, predicted(faces))
    with pytest.raises(InputError, match=r"answers with \(10, 2\), expected \(10, 3\)"):
        robustness(lambda crops: classify(crops)[:, :2], faces, predicted(faces))

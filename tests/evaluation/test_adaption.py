"""Adaption: biases against scipy and known ones, gains by simulation, groups that stay together, the file's answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from mien import FaceSet, InputError, Recognizer
from mien.cards import Head
from mien.evaluation.adaption import (
    FEWEST_PERSONS,
    Labeled,
    adapted,
    baseline,
    fit_biases,
    groups_left_out,
    learn,
    neutral_of,
)
from mien.evaluation.views import views_of
from mien.model import Model
from mien.model_files import with_biases

HEAD = Head(labels=("happy", "neutral", "sad"), temperature=1.3, risk=0.4, threshold=0.5)


def drawn(n: int, seed: int, biases: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Labeled:
    """Answers of a model that is right about its faces but for `biases`, and labels that chance draws by them."""
    rng = np.random.default_rng(seed)
    said = softmax(2 * rng.normal(size=(n, 3)), axis=1)
    true = softmax((np.log(said) + biases) / HEAD.temperature, axis=1)
    labels = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return Labeled(labels, said[None], np.arange(n), neutral=1)


@pytest.mark.parametrize("spread", [0.25, 2.0])
def test_biases_are_those_of_scipy(spread: float) -> None:
    given = drawn(40, 0, (2.0, -1.0, 0.0))
    rng = np.random.default_rng(1)
    weights, starts = (rng.random((4, 40)) > 0.3).astype(float), rng.normal(size=(4, 3))
    found = fit_biases(given, 1.3, weights, spread, starts)
    for weight, start, biases in zip(weights, starts, found, strict=True):

        def cost(b: np.ndarray, weight: np.ndarray = weight, start: np.ndarray = start) -> float:
            logs = log_softmax((np.log(given.said[0]) + b) / 1.3, axis=1)[np.arange(40), given.labels]
            return float(-weight @ logs + ((b - start) ** 2).sum() / (2 * spread**2))

        np.testing.assert_allclose(biases, minimize(cost, np.zeros(3), tol=1e-12).x, atol=2e-4)


def test_known_biases_are_found() -> None:
    learned, threshold = learn(drawn(800, 0, (1.5, -1.5, 0.0)), HEAD.model_copy(update={"risk": 0.15}), "labels")
    np.testing.assert_allclose(learned.biases, (1.5, -1.5, 0.0), atol=0.4)
    assert learned.certain
    assert learned.after > learned.before
    given = drawn(20_000, 1, (1.5, -1.5, 0.0))  # other faces: the interval holds what is gained on them
    right = [
        (adapted(given.said, np.array(b), 1.3).argmax(axis=1) == given.labels).mean()
        for b in ((0, 0, 0), learned.biases)
    ]
    assert learned.accuracy[1] < right[1] - right[0] < learned.accuracy[2]
    assert threshold is not None
    said = adapted(given.said, np.array(learned.biases), 1.3)
    sure = said.max(axis=1) >= threshold
    assert 0.1 < (said.argmax(axis=1) != given.labels)[sure].mean() <= 0.15  # the wanted risk


def test_nothing_is_gained_where_nothing_is_wrong() -> None:
    told = [learn(drawn(40, seed), HEAD, "labels")[0].certain for seed in range(60)]
    assert sum(told) <= 3  # of 60: at most one in twenty


def test_labels_by_chance_say_nothing() -> None:
    """Faces that were not left out would seem to gain: seven tries of each to please labels that mean nothing."""
    rng, gains = np.random.default_rng(0), []
    for seed in range(30):
        given = replace(drawn(40, seed), labels=rng.permutation(np.arange(40) % 3))
        flat = replace(given, said=np.full_like(given.said, 1 / 3))
        gains.append(learn(flat, HEAD, "labels")[0].nll[0])
    assert max(gains) < 0.02
    assert np.mean(gains) <= 0


def test_a_strong_gain_is_told_from_sixty_faces() -> None:
    told = [learn(drawn(60, seed, (2.0, -2.0, 0.0)), HEAD, "labels")[0].certain for seed in range(20)]
    assert sum(told) >= 18


def test_the_baseline_is_a_share_of_what_neutral_faces_get() -> None:
    given = drawn(50, 0)
    neutral = np.log(given.said[0][given.labels == 1].clip(1e-4))
    mean = (neutral - neutral.mean(axis=1, keepdims=True)).sum(axis=0) / (len(neutral) + 2)
    np.testing.assert_allclose(baseline(given, np.ones((1, 50)), 0.25)[0], -0.25 * mean)
    assert not baseline(replace(given, neutral=None), np.ones((1, 50)), 0.25).any()
    assert not baseline(given, (given.labels != 1).astype(float)[None], 0.25).any()
    assert neutral_of(("anger", "calm")) == 1
    assert neutral_of(("bored", "awake")) is None


def test_copies_of_one_face_are_one_face() -> None:
    """Each face six times, labels by chance: left out singly, its copies would tell it."""
    few = drawn(10, 4)
    rows = np.repeat(np.arange(10), 6)
    labels = np.random.default_rng(0).permutation(np.arange(10) % 3)[rows]
    copies = Labeled(labels, few.said[:, rows], rows, 1)
    together, parted = (learn(one, HEAD, "labels")[0] for one in (copies, replace(copies, groups=np.arange(60))))
    assert together.nll[0] < parted.nll[0]
    assert not together.certain


def test_whole_persons_are_left_out_where_there_are_enough(drawn_faces: FaceSet) -> None:
    def who(persons: int) -> FaceSet:
        names = np.array([f"P{i % persons}" for i in range(len(drawn_faces))])
        return replace(drawn_faces, persons=names)

    groups, persons = groups_left_out(who(FEWEST_PERSONS))
    assert persons == FEWEST_PERSONS
    for person in range(FEWEST_PERSONS):
        assert len(set(groups[person::FEWEST_PERSONS])) == 1  # nobody is parted, nor are identical pictures of two
    assert len(np.unique(groups)) >= FEWEST_PERSONS - 1
    groups, persons = groups_left_out(who(FEWEST_PERSONS - 1))
    assert persons is None
    assert len(np.unique(groups)) == len(np.unique(drawn_faces.hashes))


def test_too_few_faces_and_a_single_label_are_refused() -> None:
    with pytest.raises(InputError, match="19 faces to adapt on; at least 20"):
        learn(drawn(19, 0), HEAD, "labels")
    with pytest.raises(InputError, match="all have one label"):
        learn(replace(drawn(30, 0), labels=np.zeros(30, dtype=np.int64)), HEAD, "labels")


def test_a_threshold_that_cannot_be_told_is_left_out() -> None:
    given = drawn(40, 0)
    assert learn(given, HEAD.model_copy(update={"risk": 0.01}), "labels")[1] is None
    assert learn(given, HEAD.model_copy(update={"risk": None}), "labels")[1] is None


@pytest.mark.parametrize("name", ["mien-small", "mien-tiny"])  # with mirror images, and without
def test_the_file_answers_as_the_gain_was_counted(name: str, drawn_faces: FaceSet, tmp_path) -> None:
    model, faces = Model.open(name), list(drawn_faces.images[:20])
    card = model.card
    biases = np.random.default_rng(0).normal(size=sum(card.widths))
    (tmp_path / "new.onnx").write_bytes(with_biases(model.content, biases.tolist(), name))
    said = views_of(model.content, card, faces, name)
    assert len(said) == (2 if card.mirror else 1)
    for truth in card.truths:
        columns, head = card.columns(truth), card.head(truth)
        expected = adapted(said[..., columns], biases[columns], head.temperature)
        answers = Recognizer(tmp_path / "new.onnx", detector="none", truth=truth).classify(faces)
        np.testing.assert_allclose(answers, expected, atol=1e-5)

"""Other shares of classes: Bayes' rule by hand, the estimate against another optimizer, by simulation, and in use."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from mien import FaceSet, InputError, Recognizer
from mien.cards import Card, Head
from mien.evaluation.priors import prior_change, share_estimates
from mien.predictions import Predictions
from mien.recognize.classifier import with_card
from mien.recognize.prior import NOT_PROMISED, estimated, reweighted, train_shares, wanted_shares
from mien.recognize.recognizer import reopened
from mien.recognize.vendored import read_vendored
from mien.training.shares import with_shares

LABELS = ("a", "b", "c")
TRAIN = np.array([0.6, 0.3, 0.1])
SEVEN = (0.14, 0.02, 0.14, 0.25, 0.17, 0.17, 0.11)


def answers(shares: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels at these shares, and exact answers of a model that learned at `TRAIN`: normals around -1, 0 and 1."""
    labels = rng.choice(3, size=n, p=shares)
    seen = rng.normal(labels - 1.0, 0.7)
    powers = TRAIN * np.exp(-((seen[:, None] - np.array([-1, 0, 1])) ** 2) / (2 * 0.7**2))
    return labels, powers / powers.sum(axis=1, keepdims=True)


def test_bayes_by_hand() -> None:
    moved = reweighted(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0.8, 0.2]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(moved, [[0.2, 0.8], [0.9 / 0.8 / (0.9 / 0.8 + 0.1 / 0.2), 0.5 / (0.9 / 0.8 + 0.5)]])
    probs = answers(TRAIN, 20, np.random.default_rng(0))[1]
    np.testing.assert_allclose(reweighted(probs, TRAIN, TRAIN), probs)
    none = reweighted(np.array([[1.0, 0.0]]), np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(none, [[0, 1]])  # the only class that is left, however improbable
    assert reweighted(np.array([[0.7, 0.3]]), np.array([1.0, 0.0]), np.array([0.5, 0.5])).tolist() == [[1, 0]]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_estimate_is_where_another_optimizer_finds_the_greatest_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs = answers(rng.dirichlet([2, 2, 2]), 500, rng)[1]

    def loss(free: np.ndarray) -> float:
        powers = np.exp(np.append(free, 0.0))
        return -float(np.log((probs / TRAIN) @ (powers / powers.sum())).mean())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 5000})
    powers = np.exp(np.append(best.x, 0.0))
    np.testing.assert_allclose(estimated(probs, TRAIN), powers / powers.sum(), atol=2e-4)


def test_the_estimate_finds_the_shares_and_its_intervals_hold_them() -> None:
    rng, shares = np.random.default_rng(3), np.array([0.2, 0.3, 0.5])
    inside, means = [], []
    for _ in range(40):
        probs = answers(shares, 400, rng)[1]
        found = share_estimates(probs, TRAIN, draws=100)
        inside += [one.low <= share <= one.high for one, share in zip(found, shares, strict=True)]
        means.append([one.value for one in found])
    np.testing.assert_allclose(np.mean(means, axis=0), shares, atol=0.015)
    assert 0.86 < np.mean(inside) <= 1  # of 120; 95 % is wanted


def test_the_right_shares_help_and_wrong_ones_harm() -> None:
    rng, shares = np.random.default_rng(4), np.array([0.1, 0.2, 0.7])
    labels, probs = answers(shares, 3000, rng)
    names = np.array([f"{i}.png" for i in range(3000)], dtype=np.str_)
    none = np.zeros(3000, dtype=bool)
    said = Predictions("val", LABELS, names, names, labels, probs.astype(np.float32), none, none.copy())
    head = Head(labels=LABELS, shares=tuple(TRAIN))
    found = prior_change(said, head, "estimate", "model")
    assert found.accuracy_change.low > 0.05
    assert found.ece < 0.02 < found.ece_before
    np.testing.assert_allclose(found.wanted, shares, atol=0.04)
    right = (probs.argmax(axis=1) == labels).mean()
    assert found.accuracy.value - found.accuracy_change.value == pytest.approx(right)
    assert all(one.low < share < one.high for one, share in zip(found.intervals, found.occurring, strict=True))
    harm = prior_change(said, head, {"a": 9, "b": 1, "c": 0}, "model")
    assert harm.accuracy_change.high < 0
    assert harm.prior == "given"
    with pytest.raises(InputError, match="does not say how frequent each class was"):
        prior_change(said, Head(labels=LABELS), "balanced", "model")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,1\n", "expected the columns label and count, found a, 1"),
        ("label,count\na,1\nb,2\n", "says nothing of c"),
        ("label,count\na,1\nb,2\nd,2\n", "no label 'd'"),
        ("label,count\na,1\na,2\n", "line 3: 'a' stands there twice"),
        ("label,count\na,x\n", "count of 'a' is 'x', expected a number"),
        ("label,count\na,1\nb,-2\nc,0\n", "0 or more, and one above 0"),
        ("label,count\na,0\nb,0\nc,0\n", "one above 0"),
        ("label,count\na,nan\nb,0\nc,1\n", "one above 0"),
        ("label,count\na,inf\nb,0\nc,1\n", "one above 0"),
        ("label,count\nb", "count of 'b' is '', expected a number"),
        ("", "found none"),
    ],
)
def test_tables_that_are_no_counts(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "counts.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=why):
        wanted_shares(file, LABELS)
    file.write_bytes(b"label,count\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="cannot be read as a CSV of label and count"):
        wanted_shares(file, LABELS)


def test_shares_by_name_table_and_dictionary(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("count,label\n1,b\n3,a\n0,c\n")
    for given in (tmp_path / "counts.csv", str(tmp_path / "counts.csv"), {"a": 3, "b": 1, "c": 0}):
        np.testing.assert_allclose(wanted_shares(given, LABELS), [0.75, 0.25, 0])
    np.testing.assert_allclose(wanted_shares("balanced", LABELS), [1 / 3] * 3)
    assert wanted_shares("train", LABELS) is wanted_shares("estimate", LABELS) is None
    with pytest.raises(InputError, match=r"unknown prior 'balanced!'\. Did you mean 'balanced'"):
        wanted_shares("balanced!", LABELS)
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        wanted_shares("none.csv", LABELS)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "prior None: expected one of train, balanced, estimate, a CSV"),
        ([1, 2, 3], r"prior \[1, 2, 3\]: expected one of train"),
        ({"a": "x", "b": 1, "c": 1}, "count of 'a' is 'x', expected a number"),
        ({"a": None, "b": 1, "c": 1}, "count of 'a' is None, expected a number"),
        ({1: 2}, "no label '1'"),
    ],
)
def test_what_is_no_prior_in_python(given: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        wanted_shares(given, LABELS)  # type: ignore[arg-type]


def test_the_card_gets_the_shares_of_the_training_data(drawn_faces: FaceSet) -> None:
    card = with_shares(Recognizer("mien-tiny").card, drawn_faces, None, balanced=False)
    train = drawn_faces.select("train")
    np.testing.assert_allclose(train_shares(card.head("labels"), ""), np.bincount(train.labels) / len(train), atol=1e-6)
    np.testing.assert_allclose(with_shares(card, drawn_faces, None, balanced=True).shares, [1 / 7] * 7, atol=1e-6)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """mien-tiny, whose card tells shares, and sets."""
    card: Card = Recognizer("mien-tiny").card
    assert card.people
    people = card.people.model_copy(update={"shares": SEVEN})
    file = tmp_path / "tiny.onnx"
    content = read_vendored("weights", "mien-tiny.onnx")
    file.write_bytes(with_card(content, card.model_copy(update={"shares": SEVEN, "people": people}), "x"))
    return file


def test_a_recognizer_answers_at_a_prior(model: Path, drawn_faces: FaceSet) -> None:
    crops = list(drawn_faces.images[:3])
    plain = Recognizer(model, detector="none").classify(crops)
    moved = Recognizer(model, detector="none", prior="balanced")
    np.testing.assert_allclose(
        moved.classify(crops), reweighted(plain, np.array(SEVEN), np.full(7, 1 / 7)), rtol=1e-5, atol=1e-7
    )
    (face,) = moved(crops[0])
    assert face.set is None
    assert face.emotion == moved.labels[int(moved.classify(crops[:1]).argmax())]
    assert "disgust .143" in str(moved.settings["prior"])
    np.testing.assert_array_equal(moved.of_all_heads(crops), Recognizer(model).of_all_heads(crops))


def test_an_estimate_needs_all_faces_and_enough_of_them(model: Path, drawn_faces: FaceSet) -> None:
    recognizer = Recognizer(model, detector="none", prior="estimate")
    crops = list(drawn_faces.images[:110])
    found = recognizer(crops)
    plain = Recognizer(model, detector="none").classify(crops).astype(np.float64)
    wanted = reweighted(plain, np.array(SEVEN), estimated(plain, np.array(SEVEN)))
    given = np.array([list(one[0].probabilities.values()) for one in found])
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    with pytest.raises(InputError, match="needs 100 faces, found 1"):
        recognizer(crops[0])
    with pytest.raises(InputError, match="the same faces again and again"):
        recognizer.video("film.mp4")


def test_on_the_command_line(model: Path, mien, drawn_folder: Path, tmp_path: Path) -> None:
    common = ("--model", model, "--detector", "none")
    table = tmp_path / "faces.csv"
    done = mien("recognize", drawn_folder, *common, "--prior", "estimate", "--out", table)
    assert done.code == 0, done.err
    assert "shares estimated from 140 faces" in done.err
    assert "are not promised" in done.err
    found = np.array([[float(v) for k, v in row.items() if k[:2] == "p_"] for row in csv.DictReader(table.open())])
    mien("recognize", drawn_folder, *common, "--out", tmp_path / "plain.csv")
    rows = csv.DictReader((tmp_path / "plain.csv").open())
    plain = np.array([[float(v) for k, v in row.items() if k[:2] == "p_"] for row in rows])
    wanted = reweighted(plain, np.array(SEVEN), estimated(plain, np.array(SEVEN)))
    np.testing.assert_allclose(found, wanted, atol=2e-4)  # of rounded answers
    for options, why in (
        (("camera",), "not for camera"),
        ((drawn_folder,), "write a table with --out"),
        ((drawn_folder, "--out", tmp_path / "x.csv", "--json"), "needs all faces first"),
        ((drawn_folder, "--out", tmp_path / "x", "--engine", "local"), "leave it out with --engine"),
    ):
        refused = mien("recognize", *options, *common, "--prior", "estimate")
        assert (refused.code, why in refused.err) == (2, True), refused.err


def test_what_is_not_promised_is_told_once_a_run(model: Path, mien, drawn_folder: Path, tmp_path: Path) -> None:
    common = ("--model", model, "--detector", "none", "--prior", "balanced")
    for more in (("--out", tmp_path / "a.csv"), ("--out", tmp_path / "b", "--engine", "local")):
        done = mien("recognize", drawn_folder / "test", *common, *more)
        assert done.code == 0, done.err
        assert done.err.count(NOT_PROMISED) == 1


def test_a_copy_does_not_say_again_what_is_not_promised(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    recognizer = Recognizer(model, detector="none", prior="balanced")
    copy = pickle.loads(pickle.dumps(recognizer))  # noqa: S301
    assert caplog.text.count(NOT_PROMISED) == 1
    crops = [np.full((48, 48), 99, dtype=np.uint8)]
    np.testing.assert_array_equal(copy.classify(crops), recognizer.classify(crops))
    assert reopened(recognizer.__getstate__(), threads=1).threads == 1

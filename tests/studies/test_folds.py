"""A cross-validation: whose faces each run sees, what is pooled, and over what its intervals are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Predictions, Recipe, Run
from mien.data.draw import draw_set
from mien.evaluation.evaluate import score
from mien.labels import FER7
from mien.studies.folds import Folds, cross_validate

pytestmark = pytest.mark.usefixtures("no_onnx")

RECIPE = Recipe.load("cnn-v1", ["epochs=1", "data.batch_size=32"])


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Drawn faces without splits, of nine people who show every emotion, and some who are not known."""
    folder = draw_set(tmp_path_factory.mktemp("folds") / "drawn", 140, seed=4, size=24, color=False)
    everything = FaceSet.open(folder, size=24)
    persons = np.array([f"p{i % 10}" for i in range(len(everything))])
    persons[persons == "p9"] = ""
    return replace(everything, splits=np.full(len(everything), "train", dtype="<U5"), persons=persons)


@pytest.fixture(scope="module")
def done(no_onnx: None, faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Folds]:
    out = tmp_path_factory.mktemp("validated") / "folds"
    return out, cross_validate(RECIPE, faces, out, 3)


def test_every_face_is_answered_once_by_a_run_that_saw_neither_it_nor_its_person(
    done: tuple[Path, Folds], faces: FaceSet
) -> None:
    out, found = done
    assert [fold.run for fold in found.folds] == ["fold-01", "fold-02", "fold-03"]
    pooled = Predictions.load(out / "pooled.npz")
    assert sorted(pooled.names) == sorted(faces.names)
    person = dict(zip(faces.hashes.tolist(), faces.persons.tolist(), strict=True))
    for fold in found.folds:
        run = Run(out / fold.run)
        train, val = ({person[picture] for picture in part} - {""} for part in run.seen())
        test = {person[picture] for picture in run.predictions("test").hashes.tolist()} - {""}
        assert not train & val
        assert not test & (train | val)
        assert len(test) == fold.persons
        assert fold.train + fold.val + fold.test == len(faces)
        for saw, told in zip(run.seen(), (fold.train, fold.val), strict=True):
            assert 0 <= told - len(saw) <= 2  # a few drawn faces repeat
    assert sum(fold.persons for fold in found.folds) == found.persons == 9
    assert not (pooled.in_train | pooled.in_val).any()


def test_the_figure_is_of_the_pooled_predictions_at_each_run_s_temperature(done: tuple[Path, Folds]) -> None:
    out, found = done
    pooled = Predictions.load(out / "pooled.npz")
    right = sum(
        int((kept.predicted == kept.labels).sum())
        for kept in (Run(out / fold.run).predictions("test") for fold in found.folds)
    )
    assert found.evaluation.scores.n == 140
    assert found.accuracy.value == pytest.approx(right / 140)
    first = Run(out / "fold-01")
    tempered = first.predictions("test").tempered(first.card.temperature)
    np.testing.assert_allclose(pooled.probabilities[: len(tempered)], tempered.probabilities)
    assert Folds.model_validate_json((out / "folds.json").read_text()) == found
    assert json.loads((out / "folds.json").read_text())["by"] == "persons"


def test_the_same_command_keeps_what_is_finished(done: tuple[Path, Folds], faces: FaceSet, monkeypatch) -> None:
    out, found = done
    monkeypatch.setattr("mien.training.train._train", lambda *_: pytest.fail("trained twice"))
    assert cross_validate(RECIPE, faces, out, 3) == found


def test_without_persons_it_is_by_images_and_says_so(
    faces: FaceSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = replace(faces, persons=np.zeros(len(faces), dtype="<U1"))
    found = cross_validate(RECIPE, unknown, tmp_path / "folds", 2)
    assert (found.by, found.persons) == ("images", 0)
    assert "2 folds by images, since no persons are known" in caplog.text
    first, second = (Run(tmp_path / "folds" / fold.run).predictions("test").labels for fold in found.folds)
    assert len(first) + len(second) == 140
    assert np.abs(np.bincount(first, minlength=7) - np.bincount(second, minlength=7)).max() <= 2


def test_what_cannot_be_folded_is_refused_before_a_training(faces: FaceSet, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mien.studies.folds.train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"100 folds of \d\d persons\. Choose from 2 to \d\d"):
        cross_validate(RECIPE, faces, tmp_path, 100)
    tested = replace(faces, splits=np.where(np.arange(len(faces)) < 10, "test", "train").astype("<U5"))
    with pytest.raises(InputError, match=r"has a test split, .* or leave out --folds"):
        cross_validate(RECIPE, tested, tmp_path, 3)
    alone = replace(faces, persons=np.where(faces.labels == 3, "p0", faces.persons))
    with pytest.raises(InputError, match=r"holds all faces of happy, .* --labels happy=-"):
        cross_validate(RECIPE, alone, tmp_path, 3)
    assert not list(tmp_path.iterdir())


def test_intervals_over_persons_are_those_of_a_bootstrap_of_persons() -> None:
    """Against the sampling distribution by hand; and an interval over images that are copies is too narrow."""
    rng = np.random.default_rng(0)
    people, each = 20, 15
    skill = rng.random(people)
    person = np.repeat(np.arange(people), each)
    right = rng.random(people * each) < skill[person]
    n = len(person)
    labels = np.tile(np.arange(7), n)[:n]
    answer = np.where(right, labels, (labels + 1) % 7)
    no, names = np.zeros(n, dtype=bool), np.array([f"{i}" for i in range(n)])
    said = Predictions("pooled", FER7.labels, names, names, labels, np.eye(7, dtype=np.float32)[answer], no, no)
    by_person = score(said, "m", clusters=person, draws=2000).scores.accuracy
    by_image = score(said, "m", draws=2000).scores.accuracy
    shares = right.reshape(people, each).mean(axis=1)
    drawn = shares[rng.integers(people, size=(20_000, people))].mean(axis=1)
    assert (by_person.low, by_person.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.015)
    assert by_person.value == by_image.value == right.mean()
    assert by_person.high - by_person.low > 1.5 * (by_image.high - by_image.low)

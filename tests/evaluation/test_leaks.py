"""The score without near-duplicates and without persons who were seen, against a count by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Run
from mien.data.leaks import Near
from mien.evaluation import leaks as module
from mien.evaluation.leaks import strict_score
from mien.predictions import Predictions
from mien.report.words import strict_sentence


@pytest.fixture
def said(drawn_faces: FaceSet) -> Predictions:
    chosen = drawn_faces.select("test")
    rng = np.random.default_rng(0)
    raw = rng.random((len(chosen), 7)).astype(np.float32) + np.eye(7, dtype=np.float32)[chosen.labels]
    return Predictions(
        split="test",
        label_names=chosen.label_set.labels,
        names=chosen.names,
        hashes=chosen.hashes,
        labels=chosen.labels,
        probabilities=raw / raw.sum(axis=1, keepdims=True),
        in_train=np.arange(len(chosen)) == 0,
        in_val=np.arange(len(chosen)) == 1,
    )


def test_near_and_known_persons_are_left_out(
    said: Predictions, drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.flatnonzero(drawn_faces.splits == "test")
    asked = []

    def near(faces: FaceSet, later: str, earlier: str, progress: object = None) -> list[Near]:
        asked.append((later, earlier))
        return [Near(int(rows[0]), 0, 0.99, False), Near(int(rows[2]), 0, 0.9, True), Near(int(rows[3]), 0, 0.8, False)]

    monkeypatch.setattr(module, "near_duplicates", near)
    persons = np.full(len(drawn_faces), "", dtype="<U3")
    persons[drawn_faces.splits == "train"] = "eva"
    persons[rows[[2, 4]]] = "eva"  # the first of them is left out as near already
    persons[rows[5]] = "ada"
    found = strict_score(said, replace(drawn_faces, persons=persons))
    assert asked == [("test", "train"), ("test", "val")]
    assert (found.near, found.persons, found.known_persons) == (1, 1, True)
    left = [i for i in range(len(said)) if i not in (0, 1, 2, 4)]
    assert found.scores is not None
    assert found.scores.n == len(left)
    assert found.scores.accuracy.value == pytest.approx((said.predicted == said.labels)[left].mean())
    assert "1 of a person who is there too" in strict_sentence(found)
    nobody = strict_score(said, drawn_faces)
    assert (nobody.persons, nobody.known_persons) == (0, False)
    assert "person" not in strict_sentence(nobody)


def test_nothing_left_and_other_data(said: Predictions, drawn_faces: FaceSet) -> None:
    everything = replace(said, in_train=np.full(len(said), True))
    assert strict_score(everything, drawn_faces).scores is None
    assert "none is left" in strict_sentence(strict_score(everything, drawn_faces))
    with pytest.raises(InputError, match="has no train split"):
        strict_score(said, drawn_faces.select("test"))
    with pytest.raises(InputError, match="not of the images of"):
        strict_score(said, drawn_faces.keep(np.arange(len(drawn_faces)) % 2 == 0))


def test_evaluate_says_it_beside_the_leak_free_figure(trained_run: Run, drawn_zip: Path, mien) -> None:
    told = mien("evaluate", trained_run.folder, "--data", drawn_zip, "--leaks", "--json")
    assert told.code == 0, told.err
    assert '"strict"' in told.out
    told = mien("evaluate", "mien-tiny", "--data", drawn_zip, "--leaks")
    assert told.code == 0, told.err
    assert "was trained on other data than drawn.zip" in told.err

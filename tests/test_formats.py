"""What version 0.1 wrote is read, what a newer mien wrote is refused by a sentence that says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Predictions, Run, formats
from mien.cards import Card
from mien.recognize.journal import Journal, identity
from mien.recognize.rows import columns

RESULTS = Path(__file__).parents[1] / "results"  # kept since version 0.1
NEWER = r"was written by a newer mien \(format 99; this one reads up to \d+\)\. Upgrade mien"


def test_cards(tmp_path: Path) -> None:
    told = json.loads((RESULTS / "cnn-v1" / "card.json").read_text())
    assert "format" not in told
    card = Card.load(RESULTS / "cnn-v1" / "card.json")
    assert (card.people, card.truth, card.widths) == (None, "labels", (7,))
    card.save(tmp_path / "card.json")
    assert json.loads((tmp_path / "card.json").read_text())["format"] == formats.CARD
    (tmp_path / "new.json").write_text(json.dumps({**told, "format": 99, "aura": "blue"}))
    with pytest.raises(InputError, match=rf"new\.json: {NEWER}"):
        Card.load(tmp_path / "new.json")


def test_predictions(tmp_path: Path) -> None:
    file = RESULTS / "cnn-v1" / "predictions" / "val.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    assert "format" not in arrays
    kept = Predictions.load(file)
    assert kept.people is None
    kept.save(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as stored:
        assert stored["format"] == formats.PREDICTIONS
    np.testing.assert_array_equal(Predictions.load(tmp_path / "again.npz").probabilities, kept.probabilities)
    np.savez(tmp_path / "new.npz", **arrays, format=np.array(99))
    with pytest.raises(InputError, match=rf"new\.npz: {NEWER}"):
        Predictions.load(tmp_path / "new.npz")


def test_run_folders(drawn_faces: FaceSet, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save_seen(drawn_faces.select("train", "val"))
    with np.load(tmp_path / "seen.npz") as stored:
        arrays = dict(stored)
    assert arrays.pop("format") == formats.RUN
    np.savez(tmp_path / "seen.npz", **arrays)  # as version 0.1 wrote it
    assert run.seen_fingerprint == drawn_faces.select("train", "val").fingerprint
    np.savez(tmp_path / "seen.npz", **arrays, format=np.array(99))
    with pytest.raises(InputError, match=NEWER):
        run.seen()
    history = Run(RESULTS / "cnn-v1").history
    assert "val_people" not in (RESULTS / "cnn-v1" / "history.csv").read_text()
    assert history[0].val_people is None


def test_journals(tmp_path: Path) -> None:
    settings = {"model": "mien-small", "threshold": 0.5}
    path = tmp_path / "faces.csv.journal"
    path.write_text(json.dumps(settings) + "\n" + json.dumps({"source": "a.jpg", "faces": []}) + "\n")
    with Journal(tmp_path / "faces.csv", settings) as journal:
        assert journal.done == {identity("a.jpg")}
    path.write_text(json.dumps({"format": 99, **settings}) + "\n")
    with pytest.raises(InputError, match=NEWER):
        Journal(tmp_path / "faces.csv", settings)
    path.unlink()
    with Journal(tmp_path / "faces.csv", settings):
        assert json.loads(path.read_text())["format"] == formats.JOURNAL


def test_tables_say_theirs() -> None:
    assert columns(["happy"])[-8:-6] == ["format", "face_size"]  # what comes later stands after it


@pytest.mark.parametrize("number", ["2", 0, True, 1.5])
def test_what_is_no_number_is_told(number: object) -> None:
    with pytest.raises(InputError, match="has no number of a format where one should be"):
        formats.check(number, 2, "card.json")

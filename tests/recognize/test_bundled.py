"""The bundled models: whole, small, and the very models whose figures are kept under results/."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from mien import FaceSet, InputError, Predictions, Recipe, Recognizer
from mien.evaluation.calibration import calibration
from mien.labels import FER7
from mien.recognize import vendored
from mien.recognize.align import measure_alignment
from mien.recognize.naming import bundled

RESULTS = Path(__file__).parents[2] / "results"
MOST_BYTES = {"mien-small": 5_000_000, "mien-tiny": 1_000_000}
RECIPES = {"mien-small": "small-v2", "mien-tiny": "tiny-v2"}  # that made them


def test_they_are_all_there_and_small() -> None:
    assert bundled() == sorted(MOST_BYTES)
    for name, most in MOST_BYTES.items():
        assert (vendored.vendored_folder("weights") / f"{name}.onnx").stat().st_size <= most


@pytest.mark.parametrize("name", MOST_BYTES)
def test_their_cards_say_where_they_come_from(name: str) -> None:
    card = Recognizer(name).card
    recipe = Recipe.load(RECIPES[name])
    assert (card.recipe, card.labels, card.mirror) == (recipe.name, FER7.labels, recipe.mirror)
    assert card.people
    assert (card.people.labels, card.truth) == (FER7.labels, "people")
    assert card.preprocess == recipe.preprocess
    assert (card.training.data, card.training.votes) == ("fer2013.zip", "ferplus.csv")
    assert card.training.commit
    assert not card.training.commit.endswith("+"), "trained from sources that no commit holds"


@pytest.mark.parametrize("name", MOST_BYTES)
def test_their_cards_say_how_faces_are_cut_and_when_they_are_unsure(name: str) -> None:
    card = Recognizer(name).card
    assert card.alignment is not None
    assert card.alignment.faces == 512
    assert card.alignment.eye_x == pytest.approx(0.5, abs=0.01)
    kept = Predictions.load(RESULTS / name / "predictions" / "test.npz").tempered(card.temperature)
    given = kept.leak_free & (kept.probabilities.max(axis=1) >= card.threshold)
    wrong = (kept.predicted != kept.labels)[given].mean()
    assert card.risk == 0.2
    assert 0.1 < wrong <= card.risk, f"of {given.sum()} answers on test that are not marked unsure"
    assert card.people
    seen = Predictions.load(RESULTS / name / "predictions" / "test.npz").by_votes().tempered(card.people.temperature)
    given = seen.leak_free & (seen.probabilities.max(axis=1) >= card.people.threshold)
    assert card.people.risk == 0.1
    wrong = (seen.predicted != seen.labels)[given]
    # The promise is of faces like these, not of these: what the interval of this sample lies above would break it.
    interval = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(method="wilson")
    assert 0.05 < interval.low <= card.people.risk, f"{wrong.mean():.4f} of {len(wrong)}"


@pytest.mark.parametrize("name", MOST_BYTES)
def test_their_probabilities_are_calibrated_on_test(name: str) -> None:
    card = Recognizer(name).card
    kept = Predictions.load(RESULTS / name / "predictions" / "test.npz")
    found = calibration(kept.tempered(card.temperature))
    assert found.ece <= 0.03
    assert found.as_good_as_perfect
    assert card.people
    votes = calibration(kept.each_vote().tempered(card.people.temperature))
    assert votes.ece <= 0.02, "of 33,135 single votes, among which chance alone makes .008"


@pytest.mark.slow
@pytest.mark.parametrize("name", MOST_BYTES)
def test_the_alignment_is_what_a_detector_sees_in_the_train_faces(name: str, fer2013: FaceSet) -> None:
    told = Recognizer(name).card.alignment
    train = fer2013.select("train")
    seen = measure_alignment(train.gather(np.arange(0, len(train), 197)))
    assert told
    assert seen
    for key in ("eye_distance", "eye_x", "eye_y", "eyes_to_mouth"):
        assert getattr(told, key) == pytest.approx(getattr(seen, key), abs=0.02), key


def test_the_small_one_is_the_default() -> None:
    assert Recognizer().card == Recognizer("mien-small").card


def test_a_folder_of_that_name_does_not_stand_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mien-small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Recognizer().card == Recognizer("mien-small").card
    with pytest.raises(InputError, match=r"mien-small: is no run folder"):
        Recognizer("./mien-small")


@pytest.mark.parametrize("name", MOST_BYTES)
def test_probabilities_for_any_crop(name: str, drawn_faces: FaceSet) -> None:
    answers = Recognizer(name, threads=1).classify([drawn_faces.images[0], np.zeros((200, 120, 3), dtype=np.uint8)])
    assert answers.shape == (2, 7)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOST_BYTES)
def test_they_answer_what_is_kept_of_their_runs(name: str, fer2013: FaceSet) -> None:
    kept = Predictions.load(RESULTS / name / "predictions" / "test.npz")
    test = fer2013.select("test")
    some = np.arange(0, len(test), 9)
    np.testing.assert_array_equal(kept.hashes[some], test.hashes[some])
    recognizer = Recognizer(name, truth="labels")
    answers = recognizer.classify(list(test.gather(some)))
    expected = kept.probabilities[some] ** (1 / recognizer.card.temperature)
    assert np.abs(answers - expected / expected.sum(axis=1, keepdims=True)).max() < 0.01  # float16 weights
    assert (answers.argmax(axis=1) == kept.predicted[some]).mean() > 0.99


def test_a_file_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(vendored.vendored_folder("weights"), tmp_path / "weights"))
    monkeypatch.setattr(vendored, "vendored_folder", lambda _: folder)
    file = folder / "mien-tiny.onnx"
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sha256(file.read_bytes()).hexdigest() == sums[file.name]
    assert Recognizer("mien-tiny").labels == FER7.labels
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match=r"is not the file that the package came with\. Install mien again"):
        Recognizer("mien-tiny")

"""mien calibrate: on a copy of a kept run of the real data, with the model file that the package holds of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mien import Predictions, Recognizer
from mien.cards import Card
from mien.recognize.vendored import vendored_folder

KEPT = Path(__file__).parents[2] / "results" / "mien-tiny"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(KEPT, tmp_path / "run"))
    shutil.copyfile(vendored_folder("weights") / "mien-tiny.onnx", folder / "model.onnx")
    return folder


def test_a_wanted_risk_goes_into_card_and_model_file(run: Path, mien) -> None:
    before = Recognizer(run).classify([np.full((48, 48), 90, np.uint8)])
    done = mien("calibrate", run, "--risk", "0.1")
    assert done.code == 0, done.err
    card = Card.load(run / "card.json")
    assert (card.risk, card.temperature) == (0.1, Card.load(KEPT / "card.json").temperature)
    val = Predictions.load(run / "predictions" / "val.npz").tempered(card.temperature)
    given = val.leak_free & (val.probabilities.max(axis=1) >= card.threshold)
    assert 0.05 < (val.predicted != val.labels)[given].mean() <= 0.1
    assert "3,309 val images that are not in the training set" in done.out
    opened = Recognizer(run, truth="labels")
    assert (opened.threshold, opened.card.risk) == (card.threshold, 0.1)
    np.testing.assert_array_equal(Recognizer(run).classify([np.full((48, 48), 90, np.uint8)]), before)
    assert mien("calibrate", run).out.count("at most 10 %") == 2  # each head's own risk stays when none is named


def test_an_unreachable_risk_is_told(run: Path, mien) -> None:
    done = mien("calibrate", run, "--risk", "0.0001")
    assert done.code == 0
    assert "no threshold keeps a risk of 0.0001" in done.out
    assert Card.load(run / "card.json").threshold == 1


@pytest.mark.parametrize("risk", ["0", "1", "nan"])
def test_a_risk_that_is_none(run: Path, mien, risk: str) -> None:
    done = mien("calibrate", run, "--risk", risk)
    assert done.code == 2
    assert "above 0 and below 1" in done.err


def test_a_file_of_another_program_is_told(run: Path, mien) -> None:
    import onnx

    model = onnx.load(run / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, run / "model.onnx")
    refused = mien("calibrate", run)
    assert refused.code == 2
    assert "has no card to replace" in refused.err


def test_without_votes_the_people_s_head_stays_as_it_is(mien, drawn_zip: Path, tmp_path: Path) -> None:
    done = mien("calibrate", "mien-tiny", "--data", drawn_zip, "--to", tmp_path / "new.onnx", "--risk", "0.3")
    assert done.code == 0, done.err
    assert "the people's head stays as it is" in done.err
    new, old = Recognizer(tmp_path / "new.onnx").card, Recognizer("mien-tiny").card
    assert new.people == old.people
    assert (new.risk, old.risk) == (0.3, 0.2)
    assert (old.sets is not None, new.sets) == (True, None)
    assert "no prediction sets any more: too few val images" in done.err


@pytest.mark.parametrize("verb", [["calibrate"], ["export", "--int8"]])
def test_a_model_is_never_written_over_another_kind_of_file(
    mien, verb: list[str], drawn_zip: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copy(drawn_zip, tmp_path / "faces.zip"))
    before = data.read_bytes()
    done = mien(verb[0], "mien-tiny", *verb[1:], "--data", data, "--to", data)
    assert done.code == 2
    assert "a model file ends in .onnx" in done.err
    assert data.read_bytes() == before


def test_sets_go_into_card_model_file_and_answers(run: Path, mien) -> None:
    done = mien("calibrate", run, "--sets", "0.9")
    assert done.code == 0, done.err
    assert "sets that hold the label with 90 %, in each class: 2." in done.out
    assert "sets that hold what a tagger drawn at random sees with 90 %" in done.out
    card = Card.load(run / "card.json")
    assert card.sets
    assert card.people
    assert card.people.sets
    assert (card.sets.images[1], sum(card.sets.images)) == (41, 3309)  # of disgust
    assert sum(card.people.sets.images) == pytest.approx(3300, abs=0.5)
    crop = np.random.default_rng(0).integers(0, 255, (48, 48), dtype=np.uint8)
    for truth, sets in (("labels", card.sets), ("people", card.people.sets)):
        (face,) = Recognizer(run, detector="none", truth=truth)(crop)  # type: ignore[arg-type]
        least = dict(zip(card.labels, sets.thresholds, strict=True))
        assert set(face.set or ()) == {k for k, p in face.probabilities.items() if p >= least[k] or k == face.emotion}
        assert (face.set or ("",))[0] == face.emotion
    assert Recognizer(run).sets == Recognizer(run / "model.onnx").sets == 0.9
    mien("calibrate", run, "--risk", "0.15")
    assert Card.load(run / "card.json").sets == card.sets  # their level stays when none is named


def test_sets_without_images_to_fit_on(run: Path, mien) -> None:
    done = mien("calibrate", run, "--sets", "0.99")
    assert done.code == 0, done.err
    assert "too few images can tell when to leave it out: disgust (41 images)" in done.err
    refused = mien("calibrate", run, "--sets", "0.9999")
    assert refused.code == 2
    assert "need 9999 val images of a class" in refused.err
    for level in ("0", "1", "90", "nan"):
        refused = mien("calibrate", run, "--sets", level)
        assert refused.code == 2
        assert "above 0 and below 1" in refused.err


def test_sets_of_other_labels_are_no_card(run: Path) -> None:
    mine = Card.load(run / "card.json")
    from mien import InputError
    from mien.cards import Sets

    wrong = mine.model_copy(update={"sets": Sets(level=0.9, thresholds=(0.1, 0.2), images=(9, 9))})
    wrong.save(run / "card.json")
    with pytest.raises(InputError, match="2 thresholds of sets for 7 labels"):
        Card.load(run / "card.json")


def test_a_reference_is_made_alone(mien, tmp_path: Path) -> None:
    done = mien("calibrate", "mien-tiny", "--reference", "--risk", "0.1", "--sets", "0.9", "--to", tmp_path / "x.onnx")
    assert (done.code, done.err) == (
        2,
        "error: --reference fits nothing else: leave out --risk, --sets, or run the command once for each\n",
    )

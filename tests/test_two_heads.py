"""Two truths, one network: labels and votes learned side by side, kept, exported, asked for and held apart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mien import (
    FaceSet,
    InputError,
    Predictions,
    Recipe,
    Recognizer,
    Run,
    Votes,
    calibrate,
    compare,
    evaluate,
    export,
    train,
)
from mien.cli import main
from mien.data.votes import beside
from mien.evaluation.evaluate import score
from mien.evaluation.evidence import Asked, Evidence, evidence
from mien.evaluation.robustness import Draw, robustness_of_heads
from mien.explanation.explain import Explainer
from mien.model import Model
from mien.predictions import People, pool
from mien.training.hardware import detect
from mien.training.targets import Sources

MODEL = "model={kind: residual, widths: [8, 16], depths: [1, 1], stem: 4}"
COLUMNS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt", "unknown")


@pytest.fixture(scope="module")
def votes(drawn_faces: FaceSet) -> Votes:
    """Taggers who call most angry faces sad, and now and then see contempt."""
    rng = np.random.default_rng(0)
    counts = {}
    for name, label in zip(drawn_faces.names, drawn_faces.labels, strict=True):
        shares = np.full(9, 0.02)
        shares[5 if label == 0 else label] += 0.7
        shares[7] += 0.08
        counts[str(name)] = rng.multinomial(10, shares / shares.sum())
    return Votes("votes.csv", COLUMNS, counts)


@pytest.fixture(scope="module")
def votes_file(votes: Votes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("votes") / "votes.csv"
    lines = [",".join(["path", *COLUMNS]), *(",".join([name, *map(str, row)]) for name, row in votes.counts.items())]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="module")
def kept(drawn_faces: FaceSet, votes: Votes, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = [MODEL, "epochs=3", "early_stopping=null", "mirror=true", "targets={votes_head: 1.0, contempt: true}"]
    out = tmp_path_factory.mktemp("runs") / "both"
    run = train(
        Recipe.load("cnn-v2", settings), drawn_faces, out, Sources(votes=votes), hardware=detect(precision="float32")
    )
    export(run, drawn_faces)
    return run


@pytest.fixture
def run(kept: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(kept.folder, tmp_path / "both")))


def test_the_card_tells_both_heads(kept: Run, drawn_faces: FaceSet) -> None:
    card, labels = kept.card, drawn_faces.label_set.labels
    assert card.people is not None
    assert (card.truth, card.truths, card.widths) == ("people", ("labels", "people"), (7, 8))
    assert (card.labels, card.people.labels) == (labels, (*labels, "contempt"))
    assert card.head().labels == card.people.labels
    assert (card.columns("labels"), card.columns("people")) == (slice(0, 7), slice(7, 15))
    with pytest.raises(InputError, match=r"unknown truth 'person'\. Known: labels, people"):
        card.head("person")  # type: ignore[arg-type]


def test_the_file_answers_with_either_head_as_its_logits_say(kept: Run, drawn_faces: FaceSet) -> None:
    crops = list(drawn_faces.images[:5])
    session = onnxruntime.InferenceSession(kept.folder / "model.onnx", providers=["CPUExecutionProvider"])
    shown = kept.card.preprocess(crops)
    logits, mirrored = (session.run(None, {"images": one})[0] for one in (shown, shown[..., ::-1].copy()))
    for truth, columns in (("labels", slice(0, 7)), ("people", slice(7, 15))):
        recognizer = Recognizer(kept.folder, detector="none", truth=truth)  # type: ignore[arg-type]
        head = kept.card.head(truth)  # type: ignore[arg-type]
        mean = (torch.tensor(logits[:, columns]).softmax(1) + torch.tensor(mirrored[:, columns]).softmax(1)) / 2
        by_hand = (mean.log() / head.temperature).softmax(1)
        np.testing.assert_allclose(recognizer.classify(crops), by_hand, atol=1e-5)
        assert recognizer.labels == head.labels
        assert recognizer.threshold == head.threshold
        (face,) = recognizer(crops[0])
        assert face.emotion == head.labels[int(by_hand[0].argmax())]
        assert recognizer.settings["truth"] == truth
    assert Recognizer(kept.folder).truth == "people"  # where nobody asks


def test_torch_and_file_say_the_same_of_all_heads(kept: Run, drawn_faces: FaceSet, tmp_path: Path) -> None:
    crops = list(drawn_faces.images[:7])
    with_file = Model.open(kept).outputs(crops)
    bare = Run(Path(shutil.copytree(kept.folder, tmp_path / "bare")))
    (bare.folder / "model.onnx").unlink()
    np.testing.assert_allclose(Model.open(bare).outputs(crops), with_file, atol=1e-5)
    alone = bare.load_model("people")(torch.from_numpy(bare.card.preprocess(crops)))
    both = bare.load_model()(torch.from_numpy(bare.card.preprocess(crops)))
    torch.testing.assert_close(alone, both[:, 7:])


def test_a_model_of_one_head_has_no_people(trained_run: Run, drawn_faces: FaceSet) -> None:
    export(trained_run, drawn_faces)
    assert Recognizer(trained_run.folder).truth == "labels"
    assert "truth" not in Recognizer(trained_run.folder).settings
    with pytest.raises(InputError, match=r"has one head, of labels\. Leave out the truth"):
        Recognizer(trained_run.folder, truth="people")


def test_val_predictions_keep_both_and_come_back(kept: Run, votes: Votes, tmp_path: Path) -> None:
    val = kept.predictions("val")
    assert val.people is not None
    np.testing.assert_array_equal(val.people.votes, votes.table(val.names)[:, :8])
    val.save(tmp_path / "again.npz")
    again = Predictions.load(tmp_path / "again.npz")
    assert again.people is not None
    assert again.people.label_names == val.people.label_names
    np.testing.assert_array_equal(again.people.probabilities, val.people.probabilities)
    np.testing.assert_array_equal(again.people.votes, val.people.votes)


def test_the_best_epoch_is_that_of_both_heads(kept: Run, drawn_faces: FaceSet) -> None:
    row, val = kept.history[kept.card.training.best_epoch - 1], kept.predictions("val")
    with torch.inference_mode():  # without mirror images, as the training follows it
        said = kept.load_model()(torch.from_numpy(kept.card.preprocess(drawn_faces.select("val").images))).numpy()
    assert row.val_accuracy == pytest.approx(np.mean(said[:, :7].argmax(axis=1) == val.labels), abs=1e-6)
    shares = val.people.votes / val.people.votes.sum(axis=1, keepdims=True)
    assert row.val_people == pytest.approx(shares[np.arange(len(val)), said[:, 7:].argmax(axis=1)].mean(), abs=1e-5)
    assert kept.card.training.best_value == pytest.approx((row.val_accuracy + row.val_people) / 2)
    assert kept.card.training.best_value == max((one.val_accuracy + one.val_people) / 2 for one in kept.history)


def small() -> Predictions:
    """Three images: two votes to one, no vote, one vote."""
    people = People(
        ("a", "b"), np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]], np.float32), np.array([[2, 1], [0, 0], [0, 1]])
    )
    no = np.zeros(3, dtype=bool)
    probabilities = np.array([[0.3, 0.7], [0.4, 0.6], [0.6, 0.4]], np.float32)
    names = np.array(["x", "y", "z"])
    return Predictions("val", ("a", "b"), names, names, np.array([1, 0, 1]), probabilities, no, no, people)


def test_beside_votes_the_truth_is_what_people_say() -> None:
    most, each = small().by_votes(), small().each_vote()
    assert most.names.tolist() == ["x", "z"]
    assert most.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(most.probabilities, np.array([[0.8, 0.2], [0.1, 0.9]], np.float32))
    assert each.names.tolist() == ["x", "x", "x", "z"]
    assert each.labels.tolist() == [0, 0, 1, 1]
    together = pool(small(), small())
    assert together.people is not None
    assert together.people.votes.shape == (6, 2)
    assert len(small().keep(np.array([True, False, True])).people.votes) == 2  # type: ignore[union-attr]
    with pytest.raises(InputError, match="one head, of labels"):
        small().answers("labels").by_votes()


def test_each_head_is_calibrated_on_its_own_truth(run: Run) -> None:
    val = run.predictions("val")
    card = calibrate(run, 0.4)
    assert card.people is not None
    clean = val.keep(val.leak_free)
    if len(clean.each_vote()) >= 100:
        nll = {
            t: -np.log(
                clean.each_vote().tempered(t).probabilities[np.arange(len(clean.each_vote())), clean.each_vote().labels]
            ).mean()
            for t in (card.people.temperature * 0.9, card.people.temperature, card.people.temperature * 1.1)
        }
        assert min(nll, key=nll.__getitem__) == card.people.temperature
    assert card.risk == card.people.risk == 0.4
    assert card.threshold == card.model_copy(update={"people": None}).calibrated(val, 0.4).threshold
    assert Recognizer(run.folder).threshold == card.people.threshold
    assert Recognizer(run.folder, truth="labels").threshold == card.threshold


def test_evidence_holds_each_head_against_its_own_truth(kept: Run, drawn_faces: FaceSet, votes: Votes) -> None:
    val = drawn_faces.select("val")
    predictions = kept.predictions("val")
    found = evidence(predictions, "both", kept.card, Asked(val, Model.open(kept).outputs, most=6, votes=votes))
    assert found.evaluation == score(predictions, "both", temperature=kept.card.temperature)
    assert found.people is not None
    assert found.humans is not None
    assert found.robustness is not None
    assert found.people.robustness is not None
    assert found.people.n == len(val)
    assert found.people.calibration.n == predictions.people.votes.sum()
    assert found.humans.labels == found.people.labels == kept.card.people.labels
    shares = predictions.people.votes / predictions.people.votes.sum(axis=1, keepdims=True)
    answered = predictions.people.probabilities.argmax(axis=1)
    assert found.humans.one.model.value == pytest.approx(shares[np.arange(len(val)), answered].mean())
    chosen = np.sort(np.random.default_rng(0).permutation(len(val))[:6])
    top = predictions.people.votes.argmax(axis=1)
    assert found.people.robustness.clean.value == pytest.approx(np.mean((answered == top)[chosen]))
    assert found.robustness.clean.value == pytest.approx(np.mean((predictions.predicted == val.labels)[chosen]))
    nobody = predictions.people.votes.copy()
    nobody[chosen[0]] = 0  # a face without votes is left out there
    left = replace(predictions, people=replace(predictions.people, votes=nobody)).answers("people")
    _, second = robustness_of_heads(Model.open(kept).outputs, val, predictions, left, draw=Draw(most=6))
    assert second.clean.value == pytest.approx(np.mean((answered == top)[chosen[1:]]))
    without = evidence(predictions, "both", kept.card)
    assert (without.people, without.humans) == (None, None)


def test_kept_predictions_take_votes_when_they_come(run: Run, drawn_faces: FaceSet, votes: Votes) -> None:
    first = evaluate(run, drawn_faces, "test")
    assert not run.predictions("test").people.votes.any()
    with pytest.raises(InputError, match=r"keeps no votes beside its predictions for 'test'.*--votes FILE"):
        compare(run, run, truth="people")
    assert evaluate(run, drawn_faces, "test", votes=votes) == first
    assert run.predictions("test").people.votes.any()
    by_file = Model.open(run.folder / "model.onnx").predictions(drawn_faces, "test")
    np.testing.assert_allclose(by_file.people.probabilities, run.predictions("test").people.probabilities, atol=1e-5)
    other = Run(Path(shutil.copytree(run.folder, run.folder.parent / "other")))
    found = compare(run, other, truth="people")
    assert found.n == len(beside(by_file, votes).by_votes())
    assert found.pairs[0].accuracy_difference.value == 0


def test_either_head_is_explained(kept: Run, drawn_faces: FaceSet) -> None:
    face = drawn_faces.images[0]
    for truth in ("labels", "people"):
        (found,) = Explainer(kept.folder, truth=truth)([face])  # type: ignore[arg-type]
        assert found.method == "grad-cam"
        expected = Recognizer(kept.folder, detector="none", truth=truth).classify([face])[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=1e-4)
    assert Explainer(kept.folder, label="contempt").method == "grad-cam"
    with pytest.raises(InputError, match=r"unknown label 'contempt'"):
        Explainer(kept.folder, label="contempt", truth="labels")


@pytest.mark.slow
def test_on_the_command_line(
    run: Run, drawn_zip: Path, votes_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def mien(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mien", *map(str, arguments)])
        capsys.readouterr()
        try:
            main.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    import cv2

    face = tmp_path / "face.png"
    cv2.imwrite(str(face), FaceSet.open(drawn_zip, size=48).images[3])
    asked = ["recognize", face, "--model", run.folder, "--detector", "none", "--json"]
    assert '"contempt"' in mien(*asked)[1]
    assert '"contempt"' not in mien(*asked, "--truth", "labels")[1]
    code, _, err = mien(*asked, "--truth", "tagers")
    assert (code, "unknown truth 'tagers'" in err) == (2, True)
    code, out, err = mien(
        "evaluate", run.folder, "--data", drawn_zip, "--votes", votes_file, "--report", "--robust-faces", 4
    )
    assert code == 0, err
    assert "people's head: Confidence against the chance that one person agrees: ECE" in out
    page = (run.folder / "report" / "report-test.html").read_text()
    assert "What people see" in page
    other = shutil.copytree(run.folder, run.folder.parent / "other")
    code, out, err = mien("compare", run.folder, other, "--truth", "people")
    assert code == 0, err
    assert "contempt" in out
    code, out, err = mien("card", run.folder)
    assert code == 0, err
    assert "It has two heads" in (run.folder / "report" / "model-card.md").read_text()
    code, out, err = mien("calibrate", run.folder, "--risk", "0.5")
    assert code == 0, err
    assert "what people see: temperature" in out
    card = run.card  # as if the people's head alone had been calibrated again
    evidence_file = run.folder / "report" / "evidence-test.json"
    told = json.loads(evidence_file.read_text())
    told["abstention"]["at_threshold"]["threshold"], told["abstention"]["wanted"] = card.threshold, card.risk
    told["evaluation"]["temperature"] = card.temperature
    told["people"]["temperature"] = 3.0
    evidence_file.write_text(json.dumps(told))
    code, _, err = mien("card", run.folder)
    assert (code, "measured with people's temperature 3.0" in err) == (2, True), err


def test_what_took_long_stays_when_the_rest_is_measured_again() -> None:
    file = Path(__file__).parents[1] / "docs" / "evidence" / "mien-tiny.json"
    before = Evidence.model_validate_json(file.read_bytes())
    assert before.people
    assert before.people.robustness
    again = before.people.model_copy(update={"robustness": None, "n": 7})
    found = before.model_copy(update={"robustness": None, "humans": None, "people": again}).with_measured(before)
    assert (found.robustness, found.humans) == (before.robustness, before.humans)
    assert found.people == before.people.model_copy(update={"n": 7})
    assert before.model_copy(update={"people": None}).with_measured(before) == before

"""Runs scored on splits, against scikit-learn on the kept predictions."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from mien import FaceSet, InputError, Run, compare, evaluate
from mien.exports import export
from mien.labels import LabelSet
from mien.model import Model
from mien.training import predict as prediction


def test_scores_equal_scikit_learn_on_the_kept_predictions(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluation = evaluate(trained_run, drawn_faces, "test")
    kept = trained_run.predictions("test")
    assert list(kept.names) == list(drawn_faces.names[drawn_faces.splits == "test"])
    assert evaluation.scores.accuracy.value == pytest.approx(accuracy_score(kept.labels, kept.predicted))
    assert evaluation.scores.macro_f1.value == pytest.approx(f1_score(kept.labels, kept.predicted, average="macro"))
    written = json.loads((trained_run.folder / "report" / "evaluation-test.json").read_text())
    assert written["scores"]["accuracy"]["value"] == pytest.approx(evaluation.scores.accuracy.value)


def test_probabilities_are_those_of_the_model_image_by_image(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces, "val")
    one_by_one = prediction.classify(trained_run.load_model(), trained_run.card, list(drawn_faces.select("val").images))
    assert np.allclose(trained_run.predictions("val").probabilities, one_by_one, atol=1e-5)


def test_pooled_is_val_and_test(trained_run: Run, drawn_faces: FaceSet) -> None:
    pooled = evaluate(trained_run, drawn_faces, "pooled")
    parts = [evaluate(trained_run, drawn_faces, split) for split in ("val", "test")]
    right = sum(part.scores.accuracy.value * part.scores.n for part in parts)
    assert pooled.scores.n == sum(part.scores.n for part in parts)
    assert pooled.scores.accuracy.value == pytest.approx(right / pooled.scores.n)


def test_leaks_are_counted_by_pixels(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluation = evaluate(trained_run, drawn_faces, "test")
    in_split = {s: set(drawn_faces.hashes[drawn_faces.splits == s]) for s in ("train", "val", "test")}
    test_hashes = drawn_faces.hashes[drawn_faces.splits == "test"]
    clean = sum(h not in in_split["train"] and h not in in_split["val"] for h in test_hashes)
    assert evaluation.leak_free is not None
    assert evaluation.leak_free.n == clean < evaluation.scores.n


def test_leaks_of_a_run_are_found_on_other_data_too(trained_run: Run, drawn_faces: FaceSet) -> None:
    """Training faces handed over as somebody's test set are all leaks, whatever that set calls its train."""
    other = replace(
        drawn_faces.select("train", "val"),
        source="other.zip",
        splits=np.full_like(drawn_faces.select("train", "val").splits, "test"),
    )
    evaluation = evaluate(trained_run, other, "test")
    assert evaluation.leak_free is None
    assert not (trained_run.folder / "predictions" / "test.npz").is_file() or len(
        trained_run.predictions("test")
    ) != len(other), "predictions on other data must not replace the run's own"
    assert list((trained_run.folder / "predictions").glob("other.zip-*/test.npz"))


def test_all_is_every_face_and_what_training_saw_is_found(trained_run: Run, drawn_faces: FaceSet) -> None:
    everything = evaluate(trained_run, drawn_faces, "all")
    assert everything.scores.n == len(drawn_faces)
    seen = {h for part in trained_run.seen() for h in part.tolist()}
    assert everything.leak_free is not None
    assert everything.leak_free.n == sum(h not in seen for h in drawn_faces.hashes.tolist())
    assert trained_run.predictions("all").names.tolist() == drawn_faces.names.tolist()


def test_a_file_that_cannot_know_leaves_out_none_of_all_faces_of_other_data(
    trained_run: Run, drawn_faces: FaceSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export(trained_run, drawn_faces)
    file = shutil.copyfile(trained_run.folder / "model.onnx", tmp_path / "mine.onnx")
    unsplit = replace(
        drawn_faces.select("test"), splits=np.where(np.arange(14) < 2, "val", "train").astype("<U5")
    )  # as a folder without splits is opened
    found = Model.open(file).predictions(unsplit, "all")
    assert not (found.in_train | found.in_val).any()
    assert Model.open(file).unsure_what_it_saw(unsplit)
    own = Model.open(file).predictions(drawn_faces, "all")  # those that it was trained on
    assert (own.in_train.sum(), own.in_val.sum()) == tuple(
        np.isin(drawn_faces.hashes, drawn_faces.select(part).hashes).sum() for part in ("train", "val")
    )


def test_kept_predictions_are_used_again(trained_run: Run, drawn_faces: FaceSet, monkeypatch) -> None:
    first = evaluate(trained_run, drawn_faces, "test")
    monkeypatch.setattr(Run, "load_model", lambda self: pytest.fail("predicted twice"))
    assert evaluate(trained_run, drawn_faces, "test") == first


def test_other_labels_are_refused(trained_run: Run, drawn_faces: FaceSet) -> None:
    renamed = replace(drawn_faces, label_set=LabelSet("custom", ("a", "b", "c", "d", "e", "f", "g")))
    with pytest.raises(InputError, match=r"was trained on angry, .*drawn\.zip has a, b"):
        evaluate(trained_run, renamed, "test")


def test_unknown_and_empty_splits(trained_run: Run, drawn_faces: FaceSet) -> None:
    with pytest.raises(InputError, match=r"unknown split 'tset'\. Did you mean 'test'"):
        evaluate(trained_run, drawn_faces, "tset")
    with pytest.raises(InputError, match="has no test split"):
        evaluate(trained_run, drawn_faces.select("train", "val"), "test")


def test_compare_reads_what_was_kept(trained_run: Run, drawn_faces: FaceSet) -> None:
    evaluate(trained_run, drawn_faces, "test")
    comparison = compare(trained_run, Run(trained_run.folder), split="test", names=("a", "b"))
    assert comparison.pairs[0].accuracy_difference.value == 0
    assert comparison.pairs[0].p_value == 1


def test_a_damaged_or_missing_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        Run.open(tmp_path / "none")
    with pytest.raises(InputError, match="no finished run"):
        Run.open(tmp_path)

"""A model file scored on splits, against the run that it was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Recognizer, Run, evaluate, to_onnx
from mien.evaluation import model_files
from mien.evaluation.model_files import predictions_of_model
from mien.evaluation.runs import load_predictions
from mien.labels import LabelSet


@pytest.fixture(scope="module")
def model(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    to_onnx(Run(trained_folder), drawn_faces, file)
    return Recognizer(file)


@pytest.mark.parametrize("split", ["val", "test", "pooled", "train"])
def test_a_file_says_what_its_run_says(model: Recognizer, trained_run: Run, drawn_faces: FaceSet, split: str) -> None:
    evaluate(trained_run, drawn_faces, split)
    kept, seen = load_predictions(trained_run, split), []
    ours = predictions_of_model(model, "file", drawn_faces, split, lambda *step: seen.append(step))
    np.testing.assert_allclose(ours.probabilities, kept.probabilities, atol=1e-4)
    for key in ("names", "hashes", "labels", "in_train", "in_val"):
        np.testing.assert_array_equal(getattr(ours, key), getattr(kept, key))
    assert ours.split == kept.split
    assert seen[-1] == ("predicting", 1, 1)


def test_more_faces_than_one_block(model: Recognizer, drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = predictions_of_model(model, "file", drawn_faces, "test")
    monkeypatch.setattr(model_files, "_BATCH", 5)  # 14 faces: blocks of 5, 5 and 4
    np.testing.assert_allclose(
        predictions_of_model(model, "file", drawn_faces, "test").probabilities, whole.probabilities, atol=1e-5
    )


def test_what_cannot_be_scored_says_why(model: Recognizer, drawn_faces: FaceSet) -> None:
    renamed = replace(drawn_faces, label_set=LabelSet("custom", ("a", "b", "c", "d", "e", "f", "g")))
    with pytest.raises(InputError, match=r"file was trained on angry, .*drawn\.zip has a, b"):
        predictions_of_model(model, "file", renamed, "test")
    with pytest.raises(InputError, match=r"unknown split 'tset'\. Did you mean 'test'"):
        predictions_of_model(model, "file", drawn_faces, "tset")
    with pytest.raises(InputError, match="has no test split"):
        predictions_of_model(model, "file", drawn_faces.select("train", "val"), "test")

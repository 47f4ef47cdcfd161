"""Recognizer: files and folders that hold a model, and those that do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from mien import FaceSet, InputError, Recognizer, Run, to_onnx
from mien.recognize.classifier import CARD_KEY


@pytest.fixture(scope="module")
def model(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    to_onnx(Run(trained_folder), drawn_faces, file)
    return file


def test_crops_of_any_size_gray_or_color(model: Path, drawn_faces: FaceSet) -> None:
    recognizer = Recognizer(model, threads=1)
    face = drawn_faces.images[0]
    large = np.repeat(np.repeat(face, 2, axis=0), 2, axis=1)  # shrinks back to the same pixels
    answers = recognizer.classify([face, large, np.stack([face] * 3, axis=2)])
    assert answers.shape == (3, 7)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, answers[[0, 0, 0]], atol=1e-6)
    assert recognizer.labels == drawn_faces.label_set.labels


def test_no_crops_give_no_rows(model: Path) -> None:
    assert Recognizer(model).classify([]).shape == (0, 7)


def test_many_crops_are_answered_one_by_one_the_same(model: Path, drawn_faces: FaceSet) -> None:
    crops = list(drawn_faces.images[:70])  # more than two batches
    recognizer = Recognizer(model)
    np.testing.assert_allclose(recognizer.classify(crops)[66], recognizer.classify([crops[66]])[0], atol=1e-6)


def changed(model: Path, to: Path, change: str) -> Path:
    found = onnx.load(model)
    if change == "no card":
        del found.metadata_props[:]
    else:
        card = next(entry for entry in found.metadata_props if entry.key == CARD_KEY)
        card.value = card.value.replace('"surprise"', '"surprise","bored"') if change == "labels" else "{}"
    onnx.save(found, to)
    return to


def test_what_is_no_model_of_ours_says_so(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such model file\. Make one of a run: mien export"):
        Recognizer(tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot be opened as an ONNX model"):
        Recognizer(tmp_path / "noise.onnx")
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be opened as an ONNX model"):
        Recognizer(tmp_path / "cut.onnx")
    with pytest.raises(InputError, match="holds no card"):
        Recognizer(changed(model, tmp_path / "bare.onnx", "no card"))
    with pytest.raises(InputError, match="its card is not one that this version reads"):
        Recognizer(changed(model, tmp_path / "odd.onnx", "card"))
    with pytest.raises(InputError, match="answers with 7 numbers, its card has 8 labels"):
        Recognizer(changed(model, tmp_path / "eight.onnx", "labels"))
    with pytest.raises(InputError, match=r"holds no model\.onnx\. Write it: mien export"):
        Recognizer(tmp_path)
    with pytest.raises(InputError, match=r"unknown model 'mien-smal'.*Expected a run folder, a \.onnx file"):
        Recognizer("mien-smal")


def test_recognizing_loads_no_torch(model: Path) -> None:
    code = (
        "import sys, numpy; from mien import Recognizer; "
        f"Recognizer({str(model)!r}).classify([numpy.zeros((48, 48), numpy.uint8)]); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

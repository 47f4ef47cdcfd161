"""Export: one file that answers as torch does, holds its card, and is not written when it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import nn

from mien import FaceSet, InputError, Recipe, Recognizer, Run, export
from mien.model_files import with_features
from mien.recognize.classifier import Classifier
from mien.training.predict import classify
from mien.training.train import train

TRANSFORMERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("vit-scratch", "vit", "convnext")]
SHORT = ["epochs=1", "early_stopping=null"]


@pytest.fixture(scope="module")
def networks(
    drawn_faces: FaceSet, tiny_vit: Path, save_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """One short run of each kind of network, trained when it is asked for."""
    folder = tmp_path_factory.mktemp("networks")
    convnext = save_checkpoint(folder / "checkpoint", "convnextv2")
    residual = "model={kind: residual, squeeze: true, stem: 8, widths: [8, 16], depths: [1, 1]}"
    tiny = ["data.preprocess.size=32", "unfreeze=none", *SHORT]
    recipes = {
        "cnn-v2": Recipe.load("cnn-v2", [*SHORT, "mirror=true"]),
        "residual": Recipe.load("cnn-v2", [*SHORT, residual]),
        "vit-scratch": Recipe.load("vit-scratch", [*SHORT, "model.depth=2"]),
        "vit": Recipe.load("vit-v1.3", [*tiny, f"model.backbone={tiny_vit}"]),
        "convnext": Recipe.load("vit-v1.3", [*tiny, f"model.backbone={convnext}", "model.features=mean"]),
    }
    return cache(lambda name: train(recipes[name], drawn_faces, folder / name))


def linear_layer(run: Run) -> nn.Linear:
    """The last one of the network."""
    return [module for module in run.load_model().modules() if isinstance(module, nn.Linear)][-1]


@pytest.mark.parametrize(
    "name",
    [
        "cnn-v2",
        "residual",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("vit-scratch", "vit", "convnext")),
    ],
)
def test_every_kind_of_network_answers_as_in_torch(
    networks: Callable[[str], Run], drawn_faces: FaceSet, name: str
) -> None:
    run = networks(name)
    parity = export(run, drawn_faces)
    assert parity.n == 14
    assert parity.same_emotion == 14
    assert parity.largest < 1e-4
    crops = list(drawn_faces.images[:5])
    recognizer = Recognizer(run.folder)
    assert recognizer.card == run.card
    answers = recognizer.classify(crops)
    np.testing.assert_allclose(answers, classify(run.load_model(), run.card, crops), atol=1e-4)
    with_its_features = Classifier.read(with_features((run.folder / "model.onnx").read_bytes(), name), name)
    said, seen = with_its_features.with_features(crops)
    assert seen.shape == (5, linear_layer(run).in_features)
    np.testing.assert_allclose(said, recognizer.of_all_heads(crops), atol=1e-6)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(recognizer.classify(crops[:1]), answers[:1], atol=1e-5)  # any number at a time


def test_half_the_room_and_nearly_the_same_answers(
    networks: Callable[[str], Run], drawn_faces: FaceSet, tmp_path: Path
) -> None:
    run = networks("cnn-v2")
    whole = export(run, drawn_faces, tmp_path / "whole.onnx")
    half = export(run, drawn_faces, tmp_path / "half.onnx", "float16")
    assert (tmp_path / "half.onnx").stat().st_size == half.bytes < 0.55 * whole.bytes
    assert whole.largest < half.largest < 1e-2  # rounded, and yet


def test_a_mirrored_card_averages_with_the_mirror_image(networks: Callable[[str], Run], drawn_faces: FaceSet) -> None:
    run = networks("cnn-v2")
    export(run, drawn_faces)
    face = drawn_faces.images[0]
    both = Recognizer(run.folder).classify([face, np.ascontiguousarray(face[:, ::-1])])
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)


def test_a_file_that_answers_otherwise_is_not_written(
    networks: Callable[[str], Run], drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        weight = max(model.graph.initializer, key=lambda weight: int(np.prod(weight.dims)))
        values = onnx.numpy_helper.to_array(weight)
        weight.CopyFrom(onnx.numpy_helper.from_array(values * 1.5, weight.name))

    monkeypatch.setattr("mien.exports._halve", spoil)
    with pytest.raises(InputError, match=r"differs from torch by .* over 14 faces; .* Nothing was written"):
        export(networks("cnn-v2"), drawn_faces, tmp_path / "bad.onnx", "float16")
    assert not (tmp_path / "bad.onnx").exists()


def test_unknown_precision_and_no_faces_are_errors(networks: Callable[[str], Run], drawn_faces: FaceSet) -> None:
    with pytest.raises(InputError, match=r"unknown precision 'int4'"):
        export(networks("cnn-v2"), drawn_faces, precision="int4")
    with pytest.raises(InputError, match="no face to check the export on"):
        export(networks("cnn-v2"), drawn_faces.keep(np.zeros(len(drawn_faces), dtype=bool)))

"""Quantize: an 8-bit file that is smaller, answers alike, needs train faces, and leaves nothing behind."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from mien import FaceSet, InputError, Recipe, Recognizer, Run, export
from mien.cli.main import app
from mien.quantize import to_int8
from mien.recognize.classifier import Classifier
from mien.training.train import train

pytestmark = pytest.mark.slow

SHORT = ["epochs=1", "early_stopping=null"]
RESIDUAL = "model={kind: residual, block: basic, squeeze: true, stem: 8, widths: [8, 16], depths: [1, 1]}"


@pytest.fixture(scope="module")
def run(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = Recipe.load("cnn-v2", [*SHORT, RESIDUAL, "mirror=true"])
    return train(recipe, drawn_faces, tmp_path_factory.mktemp("quantize") / "run")


@pytest.fixture(scope="module")
def whole(run: Run, drawn_faces: FaceSet) -> bytes:
    path = run.folder / "whole.onnx"
    export(run, drawn_faces, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def small(run: Run, drawn_faces: FaceSet) -> Path:
    path = run.folder / "small.onnx"
    parity = export(run, drawn_faces, path, "int8")
    assert parity.bytes == path.stat().st_size
    assert parity.n == 14
    return path


def test_it_answers_nearly_alike_and_holds_the_same_card(
    run: Run, whole: bytes, small: Path, drawn_faces: FaceSet
) -> None:
    crops = list(drawn_faces.images[:40])
    float32, int8 = Classifier.read(whole, "whole"), Recognizer(small)
    assert int8.card == run.card
    differences = np.abs(float32.classify(crops) - int8.classify(crops))
    assert 0 < differences.max() < 0.15
    np.testing.assert_allclose(int8.classify(crops[:1]), int8.classify(crops)[:1], atol=1e-5)  # any number at a time


def test_weights_are_seven_bits_by_channel_and_activations_unsigned(small: Path) -> None:
    model = onnx.load(small)
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    kernels = {name: values for name, values in weights.items() if values.dtype == np.int8 and values.ndim == 4}
    assert kernels
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in kernels:
            assert np.abs(kernels[node.input[0]]).max() <= 64
            assert weights[node.input[1]].shape == (len(kernels[node.input[0]]),)
        if node.op_type == "QuantizeLinear":
            assert weights[node.input[2]].dtype == np.uint8


def test_the_same_seed_gives_the_same_file(run: Run, whole: bytes, drawn_faces: FaceSet) -> None:
    def quantized(seed: int) -> bytes:
        return to_int8(whole, run.card.preprocess, drawn_faces, "run", seed=seed)

    assert quantized(0) == quantized(0)


def test_only_train_faces_are_shown(
    run: Run, whole: bytes, drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    gather = FaceSet.gather

    def noting(faces: FaceSet, indices: np.ndarray) -> np.ndarray:
        seen.extend(faces.splits[indices])
        return gather(faces, indices)

    monkeypatch.setattr(FaceSet, "gather", noting)
    to_int8(whole, run.card.preprocess, drawn_faces, "run")
    assert seen == ["train"] * 112


def test_it_is_quiet_and_leaves_no_files(
    run: Run,
    whole: bytes,
    drawn_faces: FaceSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    to_int8(whole, run.card.preprocess, drawn_faces, "run")
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)


def test_without_train_faces_it_says_so(run: Run, drawn_faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"drawn\.zip: has no train split, and int8 takes .* from the training set"):
        export(run, drawn_faces.select("val", "test"), tmp_path / "no.onnx", "int8")
    assert not (tmp_path / "no.onnx").exists()


def test_what_cannot_be_quantized_is_an_error(run: Run, drawn_faces: FaceSet) -> None:
    with pytest.raises(InputError, match="runs/x: onnxruntime cannot quantize this network"):
        to_int8(b"no model", run.card.preprocess, drawn_faces, "runs/x")


def test_a_transformer_in_eight_bits(drawn_faces: FaceSet, tmp_path: Path, tiny_vit: Path) -> None:
    how = ["data.preprocess.size=32", "unfreeze=none", f"model.backbone={tiny_vit}", "epochs=1", "early_stopping=null"]
    vit = train(Recipe.load("vit-v1.3", how), drawn_faces, tmp_path / "vit")
    export(vit, drawn_faces, tmp_path / "vit8.onnx", "int8")
    answers = Recognizer(tmp_path / "vit8.onnx").classify(list(drawn_faces.images[:5]))
    assert answers.shape == (5, 7)


def test_the_verb_says_what_it_costs(run: Run, drawn_zip: Path, tmp_path: Path, invoke: Callable[..., str]) -> None:
    out = invoke("export", str(run.folder), "--data", str(drawn_zip), "--int8", "--to", str(tmp_path / "m.onnx"))
    number = r"[01]?\.\d{3} \[[01]?\.\d{3}, [01]?\.\d{3}\]"
    assert_lines(
        out,
        r".*/m\.onnx: 0\.\d\d MB",
        r"against torch on 14 faces: largest difference .*",
        rf"accuracy on 14 val faces: float32 {number}, int8 {number}",
        r"change: [+-]\d+\.\d points \[[+-]\d+\.\d, [+-]\d+\.\d\] \(95 % interval, paired bootstrap\)",
        r"size: 0\.\d\d MB in float32, 0\.\d\d MB in int8",
        r"one face a call, one core: .* ms a face in float32, .* in int8: .*",
        r"32 faces a call, one core: .*",
    )


def test_the_verb_takes_one_precision(run: Run, drawn_zip: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(run.folder), "--data", str(drawn_zip), "--int8", "--float16"])
    assert isinstance(result.exception, InputError)
    assert "export twice" in str(result.exception)


def assert_lines(text: str, *patterns: str) -> None:
    import re

    lines = text.strip().splitlines()
    assert len(lines) == len(patterns), text
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is not like {pattern!r}"


@pytest.fixture
def invoke() -> Callable[..., str]:
    def run_verb(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exception is None, result.exception
        return result.stdout

    return run_verb

"""A model is asked in one way, whatever it is: a file against the run that it was made of."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet, InputError, Recognizer, Run, adapt, calibrate, compare, ensemble, evaluate, export
from mien import model as module
from mien.explanation.explain import Explainer
from mien.labels import LabelSet
from mien.model import Model
from mien.recognize.classifier import with_card


@pytest.fixture(scope="module")
def model(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Model:
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    export(Run(trained_folder), drawn_faces, file)
    return Model.open(file)


@pytest.mark.parametrize("split", ["val", "test", "pooled", "train"])
def test_a_file_says_what_its_run_says(model: Model, trained_run: Run, drawn_faces: FaceSet, split: str) -> None:
    evaluate(trained_run, drawn_faces, split)
    kept, seen = Model.open(trained_run).kept(split), []
    ours = model.predictions(drawn_faces, split, progress=lambda *step: seen.append(step))
    np.testing.assert_allclose(ours.probabilities, kept.probabilities, atol=1e-4)
    for key in ("names", "hashes", "labels", "in_train", "in_val"):
        np.testing.assert_array_equal(getattr(ours, key), getattr(kept, key))
    assert ours.split == kept.split
    assert seen[-1] == ("predicting", 1, 1)


def test_more_faces_than_one_block(model: Model, drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predictions(drawn_faces, "test")
    monkeypatch.setattr(module, "_BATCH", 5)  # 14 faces: blocks of 5, 5 and 4
    np.testing.assert_allclose(model.predictions(drawn_faces, "test").probabilities, whole.probabilities, atol=1e-5)


def test_what_cannot_be_scored_says_why(model: Model, drawn_faces: FaceSet) -> None:
    renamed = replace(drawn_faces, label_set=LabelSet("custom", ("a", "b", "c", "d", "e", "f", "g")))
    with pytest.raises(InputError, match=r"model was trained on angry, .*drawn\.zip has a, b"):
        model.predictions(renamed, "test")
    with pytest.raises(InputError, match=r"unknown split 'tset'\. Did you mean 'test'"):
        model.predictions(drawn_faces, "tset")
    with pytest.raises(InputError, match="has no test split"):
        model.predictions(drawn_faces.select("train", "val"), "test")


@pytest.fixture(scope="module")
def kinds(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """A run, a file of the same network, and a bundled model, as people name them."""
    folder = tmp_path_factory.mktemp("kinds")
    run = Run(Path(shutil.copytree(trained_folder, folder / "run")))
    export(run, drawn_faces, folder / "own.onnx")
    return {name: Model.open(what) for name, what in
            (("run", str(run.folder)), ("file", str(folder / "own.onnx")), ("bundled", "mien-tiny"))}  # fmt: skip


@pytest.mark.parametrize("kind", ["run", "file", "bundled"])
def test_every_kind_is_evaluated_and_compared(kinds: dict[str, Model], kind: str, drawn_faces: FaceSet) -> None:
    model = kinds[kind]
    found = evaluate(model, drawn_faces, "test")
    assert found.model == model.name
    assert found.scores.n == 14
    pair = compare(model, kinds["bundled"], faces=drawn_faces, names=("a", "b")).pairs[0]
    said = [one.predictions(drawn_faces, "test") for one in (model, kinds["bundled"])]
    right = [np.mean(one.predicted == one.labels) for one in said]
    assert pair.accuracy_difference.value == pytest.approx(right[1] - right[0])


def test_only_a_run_is_compared_without_images(kinds: dict[str, Model], drawn_faces: FaceSet) -> None:
    evaluate(kinds["run"], drawn_faces, "test")
    assert compare(kinds["run"], kinds["run"], names=("a", "b")).pairs[0].p_value == 1
    for kind in ("file", "bundled"):
        with pytest.raises(InputError, match=r"a model file keeps no predictions\. Name the images: --data PATH"):
            compare(kinds["run"], kinds[kind])


@pytest.mark.parametrize("kind", ["run", "file", "bundled"])
def test_every_kind_is_calibrated(kinds: dict[str, Model], kind: str, drawn_faces: FaceSet, tmp_path: Path) -> None:
    model, new = kinds[kind], tmp_path / "new.onnx"
    if kind == "run":
        assert calibrate(model, 0.5).risk == 0.5
        assert model.run.card.risk == 0.5
        return
    with pytest.raises(InputError, match=r"is not changed\. Name faces with a val split and a file to write"):
        calibrate(model, 0.5)
    before = model.content
    card = calibrate(model, 0.5, drawn_faces, to=new)
    assert model.content == before
    assert Recognizer(new).card == card != model.card
    assert card == model.card.calibrated(model.predictions(drawn_faces, "val"), 0.5)


@pytest.mark.parametrize("kind", ["run", "file", "bundled"])
def test_every_kind_is_adapted(kinds: dict[str, Model], kind: str, drawn_faces: FaceSet, tmp_path: Path) -> None:
    if kind == "run":  # what this one was trained on teaches nothing, and it has no model file to put biases in
        with pytest.raises(InputError, match=r"has no model\.onnx"):
            adapt(kinds[kind], drawn_faces.select("test"), tmp_path / "new.onnx")
        return
    card = adapt(kinds[kind], drawn_faces, tmp_path / "new.onnx", anyway=True)
    assert Recognizer(tmp_path / "new.onnx").card == card
    assert {one.truth for one in card.adapted.heads} == set(card.truths)


@pytest.mark.parametrize("kind", ["run", "file", "bundled"])
def test_every_kind_is_written_in_8_bits_and_runs_alone_otherwise(
    kinds: dict[str, Model], kind: str, drawn_faces: FaceSet, tmp_path: Path
) -> None:
    assert export(kinds[kind], drawn_faces, tmp_path / "small.onnx", "int8").n == 14
    assert Recognizer(tmp_path / "small.onnx").card == Model.open(kinds[kind].run or kinds[kind]).card
    if kind == "run":
        return
    with pytest.raises(InputError, match=r"no trainable weights in an \.onnx file"):
        export(kinds[kind], drawn_faces, tmp_path / "half.onnx", "float16")
    with pytest.raises(InputError, match=r"name the file to write: --to NEW\.onnx"):
        export(kinds[kind], drawn_faces, precision="int8")


@pytest.mark.parametrize("kind", ["run", "file", "bundled"])
def test_every_kind_is_explained_as_it_can_be(kinds: dict[str, Model], kind: str, drawn_faces: FaceSet) -> None:
    assert Explainer(kinds[kind]).method == ("grad-cam" if kind == "run" else "occlusion")
    (found,) = Explainer(kinds[kind], "occlusion")(list(drawn_faces.images[:1]))
    np.testing.assert_allclose(
        list(found.probabilities.values()), kinds[kind].classify(drawn_faces.images[:1])[0], atol=1e-5
    )
    if kind != "run":
        with pytest.raises(InputError, match="has no gradients; use the run or --method occlusion"):
            Explainer(kinds[kind], "grad-cam")


def test_an_ensemble_needs_runs(kinds: dict[str, Model], tmp_path: Path) -> None:
    for kind in ("file", "bundled"):
        with pytest.raises(InputError, match=r"an ensemble needs runs, with their weights; .* is a model file"):
            ensemble([kinds["run"], kinds[kind]], tmp_path / "both")


def test_a_bundled_model_knows_what_it_has_seen(drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other data too, and with all that it began with."""
    bundled = Model.open("mien-tiny")
    assert bundled.unsure_what_it_saw(drawn_faces) is None
    assert not bundled.predictions(drawn_faces, "test").in_train.any()
    first = drawn_faces.select("test").hashes[:2]
    monkeypatch.setattr(Run, "seen", lambda run: (first, first[:1]))
    predictions = Model.open("mien-tiny").predictions(drawn_faces, "test")
    assert predictions.in_train.sum() == len(set(first.tolist()))
    assert predictions.in_val[0]


def test_a_file_made_of_a_bundled_model_knows_what_that_has_seen(drawn_faces: FaceSet, tmp_path: Path) -> None:
    export("mien-tiny", drawn_faces, tmp_path / "small.onnx", "int8")
    copy = Model.open(tmp_path / "small.onnx")
    assert copy.unsure_what_it_saw(drawn_faces) is None
    other = copy.card.model_copy(update={"training": copy.card.training.model_copy(update={"seed": 7})})
    (tmp_path / "other.onnx").write_bytes(with_card(copy.content, other, "other"))
    told = Model.open(tmp_path / "other.onnx").unsure_what_it_saw(drawn_faces)
    assert told == f"other was trained on other data ({other.training.data})"


def test_names_that_name_nothing() -> None:
    with pytest.raises(InputError, match=r"unknown model 'mien-smal'\. Did you mean 'mien-small'\?"):
        Model.open("mien-smal")
    with pytest.raises(InputError, match=r"computes on the cpu\. Leave out --device cuda"):
        Model.open("mien-tiny", device="cuda")

"""Monitor and mien check: a model file that gives features and references, made of the faces of a drawn set."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from mien import InputError, Recognizer
from mien.cards import Card
from mien.evaluation.shift import Source, fit_reference
from mien.model_files import with_features, with_reference
from mien.recognize.classifier import Classifier
from mien.recognize.monitor import Monitor
from mien.recognize.shift import Reference, reference_key
from mien.recognize.vendored import read_vendored, vendored_folder


def noise(count: int, seed: int, grain: float = 4) -> list[np.ndarray]:
    """Gray pictures of 48 pixels: noise, of grains of so many."""
    rng = np.random.default_rng(seed)
    soft = (cv2.GaussianBlur(rng.normal(size=(48, 48)), (0, 0), grain) for _ in range(count))
    return [np.clip(120 + 25 * one / one.std(), 0, 255).astype(np.uint8) for one in soft]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mien-tiny with a reference of soft noise."""
    content = with_features(read_vendored("weights", "mien-tiny.onnx"), "mien-tiny")
    opened = Classifier.read(content, "mien-tiny")
    said, seen = opened.with_features(noise(900, 0))
    reference = fit_reference(seen, said, opened.card.widths, Source("noise", "none"))
    file = tmp_path_factory.mktemp("watched") / "watched.onnx"
    file.write_bytes(with_reference(content, reference, "mien-tiny"))
    return file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for kind, grain in (("same", 4.0), ("fine", 1.0)):
        (folder / kind).mkdir()
        for i, image in enumerate(noise(60, 1, grain)):
            cv2.imwrite(str(folder / kind / f"{i:02d}.png"), image)
    return folder


def test_features_are_what_the_last_layer_multiplies(watched: Path) -> None:
    opened, crops = Classifier.open(watched), noise(5, 3)
    said, _ = opened.with_features(crops)
    bundled = Classifier.read(read_vendored("weights", "mien-tiny.onnx"), "mien-tiny")
    np.testing.assert_array_equal(opened.probabilities(crops), bundled.probabilities(crops))
    np.testing.assert_allclose(said, bundled.probabilities(crops), atol=1e-6)
    # Each logit is one linear function of the features, over more pictures than it has weights.
    shown = opened.card.preprocess(noise(150, 11))
    logits, features = opened._session.run(["logits", "features"], {"images": shown})
    columns = np.column_stack([features, np.ones(150)])
    np.testing.assert_allclose(columns @ np.linalg.lstsq(columns, logits)[0], logits, atol=1e-3)
    mirrored = Classifier.read(watched.read_bytes(), "x")
    mirrored.card = opened.card.model_copy(update={"mirror": True})
    turned = opened._session.run(["features"], {"images": np.ascontiguousarray(shown[:5, ..., ::-1])})[0]
    np.testing.assert_allclose(mirrored.with_features(noise(5, 11))[1], (features[:5] + turned) / 2, atol=1e-5)
    np.testing.assert_allclose(mirrored.with_features(crops)[0], mirrored.probabilities(crops), atol=1e-6)
    assert opened.with_features([])[0].shape == (0, 14)


def test_a_card_stays_and_a_reference_replaces_its_kind(watched: Path) -> None:
    content = watched.read_bytes()
    reference = Classifier.open(watched).reference("none")
    assert reference is not None
    again = with_reference(content, reference.model_copy(update={"data": "again"}), "x")
    model = onnx.load_model_from_string(with_features(again, "x"))
    keys = ["mien.card", reference_key("default"), reference_key("none")]  # the first reference is of the package
    assert sorted(one.key for one in model.metadata_props) == keys
    assert [one.name for one in model.graph.output] == ["logits", "features"]
    assert Classifier.read(again, "x").card == Card.parse(model.metadata_props[0].value, "x")


def test_a_monitor_alarms_and_keeps_to_it(watched: Path) -> None:
    recognizer = Recognizer(watched, detector="none")
    monitor = recognizer.watch()
    for image in noise(49, 4):
        assert not recognizer(image).shifted
    assert monitor.shift is None
    recognizer(noise(1, 5)[0])
    assert monitor.shift is not None
    assert not monitor.alarm
    assert monitor.n == 50
    answers = recognizer(noise(150, 6, grain=1))
    assert monitor.alarm
    assert monitor.n == 200
    assert not answers[0].shifted
    assert answers[-1].shifted
    assert "unlike the faces that the model was measured on" in str(answers[-1])
    assert str(answers[0]).count("\n") == 0
    recognizer(noise(400, 8))
    assert monitor.alarm
    assert not monitor.shift.alarm
    monitor.reset()
    assert not monitor.alarm
    assert monitor.n == 0
    np.testing.assert_allclose(
        list(recognizer(noise(1, 9)[0])[0].probabilities.values()),
        list(Recognizer(watched, detector="none")(noise(1, 9)[0])[0].probabilities.values()),
        atol=1e-6,
    )


def test_an_alarm_is_told_with_an_estimated_prior_too(watched: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(watched, detector="none", prior="estimate")
    recognizer.watch()
    unlike = noise(120, 6, grain=1)
    assert recognizer(unlike)[-1].shifted
    for i, image in enumerate(unlike):
        cv2.imwrite(str(tmp_path / f"{i:03}.png"), image)
    assert list(recognizer.folder(tmp_path))[-1].shifted


def test_it_looks_after_50_100_200_and_every_100(watched: Path) -> None:
    opened = Classifier.open(watched)
    reference = opened.reference("none")
    assert reference is not None
    monitor, looks = Monitor(reference), []
    said, seen = opened.with_features(noise(1, 10))
    for n in range(1, 501):
        before, monitor.shift = monitor.shift, None
        monitor.add(said, seen)
        if monitor.shift:
            looks.append((n, monitor.shift.n))
        else:
            monitor.shift = before
    assert looks == [(50, 50), (100, 100), (200, 200), (300, 200), (400, 200), (500, 200)]
    assert monitor.overall().n == 500


def test_films_are_refused_while_it_watches(watched: Path) -> None:
    recognizer = Recognizer(watched, detector="none")
    recognizer.watch()
    with pytest.raises(InputError, match="film are few, seen many times"):
        recognizer.video("clip.mp4")


def test_a_model_without_features_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "plain.onnx"
    model = onnx.load_model_from_string(read_vendored("weights", "mien-tiny.onnx"))
    kept = [one for one in model.metadata_props if not one.key.startswith("mien.reference")]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"plain.onnx: has no reference .* mien calibrate .* --reference"):
        Recognizer(file).watch()


def test_damaged_references_are_refused(watched: Path) -> None:
    content = watched.read_bytes()
    reference = Classifier.open(watched).reference("none")
    assert reference is not None
    for wrong in ({"of_answers": "AAAA"}, {"of_features": "no base64!"}, {"directions": 10**6}):
        broken = with_reference(content, reference.model_copy(update=wrong), "x")
        with pytest.raises(InputError, match="its reference for mien check is damaged"):
            Classifier.read(broken, "x").reference("none")
    newer = with_reference(content, reference.model_copy(update={"format": 99}), "x")
    with pytest.raises(InputError, match="newer mien"):
        Classifier.read(newer, "x").reference("none")
    assert isinstance(Reference.parse(reference.model_dump_json(), "x"), Reference)


def test_check(watched: Path, pictures: Path, mien) -> None:
    how = ("--model", watched, "--detector", "none")
    done = mien("check", pictures / "same", *how)
    assert (done.code, done.out[:29]) == (0, "60 faces: no sign that they a")
    done = mien("check", pictures / "fine", *how)
    assert done.code == 1
    assert done.out.startswith("60 faces are unlike those that the model was measured on")
    twice = mien("check", pictures / "same", str(pictures / "same" / "0*.png"), *how)
    assert twice.out == mien("check", pictures / "same", *how).out
    told = json.loads(mien("check", pictures / "fine", *how, "--json").out)
    assert told["alarm"]
    assert told["n"] == 60
    assert told["distance"] > told["limit"]
    assert told["failed"] == 0


def test_check_of_what_cannot_be_checked(watched: Path, pictures: Path, tmp_path: Path, mien) -> None:
    how = ("--model", watched, "--detector", "none")
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "one.png").write_bytes((pictures / "same" / "00.png").read_bytes())
    done = mien("check", tmp_path / "few", *how)
    assert (done.code, done.err) == (
        2,
        "error: faces found: 1, expected at least 50: fewer do not tell whether they are like those that the model was "
        "measured on. Name more pictures together\n",
    )
    done = mien("check", vendored_folder("pictures"), "--model", watched, "--detector", "fast")
    assert done.code == 2
    assert "has no reference for faces that the detector 'fast' cuts" in done.err
    (tmp_path / "film.mp4").write_bytes(b"x")
    done = mien("check", tmp_path / "film.mp4", *how)
    assert done.code == 2
    assert "film.mp4: a film shows few faces many times" in done.err


def test_a_broken_picture_is_told(watched: Path, pictures: Path, tmp_path: Path, mien) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    done = mien("check", pictures / "same", tmp_path / "broken.png", "--model", watched, "--detector", "none")
    assert done.code == 1
    assert "60 faces: no sign" in done.out
    assert "broken.png" in done.err
    assert "pictures that could not be read: 1" in done.err


def test_evaluate_says_whether_other_data_are_alike(watched: Path, tmp_path: Path, mien) -> None:
    for kind, grain in (("same", 4.0), ("fine", 1.0)):
        for i, image in enumerate(noise(60, 21, grain)):
            folder = tmp_path / kind / ("happy" if i % 2 else "sad")
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{i:02d}.png"), image)
    told = mien("evaluate", watched, "--data", tmp_path / "same", "--split", "all", "--labels", "happy,sad")
    assert told.code == 0, told.err
    assert "shift: No sign that these faces are unlike" in told.out
    told = mien("evaluate", watched, "--data", tmp_path / "fine", "--split", "all", "--labels", "happy,sad", "--json")
    look = json.loads(told.out)["look"]
    assert look["n"] == 60
    assert look["distance"] > look["limit"]

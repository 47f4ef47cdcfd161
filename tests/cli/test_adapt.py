"""mien adapt: drawn faces, labeled by another taste than the model's, and by none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import FaceSet, InputError, Recognizer, Run, adapt
from mien.cards import Card
from mien.model import Model
from mien.recognize.vendored import vendored_folder


@pytest.fixture(scope="module")
def own(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces whose labels a person gives as mien-tiny's labels head would with other biases."""
    folder, model = tmp_path_factory.mktemp("own"), Model.open("mien-tiny")
    logs = np.log(model.classify(list(drawn_faces.images), "labels").clip(1e-7))
    taste = (logs + np.array([1.5, 0, -1.0, 0, -1.5, 1.0, 0])).argmax(axis=1)
    for i, label in enumerate(taste):
        place = folder / model.card.labels[label] / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(place), drawn_faces.images[i])
    return folder


@pytest.fixture
def labels(own: Path) -> str:
    return ",".join(sorted(one.name for one in own.iterdir()))


def test_a_gain_is_written_and_told(mien, own: Path, labels: str, tmp_path: Path) -> None:
    new = tmp_path / "new.onnx"
    done = mien("adapt", "mien-tiny", "--data", own, "--labels", labels, "--to", new)
    assert done.code == 0, done.err
    card = Recognizer(new).card
    assert card.adapted is not None
    heads = {one.truth: one for one in card.adapted.heads}
    assert heads["labels"].certain
    assert heads["labels"].biases[0] > heads["labels"].biases[4]
    assert sum(card.adapted.faces.values()) == 140
    assert (card.adapted.model, card.adapted.data, card.adapted.persons) == ("mien-tiny", own.name, None)
    assert "on faces left out" in done.out
    assert "written" in done.err
    told = mien("evaluate", new, "--data", own, "--labels", labels, "--split", "all")
    assert told.code == 0, told.err
    assert "adapted from mien-tiny" in told.err
    assert "was adapted to these very faces" in told.err
    again = mien("adapt", new, "--data", own, "--labels", labels, "--to", tmp_path / "again.onnx")
    assert again.code == 2
    assert "Adapt the model that it was made of" in again.err
    kept = mien("calibrate", new, "--data", own, "--labels", labels, "--to", tmp_path / "calibrated.onnx")
    assert kept.code == 0, kept.err
    assert Recognizer(tmp_path / "calibrated.onnx").card.adapted == card.adapted


def test_the_card_reads_back_and_older_ones_say_nothing(mien, own: Path, labels: str, tmp_path: Path) -> None:
    done = mien("adapt", "mien-tiny", "--data", own, "--labels", labels, "--to", tmp_path / "new.onnx", "--json")
    told = json.loads(done.out)
    assert told["model"] == "mien-tiny"
    card = Recognizer(tmp_path / "new.onnx").card
    assert Card.parse(card.text(), "card") == card
    old = json.loads(Recognizer("mien-tiny").card.text())
    del old["adapted"]
    assert Card.parse(json.dumps({**old, "format": 3}), "card").adapted is None


def test_without_a_gain_nothing_is_written_unless_asked(mien, drawn_faces: FaceSet, tmp_path: Path) -> None:
    model, data, new = Model.open("mien-tiny"), tmp_path / "faces", tmp_path / "new.onnx"
    said = np.mean([model.classify(list(drawn_faces.images), truth) for truth in model.card.truths], axis=0)
    rng = np.random.default_rng(0)
    for i, shares in enumerate(said[:30]):  # labels as often as the model says: nothing of it is to be mended
        place = data / model.card.labels[rng.choice(7, p=shares / shares.sum())] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), drawn_faces.images[i])
    labels = ",".join(sorted(one.name for one in data.iterdir()))
    refused = mien("adapt", "mien-tiny", "--data", data, "--labels", labels, "--to", new)
    assert refused.code == 2
    assert "no gain can be told, so nothing is written" in refused.err
    assert not new.exists()
    done = mien("adapt", "mien-tiny", "--data", data, "--labels", labels, "--to", new, "--anyway")
    assert done.code == 0, done.err
    assert "no gain that can be told" in done.out


def test_what_a_model_was_trained_on_teaches_nothing(drawn_faces: FaceSet, trained_run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was trained on every face of it"):
        adapt(trained_run, drawn_faces.select("train"), tmp_path / "new.onnx")


def test_too_few_faces_are_refused(drawn_faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="14 faces to adapt on; at least 20"):
        adapt("mien-tiny", drawn_faces.select("test"), tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()


def test_faces_laid_out_evenly_are_warned_of(mien, drawn_faces: FaceSet, tmp_path: Path) -> None:
    for label, name in enumerate(drawn_faces.label_set.labels):
        for i in np.flatnonzero(drawn_faces.labels == label)[:6]:
            place = tmp_path / "even" / name / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), drawn_faces.images[i])
    done = mien("adapt", "mien-tiny", "--data", tmp_path / "even", "--to", tmp_path / "new.onnx", "--anyway")
    assert done.code == 0, done.err
    assert "every label has as many faces" in done.err


def test_a_run_is_adapted_by_its_model_file(own: Path, labels: str, mien, tmp_path: Path) -> None:
    run = Path(shutil.copytree(Path(__file__).parents[2] / "results" / "mien-tiny", tmp_path / "mien-tiny"))
    shutil.copyfile(vendored_folder("weights") / "mien-tiny.onnx", run / "model.onnx")
    shutil.copyfile(vendored_folder("starts") / "mien-tiny" / "seen.npz", run / "seen.npz")
    before = (run / "model.onnx").read_bytes()
    for model, new in ((run, "of-run.onnx"), ("mien-tiny", "of-name.onnx")):
        done = mien("adapt", model, "--data", own, "--labels", labels, "--to", tmp_path / new)
        assert done.code == 0, done.err
    assert (run / "model.onnx").read_bytes() == before
    of_run, of_name = (Recognizer(tmp_path / name).card for name in ("of-run.onnx", "of-name.onnx"))
    assert of_run.adapted == of_name.adapted

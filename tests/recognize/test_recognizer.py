"""Recognizer: files and folders that hold a model, and those that do not."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from mien import FaceSet, InputError, Recognizer, Run, export
from mien.images import Pixels
from mien.recognize.classifier import CARD_KEY, with_card
from mien.recognize.faces import Face
from mien.recognize.vendored import read_vendored


@pytest.fixture(scope="module")
def model(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    export(Run(trained_folder), drawn_faces, file)
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
        told = json.loads(card.value)
        told["labels"].append("bored")
        card.value = json.dumps({**told, "sets": None, "shares": None}) if change == "labels" else "{}"
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
    with pytest.raises(InputError, match="has no card"):
        Recognizer(changed(model, tmp_path / "bare.onnx", "no card"))
    with pytest.raises(InputError, match="its card: not a card that this version reads"):
        Recognizer(changed(model, tmp_path / "odd.onnx", "card"))
    with pytest.raises(InputError, match="answers with 7 numbers, its card has 8 labels"):
        Recognizer(changed(model, tmp_path / "eight.onnx", "labels"))
    with pytest.raises(InputError, match="is no run folder"):
        Recognizer(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(InputError, match=r"has no model\.onnx\. Write it: mien export"):
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


def test_the_portrait_is_happy_however_it_is_given(portrait_file: Path, portrait: Pixels) -> None:
    recognizer = Recognizer("mien-tiny", threads=1)
    given = [portrait_file, str(portrait_file), portrait_file.read_bytes(), Image.open(portrait_file), portrait]
    answers = recognizer(given)
    assert [len(faces) for faces in answers] == [1] * 5
    assert [faces[0].source for faces in answers] == [str(portrait_file)] * 2 + [
        "picture 3",
        str(portrait_file),
        "picture 5",
    ]
    (alone,) = recognizer(portrait_file)
    for (face,) in answers:
        assert (face.emotion, face.box) == ("happy", alone.box)
        assert face.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert list(alone.probabilities) == list(recognizer.labels)
    assert sum(alone.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert alone.detection_score is not None
    assert 0.8 < alone.detection_score <= 1
    assert alone.confidence == max(alone.probabilities.values())
    assert Face.from_dict(alone.source, alone.as_dict()) == alone


def test_faces_stand_from_left_to_right_and_boxes_stay_within(portrait: Pixels) -> None:
    recognizer = Recognizer("mien-tiny", threads=1)
    two = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    left, right = recognizer(two)
    assert left.box[0] < 512 < right.box[0]
    assert right.emotion == "happy"
    cut = portrait[80:150, 190:262]  # the face goes on beyond every edge
    for face in recognizer(np.ascontiguousarray(cut)):
        x, y, width, height = face.box
        assert min(x, y) >= 0
        assert min(width, height) >= 1
        assert x + width <= 72
        assert y + height <= 70


def test_no_face_is_an_empty_list() -> None:
    recognizer = Recognizer("mien-tiny", detector="fast", threads=1)
    assert recognizer(np.full((100, 100, 3), 200, dtype=np.uint8)) == []
    assert recognizer([]) == []


def test_without_a_detector_the_picture_is_the_face(model: Path, drawn_faces: FaceSet) -> None:
    recognizer = Recognizer(model, detector="none", threads=1)
    image = drawn_faces.images[0]
    (face,) = recognizer(image)
    assert (face.box, face.detection_score) == ((0, 0, 48, 48), None)
    np.testing.assert_allclose(list(face.probabilities.values()), recognizer.classify([image])[0], atol=1e-6)


def test_abstaining_follows_the_card_or_the_wish(portrait: Pixels) -> None:
    told = Recognizer("mien-tiny", threads=1)
    assert told.threshold == told.card.head("people").threshold
    assert Recognizer("mien-tiny", threads=1, truth="labels").threshold == told.card.threshold
    assert 0.4 < told.threshold < 0.6
    (face,) = told(portrait)
    assert not face.unsure
    for abstain in (face.confidence - 1e-6, face.confidence + 1e-6):
        (again,) = Recognizer("mien-tiny", threads=1, abstain=abstain)(portrait)
        assert again.unsure == (abstain > face.confidence)
        assert again.emotion == face.emotion


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"array of float32 \(4, 4, 3\); expected uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"expected uint8, \(H, W\) gray or \(H, W, 3\) RGB"),
        (np.zeros((0, 4), np.uint8), "without a pixel"),
        (b"", "the file is empty"),
        (b"\x89PNG....", "not a picture that can be read"),
        (7, "cannot read a picture from int"),
        ("none.jpg", r"none\.jpg: cannot be read \(No such file"),
    ],
)
def test_what_is_no_picture_is_told(picture: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recognizer("mien-tiny", detector="none")(picture)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=message):
        Recognizer("mien-tiny", detector="none")([picture])  # type: ignore[list-item]


def test_what_is_no_name_of_a_file_says_so() -> None:
    recognizer = Recognizer("mien-tiny", detector="none")
    with pytest.raises(InputError, match=r"https://example\.org/a\.jpg: an address is not opened; download it"):
        recognizer("https://example.org/a.jpg")
    for text in ("data:image/jpeg;base64," + "A" * 90_000, "A" * 90_000):
        with pytest.raises(InputError, match="a picture as text and no name of a file; decode it and give bytes") as no:
            recognizer(text)
        assert len(str(no.value)) < 300
    with pytest.raises(InputError, match="no name of a file"):
        recognizer("a\0b.jpg")


def test_a_recognizer_travels_to_another_process() -> None:
    recognizer = Recognizer("mien-tiny", detector="none", abstain=0.4)
    found = pickle.loads(pickle.dumps(recognizer))  # noqa: S301 - our own
    crops = [np.arange(256, dtype=np.uint8).reshape(16, 16)]
    assert np.array_equal(found.classify(crops), recognizer.classify(crops))
    assert found.settings == recognizer.settings


def test_a_model_whose_class_holds_a_bar_is_refused(tmp_path: Path) -> None:
    card = Recognizer("mien-tiny").card
    (tmp_path / "bar.onnx").write_bytes(
        with_card(
            read_vendored("weights", "mien-tiny.onnx"),
            card.model_copy(update={"labels": ("angry|mad", *card.labels[1:])}),
            "x",
        )
    )
    with pytest.raises(InputError, match=r"bar\.onnx: class 'angry\|mad' holds a bar"):
        Recognizer(tmp_path / "bar.onnx")

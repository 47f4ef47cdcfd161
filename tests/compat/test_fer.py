"""FER as the package fer has it: its own examples, on both packages where fer is at hand."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import InputError, Recognizer
from mien.compat.fer import FER, InvalidImage
from mien.recognize.vendored import vendored_folder

PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"
ORDER = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # fer/fer.py, _get_labels
# The examples of fer's README (25.10.3), and what else its class offers for pictures.
EXAMPLES = """
import json, sys
import cv2
import numpy as np
img = cv2.imread(sys.argv[1])
detector = FER()
result = detector.detect_emotions(img)
emotion, score = detector.top_emotion(img)
by_path = detector.detect_emotions(sys.argv[1])
batch = detector.batch_detect_emotions([img, np.zeros((80, 80, 3), np.uint8)])
given = detector.detect_emotions(img, face_rectangles=[(180, 60, 90, 115)])
none = detector.top_emotion(np.zeros((80, 80, 3), np.uint8))
wrong = []
for call in (lambda: FER(scale_factor=1.0), lambda: FER(min_face_size=0), lambda: detector.detect_emotions(7)):
    try:
        call()
    except Exception as error:
        wrong.append(type(error).__name__)
told = dict(result=result, emotion=emotion, score=score, by_path=by_path, batch=batch)
told |= dict(given=given, none=none, wrong=wrong)
print(json.dumps(told, default=lambda value: value.tolist()))
"""


@pytest.fixture(scope="module")
def ours() -> FER:
    return FER(model="mien-tiny")


def run(python: str, module: str) -> dict[str, object]:
    code = f"from {module} import FER\n{EXAMPLES}"
    paths = {} if python == sys.executable else {"PYTHONPATH": ""}
    env = {**os.environ, **paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([python, "-c", code, str(PORTRAIT)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


def shape(value: object) -> object:
    """What is compared of two packages: kinds, keys, their order, and lengths; not figures."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}, list(value)
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "number" if isinstance(value, (int, float)) else value


def test_fers_own_examples_run_on_both() -> None:
    theirs_python = os.environ.get("MIEN_FER_PYTHON")
    if not theirs_python:
        pytest.skip("set MIEN_FER_PYTHON to the python of an environment with fer 25.10.3 (it wants tensorflow)")
    theirs, ours = run(theirs_python, "fer.fer"), run(sys.executable, "mien.compat.fer")
    assert shape(ours) == shape(theirs)
    assert (ours["emotion"], ours["none"]) == (theirs["emotion"], theirs["none"]) == ("happy", [None, None])


def test_the_documented_answer(ours: FER) -> None:
    image = cv2.imread(str(PORTRAIT))
    found = ours.detect_emotions(image)
    (face,) = found
    assert list(face) == ["box", "emotions"]
    assert list(face["emotions"]) == ORDER
    (wanted,) = Recognizer("mien-tiny")(PORTRAIT)
    assert face["box"] == list(wanted.box)
    assert face["emotions"] == pytest.approx(wanted.probabilities, abs=0.006)
    assert all(round(value, 2) == value for value in face["emotions"].values())
    assert json.loads(json.dumps(found)) == found
    assert ours.emotions is found
    assert ours.top_emotion(image) == ("happy", face["emotions"]["happy"])


def test_every_kind_of_picture_is_the_same(ours: FER, tmp_path: Path) -> None:
    image = cv2.imread(str(PORTRAIT))
    uri = "data:image/jpeg;base64," + base64.b64encode(PORTRAIT.read_bytes()).decode()
    assert ours.detect_emotions(str(PORTRAIT)) == ours.detect_emotions(uri)
    (by_array,), (by_path,) = ours.detect_emotions(image), ours.detect_emotions(str(PORTRAIT))
    assert by_array["emotions"] == pytest.approx(by_path["emotions"], abs=0.02)  # decoders differ by a bit
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert ours.top_emotion(gray)[0] == "happy"
    for wrong, why in (
        ("https://example.org/a.jpg", "mien downloads nothing"),
        (str(tmp_path / "none.jpg"), "cannot be read"),
        ("data:image/png;base64,!!", "not base64"),
        (7, "cannot read a picture from int"),
    ):
        with pytest.raises(InvalidImage, match=why):
            ours.detect_emotions(wrong)  # type: ignore[arg-type]


def test_given_rectangles_are_kept_and_cut_as_they_are(ours: FER) -> None:
    image = cv2.imread(str(PORTRAIT))
    boxes = np.array([[180, 60, 90, 115], [-300, -300, 50, 50]])  # the second lies beside the picture
    (face,) = ours.detect_emotions(image, face_rectangles=boxes)  # type: ignore[arg-type]
    assert face["box"] == [180, 60, 90, 115]
    crop = cv2.cvtColor(np.ascontiguousarray(image[60:175, 168:283]), cv2.COLOR_BGR2RGB)
    (wanted,) = Recognizer("mien-tiny").classify([crop])
    assert list(face["emotions"].values()) == pytest.approx(
        [round(float(wanted[Recognizer("mien-tiny").labels.index(label)]), 2) for label in ORDER]
    )
    assert ours.detect_emotions(image, face_rectangles=[]) == []


def test_no_face_is_none_twice_and_small_ones_are_left_out_as_there() -> None:
    small = cv2.resize(cv2.imread(str(PORTRAIT)), (200, 200), interpolation=cv2.INTER_AREA)
    assert FER(model="mien-tiny").top_emotion(small) == (None, None)  # the face has 45 pixels
    assert FER(model="mien-tiny", min_face_size=30).top_emotion(small)[0] == "happy"
    assert FER(model="mien-tiny", mtcnn=True).top_emotion(small)[0] == "happy"


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match=r"scale_factor must be greater than 1\.0"):
        FER(scale_factor=1)
    with pytest.raises(ValueError, match="offsets must be"):
        FER(offsets=(1,))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Leave cascade_file out"):
        FER(cascade_file="haar.xml")
    with pytest.raises(InputError, match="Leave tfserving out"):
        FER(tfserving=True)

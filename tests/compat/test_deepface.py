"""DeepFace.analyze as deepface 0.0.100 documents it: its dictionary, its errors. Its weights cannot be had here."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import Recognizer
from mien.compat.deepface import DeepFace, FaceNotDetected, ImgNotFound, UnimplementedError
from mien.recognize.vendored import vendored_folder

PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"
ORDER = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # deepface/models/demography/Emotion.py
DARK = np.zeros((90, 120, 3), np.uint8)


def test_the_documented_answer() -> None:
    found = DeepFace.analyze(str(PORTRAIT), actions=["emotion"])
    (face,) = found
    assert list(face) == ["emotion", "dominant_emotion", "region", "face_confidence"]
    assert list(face["emotion"]) == ORDER
    assert sum(face["emotion"].values()) == pytest.approx(100, abs=1e-3)  # percent
    (wanted,) = Recognizer()(PORTRAIT)
    assert face["emotion"]["happy"] == pytest.approx(100 * wanted.probabilities["happy"], abs=0.01)
    assert face["dominant_emotion"] == wanted.emotion == "happy"
    assert (face["region"]["x"], face["region"]["y"], face["region"]["w"], face["region"]["h"]) == wanted.box
    assert set(face["region"]) == {"x", "y", "w", "h", "left_eye", "right_eye"}
    assert face["face_confidence"] == round(wanted.detection_score or 0, 2)
    assert json.loads(json.dumps(found)) == found


def test_pictures_of_every_kind_and_lists_of_them() -> None:
    image = cv2.imread(str(PORTRAIT))
    for given in (image, io.BytesIO(PORTRAIT.read_bytes()), PORTRAIT):
        assert DeepFace.analyze(given, actions="emotion")[0]["dominant_emotion"] == "happy"
    both = DeepFace.analyze([str(PORTRAIT), image], actions=("emotion",))
    assert [faces[0]["dominant_emotion"] for faces in both] == ["happy", "happy"]
    stacked = DeepFace.analyze(np.stack([image, image]), ["emotion"])
    assert [len(faces) for faces in stacked] == [1, 1]


def test_no_face_is_an_error_unless_it_is_not_enforced() -> None:
    with pytest.raises(FaceNotDetected, match=r"Face could not be detected.*enforce_detection"):
        DeepFace.analyze(DARK, actions=["emotion"])
    with pytest.raises(ValueError, match="Face could not be detected"):  # as programs catch it
        DeepFace.analyze(DARK, actions=["emotion"])
    (face,) = DeepFace.analyze(DARK, actions=["emotion"], enforce_detection=False)
    assert face["region"] == {"x": 0, "y": 0, "w": 120, "h": 90, "left_eye": None, "right_eye": None}
    assert face["face_confidence"] == 0


def test_skip_takes_the_picture_as_a_face() -> None:
    (face,) = DeepFace.analyze(str(PORTRAIT), ["emotion"], detector_backend="skip")
    assert (face["region"]["w"], face["region"]["h"], face["face_confidence"]) == (512, 512, 0)


@pytest.mark.parametrize("actions", [("emotion", "age"), ["race"], None])
def test_age_gender_and_race_are_refused_not_left_out(actions: list[str] | None) -> None:
    with pytest.raises(UnimplementedError, match=r"says nothing of .*: pass actions=\['emotion'\]"):
        DeepFace.analyze(str(PORTRAIT), **({"actions": actions} if actions else {}))  # type: ignore[call-overload]


def test_other_mistakes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ImgNotFound, match=r"none\.jpg: cannot be read"):
        DeepFace.analyze(str(tmp_path / "none.jpg"), ["emotion"])
    with pytest.raises(UnimplementedError, match="Invalid action passed"):
        DeepFace.analyze(str(PORTRAIT), ["emotions"])
    with pytest.raises(ValueError, match="must be a list of strings"):
        DeepFace.analyze(str(PORTRAIT), [])
    with pytest.raises(UnimplementedError, match="Did you mean 'retinaface'"):
        DeepFace.analyze(str(PORTRAIT), ["emotion"], detector_backend="retinafce")
    with pytest.raises(UnimplementedError, match="leave anti_spoofing out"):
        DeepFace.analyze(str(PORTRAIT), ["emotion"], anti_spoofing=True)
    with caplog.at_level(logging.WARNING, "mien"):
        DeepFace.analyze(str(PORTRAIT), ["emotion"], align=False)
    assert "change nothing" in caplog.text

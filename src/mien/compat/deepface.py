"""deepface: `DeepFace.analyze` for emotions as the package deepface (0.0.100) has it, by mien's models.

`from mien.compat.deepface import DeepFace`. What differs stands in the guide "Come from fer or deepface".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import TypedDict, overload

import numpy as np
import numpy.typing as npt

from mien.compat.pictures import Given, ordered, rgb
from mien.errors import InputError, suggestion
from mien.images import Pixels
from mien.recognize.finder import DetectorChoice
from mien.recognize.recognizer import Recognizer

_ACTIONS = ("emotion", "age", "gender", "race")
_DETECTORS = (
    "opencv", "retinaface", "mtcnn", "ssd", "dlib", "mediapipe", "fastmtcnn", "yunet", "centerface", "skip",
    *(f"yolov{version}{size}" for version in (8, 11, 12) for size in ("", *"nsml")),
)  # fmt: skip


class Region(TypedDict):
    x: int
    y: int
    w: int
    h: int
    left_eye: tuple[int, int] | None
    right_eye: tuple[int, int] | None


logger = logging.getLogger(__name__)


class ImgNotFound(InputError, ValueError):  # noqa: N818  their names, here and below
    """A picture that is not there or cannot be read."""


class FaceNotDetected(InputError, ValueError):  # noqa: N818
    """No face was found, and `enforce_detection` asks for one."""


class UnimplementedError(InputError, ValueError):
    """What mien does not do."""


class Analysis(TypedDict):
    """A face: every emotion in percent, the most probable one, where the face is, and how sure the detector is, 0–1."""

    emotion: dict[str, float]
    dominant_emotion: str
    region: Region
    face_confidence: float


class DeepFace:
    """Stands for the module of that name."""

    @overload
    @staticmethod
    def analyze(
        img_path: Given,
        actions: Sequence[str] = _ACTIONS,
        enforce_detection: bool = True,
        detector_backend: str = "opencv",
        align: bool = True,
        expand_percentage: int = 0,
        silent: bool = False,
        anti_spoofing: bool = False,
    ) -> list[Analysis]: ...
    @overload
    @staticmethod
    def analyze(
        img_path: list[Given],
        actions: Sequence[str] = _ACTIONS,
        enforce_detection: bool = True,
        detector_backend: str = "opencv",
        align: bool = True,
        expand_percentage: int = 0,
        silent: bool = False,
        anti_spoofing: bool = False,
    ) -> list[list[Analysis]]: ...
    @staticmethod
    def analyze(
        img_path: Given | list[Given],
        actions: Sequence[str] = _ACTIONS,
        enforce_detection: bool = True,
        detector_backend: str = "opencv",
        align: bool = True,
        expand_percentage: int = 0,
        silent: bool = False,
        anti_spoofing: bool = False,
    ) -> list[Analysis] | list[list[Analysis]]:
        """The emotions of the faces of a picture; of a list, or an array `(N, H, W, 3)`, a list for each.

        A picture is a path, a data URI, an open file or an array as cv2 reads it (BGR). `actions` has to be
        `["emotion"]`: mien says nothing of age, gender or race. `detector_backend`: `skip` takes the picture as a face,
        any other name of deepface's takes mien's own detector. Faces are turned and cut as the model asks for it,
        whatever `align` and `expand_percentage` say. Raises `FaceNotDetected`, `ImgNotFound`, `UnimplementedError`.
        """
        _check(actions, detector_backend, anti_spoofing=anti_spoofing)
        if not align or expand_percentage:
            logger.warning("align and expand_percentage change nothing: mien cuts faces as its model asks for it")
        detector: DetectorChoice = "none" if detector_backend == "skip" else "default"
        if isinstance(img_path, list) or (isinstance(img_path, np.ndarray) and img_path.ndim == 4):
            return [_analyses(one, detector, enforce_detection) for one in img_path]
        return _analyses(img_path, detector, enforce_detection)


def _check(actions: Sequence[str], detector: str, *, anti_spoofing: bool) -> None:
    wanted = (actions,) if isinstance(actions, str) else tuple(actions)
    if not wanted:
        raise ValueError("`actions` must be a list of strings.")
    unknown = [action for action in wanted if action not in _ACTIONS]
    if unknown:
        raise UnimplementedError(f"Invalid action passed ({unknown[0]!r}). Expected actions=['emotion']")
    if set(wanted) != {"emotion"}:
        others = ", ".join(action for action in wanted if action != "emotion")
        raise UnimplementedError(f"mien says nothing of {others}: pass actions=['emotion']")
    if detector not in _DETECTORS:
        raise UnimplementedError(f"invalid detector_backend '{detector}'.{suggestion(detector, _DETECTORS)}")
    if anti_spoofing:
        raise UnimplementedError("mien does not tell pictures of pictures from faces: leave anti_spoofing out")


@cache
def _recognizer(detector: DetectorChoice) -> Recognizer:
    return Recognizer(detector=detector)


def _analyses(picture: Given | npt.NDArray[np.uint8], detector: DetectorChoice, enforce: bool) -> list[Analysis]:
    name = str(picture) if isinstance(picture, str) and not picture.startswith("data:") else "the picture"
    try:
        image = rgb(picture)
    except InputError as error:
        raise ImgNotFound(str(error)) from error
    (faces,) = _recognizer(detector).recognize([image], [name])
    if faces:
        return [_analysis(face.probabilities, face.box, face.detection_score or 0.0) for face in faces]
    if enforce:
        raise FaceNotDetected(
            f"Face could not be detected in {name}. Please confirm that the picture is a face photo or consider to set "
            "enforce_detection param to False."
        )
    return [_whole(image)]


def _whole(image: Pixels) -> Analysis:
    """The picture as a face, as deepface takes it where none is found and none is asked for."""
    recognizer = _recognizer("none")
    ((face,),) = recognizer.recognize([image], [""])
    return _analysis(face.probabilities, face.box, 0.0)


def _analysis(probabilities: dict[str, float], box: tuple[int, int, int, int], score: float) -> Analysis:
    x, y, width, height = box
    percent = ordered({label: 100 * p for label, p in probabilities.items()})
    region: Region = {"x": x, "y": y, "w": width, "h": height, "left_eye": None, "right_eye": None}
    return {
        "emotion": percent,
        "dominant_emotion": max(percent, key=percent.__getitem__),
        "region": region,
        "face_confidence": round(score, 2),
    }

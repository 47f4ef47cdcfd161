"""fer: `FER` as the package fer (25.10.3) has it, by mien's models: `from mien.compat.fer import FER`.

What differs stands in the guide "Come from fer or deepface".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from mien.compat.pictures import Given, ordered, rgb
from mien.errors import InputError
from mien.images import Pixels
from mien.recognize.recognizer import DEFAULT, Recognizer

Rectangle = Sequence[int]  # x, y, width, height


class InvalidImage(InputError):  # noqa: N818  their name
    """A picture that cannot be read, as fer raises it."""


class FoundEmotions(TypedDict):
    """A face: x, y, width and height in pixels, and every emotion, 0–1, rounded to two decimals as fer does."""

    box: list[int]
    emotions: dict[str, float]


class FER:
    """Finds faces and their emotions."""

    def __init__(
        self,
        cascade_file: str | None = None,
        mtcnn: bool = False,
        tfserving: bool = False,
        use_tflite: bool = True,
        scale_factor: float = 1.1,
        min_face_size: int = 50,
        min_neighbors: int = 5,
        offsets: tuple[int, int] = (10, 10),
        *,
        model: str | Path = DEFAULT,
    ) -> None:
        """The parameters of fer, and `model` as `Recognizer` takes it.

        `min_face_size`: smaller faces (pixels) are left out unless `mtcnn`, as there. The detector is mien's own either
        way, so the other ones change nothing, and those that name one (`cascade_file`, `tfserving`) are an error.
        Raises `ValueError` where fer does, and `InputError`.
        """
        if scale_factor <= 1.0:
            raise ValueError("scale_factor must be greater than 1.0")
        if min_face_size < 1:
            raise ValueError("min_face_size must be at least 1")
        if min_neighbors < 0:
            raise ValueError("min_neighbors must be non-negative")
        if not isinstance(offsets, (tuple, list)) or len(offsets) != 2:
            raise ValueError("offsets must be a tuple or list of length 2")
        for name, given in (("cascade_file", cascade_file is not None), ("tfserving", tfserving)):
            if given:
                raise InputError(f"{name}: mien finds faces and answers by its own networks. Leave {name} out")
        self.recognizer = Recognizer(model)
        self.emotions: list[FoundEmotions] = []  # of the last picture, as fer keeps them
        self._smallest = 0 if mtcnn else min_face_size

    def detect_emotions(self, img: Given, face_rectangles: Sequence[Rectangle] | None = None) -> list[FoundEmotions]:
        """The faces of a picture: a path, a data URI or an array as cv2 reads it (BGR or gray), from left to right.

        `face_rectangles`: where faces are, instead of looking for them; they are then cut as they are, and not turned
        upright. Raises `InvalidImage`.
        """
        image = _read(img)
        self.emotions = self._found(image) if face_rectangles is None else self._within(image, face_rectangles)
        return self.emotions

    def batch_detect_emotions(self, imgs: Sequence[Given]) -> list[list[FoundEmotions]]:
        """The same of several pictures."""
        return [self.detect_emotions(img) for img in imgs]

    def top_emotion(self, img: Given) -> tuple[str | None, float | None]:
        """The most probable emotion of the first face, and its probability; None twice where there is no face."""
        found = self.detect_emotions(img)
        if not found:
            return None, None
        emotions = found[0]["emotions"]
        best = max(emotions, key=emotions.__getitem__)
        return best, emotions[best]

    def _found(self, image: Pixels) -> list[FoundEmotions]:
        (faces,) = self.recognizer.recognize([image], ["picture"])
        large = [face for face in faces if max(face.box[2:]) >= self._smallest]
        return [{"box": list(face.box), "emotions": _rounded(face.probabilities)} for face in large]

    def _within(self, image: Pixels, rectangles: Sequence[Rectangle]) -> list[FoundEmotions]:
        boxes = [[int(value) for value in rectangle] for rectangle in rectangles]  # of arrays too
        cut = [(box, crop) for box in boxes if (crop := _square(image, box)).size]
        answers = self.recognizer.classify([crop for _, crop in cut])
        labels = self.recognizer.labels
        return [
            {"box": box, "emotions": _rounded(dict(zip(labels, map(float, answer), strict=True)))}
            for (box, _), answer in zip(cut, answers, strict=True)
        ]


def _read(img: Given) -> Pixels:
    try:
        return rgb(img)
    except InputError as error:
        raise InvalidImage(str(error)) from error


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return ordered({label: round(value, 2) for label, value in values.items()})


def _square(image: Pixels, box: Sequence[int]) -> Pixels:
    """The square around the middle of a box, as far as it lies in the picture; empty where it lies beside it."""
    x, y, width, height = box
    side = max(width, height)
    left, top = x - (side - width) // 2, y - (side - height) // 2
    part = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    return np.ascontiguousarray(part)

"""Finder: the faces of decoded pictures, each where it is, how good it is, and as a model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Literal, TypeAlias, cast, get_args

import numpy as np

from mien.cards import Card
from mien.errors import unknown_name
from mien.images import Pixels
from mien.recognize.align import FER2013, upright_crops
from mien.recognize.detector import Detection, Detector
from mien.recognize.quality import Quality, quality_of
from mien.recognize.session import cores

DetectorChoice = Literal["default", "fast", "none"]
Found: TypeAlias = tuple[Detection, Quality]
Looked: TypeAlias = tuple[list[Found], list[Pixels]]  # the faces of a picture, and each as the model sees it


class Finder:
    """Looks for faces with one detector, for one model; a detector is opened when a picture first needs it."""

    def __init__(self, name: DetectorChoice, size: int, threads: int | None, provider: str, card: Card) -> None:
        """`name` none takes each picture as a face. `size`: long side in pixels at which faces are looked for."""
        self.name, self.size = name, size
        self._threads, self._provider = threads, provider
        self._alignment, self._preprocess = card.alignment or FER2013, card.preprocess

    def find(self, images: Sequence[Pixels]) -> list[Looked]:
        """The faces of each picture; several pictures are looked at side by side, each on one core."""
        if self.name == "none":
            return [self._whole(image) for image in images]
        workers = min(self._threads or cores(), len(images))
        if workers < 2:
            return [self._look(image, self.detector) for image in images]
        look = partial(self._look, detector=self._detector_on_one_core)
        with ThreadPoolExecutor(workers) as pool:  # up to twice as fast as one after another on all cores
            return list(pool.map(look, images))

    @cached_property
    def detector(self) -> Detector:
        """On as many cores as there are for one picture."""
        return Detector(self.name, size=self.size, threads=self._threads, provider=self._provider)

    @cached_property
    def _detector_on_one_core(self) -> Detector:
        return Detector(self.name, size=self.size, threads=1, provider=self._provider)

    def _look(self, image: Pixels, detector: Detector) -> Looked:
        faces, crops = upright_crops(image, detector, self._alignment)
        found = [(face, quality_of(crop, face, self._alignment)) for face, crop in zip(faces, crops, strict=True)]
        return found, [self._preprocess.pixels(crop) for crop in crops]

    def _whole(self, image: Pixels) -> Looked:
        height, width = image.shape[:2]
        face = Detection(box=(0, 0, width, height), score=1, points=np.zeros((4, 2), dtype=np.float32))
        return [(face, quality_of(image, None, self._alignment))], [self._preprocess.pixels(image)]


def known_detector(name: str) -> DetectorChoice:
    """The same; raises `InputError` for a name that is no detector's."""
    if name not in get_args(DetectorChoice):
        raise unknown_name("detector", name, get_args(DetectorChoice))
    return cast("DetectorChoice", name)

"""What becomes of accuracy where faces are small, blurred, dark or turned: python benchmarks/quality.py FER2013.zip [N]

N validation faces (PublicTest; 2,000), read by the bundled models' head for labels. Small: shrunk to that side and
enlarged again. Blurred: by a Gaussian, in pixels of 48. Dark: less light, and noise of 3 gray levels, as sensors have.
Turned: as the faces are, by the yaw that each detector's points tell. Leaning: enlarged to 192 pixels on gray, turned
in the plane, found, cut out upright and read. Beside each accuracy stand the median figures that `Face.quality` tells.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np

from mien import FaceSet, Recognizer
from mien.images import Pixels
from mien.recognize.align import FER2013, upright_crop
from mien.recognize.detector import Detection, Detector
from mien.recognize.quality import quality_of, sharpness_and_brightness, yaw_of

MODELS = ("mien-small", "mien-tiny")
SIDE, LARGE = 48, 192
YAWS = (0, 5, 10, 15, 20, 25, 30, 40, 90)
Change = Callable[[Pixels], Pixels]


def small(side: int) -> Change:
    def change(image: Pixels) -> Pixels:
        shrunk = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(shrunk, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))

    return change


def blurred(sigma: float) -> Change:
    return lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma else image


def dark(gain: float) -> Change:
    random = np.random.default_rng(0)
    return lambda image: np.clip(image * gain + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, dict[float, Change]] = {
    "side in pixels": {side: small(side) for side in (48, 36, 28, 24, 20, 18, 16, 14, 12, 10, 8)},
    "blur": {sigma: blurred(sigma) for sigma in (0, 0.5, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4)},
    "share of the light": {gain: dark(gain) for gain in (1, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03)},
}


class Faces:
    def __init__(self, source: str, count: int) -> None:
        val = FaceSet.open(source).select("val")
        chosen = np.sort(np.random.default_rng(0).choice(len(val), min(count, len(val)), replace=False))
        self.crops = [crop if crop.ndim == 2 else crop[..., 0] for crop in val.gather(chosen)]
        self.labels = [val.label_set.labels[i] for i in val.labels[chosen]]
        self.models = [Recognizer(name, detector="none", truth="labels", threads=2) for name in MODELS]

    def right(self, crops: Sequence[Pixels]) -> list[np.ndarray]:
        """Of each model, whether it names each face's label."""
        answers = [(model.labels, model.classify(crops).argmax(axis=1)) for model in self.models]
        return [np.array([names[i] for i in best]) == np.array(self.labels) for names, best in answers]


def told(name: object, count: int, right: Sequence[np.ndarray], *more: str) -> None:
    accuracies = (f"{one.mean():.3f}" if count else "–" for one in right)
    print("| " + " | ".join([str(name), f"{count:,}", *accuracies, *more]) + " |", flush=True)


def head(name: str, *more: str) -> None:
    columns = [name, "faces", *MODELS, *more]
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")


def changed(faces: Faces) -> None:
    for name, changes in CHANGES.items():
        head(name, "sharpness (5 %, median, 95 %)", "brightness")
        for value, change in changes.items():
            crops = [change(crop) for crop in faces.crops]
            sharp, bright = np.array([sharpness_and_brightness(crop) for crop in crops]).T
            low, middle, high = np.percentile(sharp, [5, 50, 95])
            told(
                value, len(crops), faces.right(crops), f"{low:.2f} {middle:.2f} {high:.2f}", f"{np.median(bright):.0f}"
            )
    head("sharpness of the face as it is", "")
    right = faces.right(faces.crops)
    by_kind("sharpness", np.array([sharpness_and_brightness(crop)[0] for crop in faces.crops]), right)
    by_kind("brightness", np.array([sharpness_and_brightness(crop)[1] for crop in faces.crops]), right)


def by_kind(name: str, values: np.ndarray, right: Sequence[np.ndarray]) -> None:
    edges = np.quantile(values, [0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1])
    for low, high in pairwise(edges):
        here = (values >= low) & (values < high)
        told(f"{name} {low:.2f} to {high:.2f}", int(here.sum()), [one[here] for one in right], "")


def canvas(crop: Pixels, angle: float = 0) -> Pixels:
    """The face at 192 pixels in the middle of 384, turned clockwise."""
    large = cv2.resize(crop, (LARGE, LARGE), interpolation=cv2.INTER_LINEAR)
    wide = np.pad(large, LARGE // 2, constant_values=0)
    turn = cv2.getRotationMatrix2D((LARGE, LARGE), -angle, 1)
    return np.stack([cv2.warpAffine(wide, turn, wide.shape[::-1])] * 3, axis=2)


def found(detector: Detector, image: Pixels) -> Detection | None:
    return max(detector(image), key=lambda face: face.box[2] * face.box[3], default=None)


def turned(faces: Faces, name: str) -> None:
    detector = Detector(name, threads=2)
    places = [found(detector, canvas(crop)) for crop in faces.crops]
    yaws = np.array([np.nan if place is None else abs(yaw_of(place.points)) for place in places])
    right = faces.right(faces.crops)
    head(f"yaw by {name}")
    told("not found", int(np.isnan(yaws).sum()), [one[np.isnan(yaws)] for one in right])
    for low, high in pairwise(YAWS):
        here = (yaws >= low) & (yaws < high)
        told(f"{low} to {high}", int(here.sum()), [one[here] for one in right])
    sizes = [
        quality_of(crop, place, FER2013).size / 4 for crop, place in zip(faces.crops, places, strict=True) if place
    ]
    print(f"\nsize of a face of 48 pixels by {name}: {np.percentile(sizes, [5, 50, 95]).round(1)}")
    head(f"roll, by {name}", "roll told (5 %, median, 95 %)")
    for angle in (0, 20, 40, 60, 90, 120, 180):
        leaned = [canvas(crop, angle) for crop in faces.crops[::4]]
        seen = [(image, found(detector, image)) for image in leaned]
        kept = np.array([place is not None for _, place in seen])
        crops = [upright_crop(image[..., 0], place, FER2013) for image, place in seen if place]
        rolls = [quality_of(crops[0], place, FER2013).roll for _, place in seen if place]
        labels = np.array(faces.labels[::4])[kept]
        ours = [np.array([m.labels[i] for i in m.classify(crops).argmax(axis=1)]) == labels for m in faces.models]
        told(angle, int(kept.sum()), ours, str(np.percentile(np.array(rolls, dtype=float), [5, 50, 95]).round(0)))


def main() -> None:
    faces = Faces(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
    changed(faces)
    for name in ("default", "fast"):
        turned(faces, name)


if __name__ == "__main__":
    main()

"""Recognizer: the trained eye. A model by bundled name, run folder or file; face crops in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.card import Card
from mien.errors import InputError, suggestion
from mien.images import Pixels
from mien.recognize.classifier import Classifier

DEFAULT = "mien-small"  # of the bundled models


@dataclass(frozen=True)
class Face:
    """One recognized face. `probabilities` are 0–1, sum to 1, and stand in the model's label order."""

    source: str
    emotion: str
    probabilities: dict[str, float]
    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the upright picture


class Recognizer:
    """Recognizes emotions with one model, without torch."""

    def __init__(self, model: str | Path = DEFAULT, *, threads: int | None = None) -> None:
        """`model`: a bundled name, a run folder that holds `model.onnx`, or such a file.

        `threads`: cores that one call may use; None leaves it to onnxruntime. Raises `InputError` for anything else.
        """
        self._classifier = _open(model, threads)

    @property
    def card(self) -> Card:
        return self._classifier.card

    @property
    def labels(self) -> tuple[str, ...]:
        """The order of every probability vector."""
        return self._classifier.labels

    def classify(self, crops: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """Probabilities `(N, K)` in the order of `labels`, for uint8 face crops of any size, gray or RGB."""
        return self._classifier.classify(crops)


def bundled() -> list[str]:
    """Names of the models that lie in the package, sorted."""
    return sorted(file.stem for file in _weights().glob("*.onnx"))


def _weights() -> Path:
    return Path(str(resources.files("mien.recognize"))) / "weights"


def _open(model: str | Path, threads: int | None) -> Classifier:
    known = bundled()
    if model in known:  # before a folder of that name, which ./NAME or a Path means
        return _open_bundled(str(model), threads)
    place = Path(model)
    if place.is_dir():
        file = place / "model.onnx"
        if not file.is_file():
            raise InputError(f"{place}: holds no model.onnx. Write it: mien export {place} --data PATH")
        return Classifier.open(file, threads=threads)
    if place.suffix == ".onnx" or len(place.parts) > 1:
        return Classifier.open(place, threads=threads)
    raise InputError(
        f"unknown model '{model}'.{suggestion(str(model), known)} Expected a run folder, a .onnx file, "
        f"or one of {', '.join(known)}"
    )


def _open_bundled(name: str, threads: int | None) -> Classifier:
    file = _weights() / f"{name}.onnx"
    content = file.read_bytes()
    if sha256(content).hexdigest() != _checksums().get(file.name):
        raise InputError(f"{file}: is not the file that the package came with. Install mien again")
    return Classifier.read(content, name, threads=threads)


def _checksums() -> dict[str, str]:
    """By file name, as `sha256sum` writes them."""
    lines = (_weights() / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def read_probabilities(
    source: str, labels: Sequence[str], probabilities: npt.NDArray[np.float32], shape: tuple[int, int]
) -> Face:
    """A face that fills its picture of `shape` (height, width), from a classifier's `(K,)` probabilities."""
    values = {label: float(p) for label, p in zip(labels, probabilities, strict=True)}
    return Face(
        source=source,
        emotion=max(values, key=values.__getitem__),
        probabilities=values,
        box=(0, 0, shape[1], shape[0]),
    )

"""Catalog: the models that lie in the package: how good, how large, under which license, and which file exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mien.cards import Card
from mien.predictions import Truth
from mien.recognize.classifier import Classifier
from mien.recognize.naming import bundled
from mien.recognize.vendored import read_vendored, vendored_folder

SCORES = "scores.json"  # beside the weights; benchmarks/evidence.py writes it


@dataclass(frozen=True)
class Figure:
    """A share of `n` images, 0–1, and its 95 % interval over images."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Measured:
    """What a model reaches on FER2013's PrivateTest: see docs/explanation/two-truths.md for the two truths."""

    accuracy: Figure  # by the labels
    leak_free: Figure  # the same over the images that stand neither in train nor in val
    people: Figure  # agreement with one of the taggers of FER+


@dataclass(frozen=True)
class Entry:
    """A bundled model."""

    name: str
    recipe: str
    parameters: int
    megabytes: float  # of its file
    answers: Truth  # of its heads, the one that answers where nobody asks
    measured: Measured
    license: str
    sha256: str
    file: str


def catalog() -> list[Entry]:
    """Every bundled model, sorted by name; their files are checked. Raises `InputError` for a file that was changed."""
    scores = json.loads((vendored_folder("weights") / SCORES).read_text(encoding="utf-8"))
    return [_entry(name, scores[name]) for name in bundled()]


def _entry(name: str, scores: dict[str, dict[str, float]]) -> Entry:
    content = read_vendored("weights", f"{name}.onnx")
    card: Card = Classifier.read(content, name, trusted=True).card
    return Entry(
        name=name,
        recipe=card.recipe,
        parameters=card.parameters,
        megabytes=round(len(content) / 1e6, 2),
        answers=card.truth,
        measured=Measured(**{figure: Figure(**values) for figure, values in scores.items()}),  # type: ignore[arg-type]
        license=card.license,
        sha256=sha256(content).hexdigest(),
        file=str(Path(vendored_folder("weights") / f"{name}.onnx")),
    )

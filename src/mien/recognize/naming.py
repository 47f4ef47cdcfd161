"""Naming: which model a name means: one in the package, a run folder, a file, or one on the hub."""

from __future__ import annotations

import shlex
from pathlib import Path

from mien import hub
from mien.cards import Card
from mien.errors import InputError, suggestion
from mien.labels import check_names
from mien.recognize.classifier import Classifier, read_model
from mien.recognize.vendored import read_vendored, vendored_folder


def bundled() -> list[str]:
    """Names of the models that lie in the package, sorted."""
    return sorted(file.stem for file in vendored_folder("weights").glob("*.onnx"))


def is_model_file(model: str | Path) -> bool:
    """Whether `model` names a bundled model, a `.onnx` file or one on the hub, and not a run folder."""
    return model in bundled() or hub.is_address(model) or (Path(model).suffix == ".onnx" and not Path(model).is_dir())


def open_classifier(model: str | Path, threads: int | None, provider: str) -> Classifier:
    """The classifier of a bundled model, a run folder or a file; the errors of `Recognizer` where there is none."""
    if model in bundled():  # before a folder of that name, which ./NAME or a Path means
        content = read_vendored("weights", f"{model}.onnx")
        return Classifier.read(content, str(model), threads=threads, trusted=True, provider=provider)
    # Of the two cards of a run this one is written first, so a program that dies between them changes nothing here.
    card = Path(model) / "card.json"
    file = model_file(model)
    known = Card.load(card) if card.is_file() else None
    opened = Classifier.open(file, threads=threads, card=known, provider=provider)
    people = opened.card.people
    check_names((*opened.card.labels, *(people.labels if people else ())), str(model))
    return opened


def model_content(model: str | Path) -> bytes:
    """The ONNX file of a bundled model, of a run, or at a path; the errors of `Recognizer` where there is none."""
    return read_vendored("weights", f"{model}.onnx") if model in bundled() else read_model(model_file(model))


def model_file(model: str | Path) -> Path:
    """Where the file of a model that is not bundled lies. Raises `InputError` where no file could."""
    if hub.is_address(model):
        model = hub.fetched(model).folder
    place = Path(model)
    if place.is_dir():
        file = place / "model.onnx"
        if not file.is_file() and not (place / "card.json").is_file():
            raise InputError(f"{place}: is no run folder. Name a run, an .onnx file or one of {', '.join(bundled())}")
        if not file.is_file():
            raise InputError(f"{place}: has no model.onnx. Write it: mien export {shlex.quote(str(place))} --data PATH")
        return file
    if place.suffix == ".onnx" or len(place.parts) > 1:
        return place
    raise unknown_model(model)


def unknown_model(model: str | Path, expected: str = "a run folder, a .onnx file, hf://user/name") -> InputError:
    """The error for a name that is no bundled model's and no path's; `expected`: what would do beside those names."""
    known = bundled()
    return InputError(
        f"unknown model '{model}'.{suggestion(str(model), known)} Expected {expected} or one of {', '.join(known)}"
    )

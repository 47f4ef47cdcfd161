"""Site: the page with models of one's own, as a folder that any static host can show, or beside the package's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.errors import InputError, not_writable
from mien.files import write_whole
from mien.page.files import MODELS, page_folder
from mien.recognize.classifier import Classifier
from mien.recognize.vendored import read_vendored, vendored_folder

_LIST = "models.json"  # what the page asks first: which models and detectors there are


def write_site(folder: Path, name: str, model: bytes, *, overwrite: bool = False) -> int:
    """Write the page to `folder` with `model`, the content of the ONNX file of what was given as `name`.

    Returns the bytes of all its files.

    Raises `InputError` for a file that is none of ours, and for a folder that holds something else than such a page,
    unless `overwrite`: then files of other names stay.
    """
    Classifier.read(model, name, threads=1)
    if folder.exists() and not overwrite and not _is_site(folder):
        raise InputError(f"{folder}: exists and holds no page of mien. Choose another name, or add --overwrite")
    size = 0
    for place, content in _files(Path(name).name.removesuffix(".onnx"), model):
        file = folder / place
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)
        except OSError as error:
            raise not_writable(file, error) from error
        size += len(content)
    return size


def _files(name: str, model: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each; the list comes last, so that a folder that has it is whole."""
    page = page_folder()
    for file in sorted(page.rglob("*")):
        if file.is_file() and file.name not in (_LIST, "SHA256SUMS"):
            yield file.relative_to(page).as_posix(), file.read_bytes()
    for detector in _offered()["detectors"]:
        yield detector["file"], read_vendored("detectors", Path(detector["file"]).name)
    yield f"{MODELS}/README.md", (vendored_folder("detectors") / "README.md").read_bytes()  # with their licenses
    yield from _own({name: model}, {**_offered(), "models": []})


def own_models(models: Mapping[str, bytes]) -> dict[str, bytes]:
    """Path and content of what the package's page gets to offer `models` (ONNX files by name) before its own ones."""
    return dict(_own(models, _offered())) if models else {}


def _own(models: Mapping[str, bytes], offered: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    added = []
    for number, (name, model) in enumerate(models.items(), 1):  # a name may hold anything, an address not
        file = "model.onnx" if number == 1 else f"model-{number}.onnx"
        added.append({"name": name, "file": f"{MODELS}/{file}"})
        yield added[-1]["file"], model
    named = set(models)
    offered["models"] = [*added, *(one for one in offered["models"] if one["name"] not in named)]
    yield _LIST, (json.dumps(offered, indent=2, ensure_ascii=False) + "\n").encode()


def _offered() -> dict[str, Any]:
    """The package's list."""
    offered: dict[str, Any] = json.loads((page_folder() / _LIST).read_text(encoding="utf-8"))
    return offered


def _is_site(folder: Path) -> bool:
    """Whether it is empty or holds a page that was written before."""
    if not folder.is_dir():
        return False
    names = {file.name for file in folder.iterdir()}
    return not names or {"index.html", _LIST} <= names

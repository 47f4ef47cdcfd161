"""Dossier: one folder with all that is known of a model: card, data, ledger, figures, an index, and sums of it all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.looks import looks
from mien.evaluation.printed import format_estimate
from mien.files import write_whole
from mien.ledger import LEDGER
from mien.model import Model
from mien.recognize.catalog import catalog
from mien.report.annex import annex_section
from mien.report.croissant import Checked, croissant
from mien.report.layout import Cell, Page, Section, Table, check_page, write_page
from mien.report.looks import looks_sentences
from mien.report.model_card import evaluations_of, read_evidence, recipe_of, write_model_card
from mien.report.words import AI_ACT, spoken

SUMS = "SHA256SUMS"
_MARK = "dossier"  # name of the page, by which a folder is known as one


def write_dossier(model: Model, files: Sequence[Path], folder: Path, *, overwrite: bool = False) -> Path:
    """Write the dossier of `model` into `folder`; the path of its page.

    `files`: what `mien evaluate --report` wrote. A file of weights without them has no figures but those that a bundled
    model comes with. Raises `InputError` for a folder that holds anything but a dossier, without `overwrite`, and for
    evidence that is not of this model; `MissingExtraError` without mlcroissant.
    """
    _check_free(folder, overwrite)
    found = read_evidence(files, model.name, model.card)
    evaluations = evaluations_of(model, found) if found or model.run else []
    checked = croissant(model.card)
    evidence = [(file.name, file.read_bytes()) for file in _named_apart(files)]  # it may lie in the older dossier
    _remove_older(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = []

    def put(name: str, content: str | bytes) -> None:
        write_whole(folder / name, content)
        names.append(name)

    put("card.json", model.card.text())
    put("data.croissant.json", checked.text)
    if recipe := recipe_of(model):
        put("recipe.yaml", recipe.to_yaml())
    for place in model.ledgers:
        if place.is_file():
            put(LEDGER if LEDGER not in names else f"test-ledger-{place.stem}.jsonl", place.read_bytes())
    for name, content in evidence:
        put(name, content)
    if evaluations:
        write_model_card(model, [folder / name for name, _ in evidence], folder, overwrite=True)
        names += ["model-card.html", "model-card.md"]
    anchors = {name: _anchors(folder / name) for name in names if name.endswith(".html")}
    page = write_page(
        _page(model, checked, _figures(model, evaluations), [*names, SUMS], anchors), folder, _MARK, overwrite=True
    )
    write_whole(folder / SUMS, _sums(folder))
    return page


def _check_free(folder: Path, overwrite: bool) -> None:
    check_page(folder, _MARK, overwrite=overwrite)
    known = (folder / f"{_MARK}.html").is_file()
    if folder.is_dir() and any(folder.iterdir()) and not known and not overwrite:
        raise InputError(f"{folder}: holds other files. Choose an empty folder, or replace files with --overwrite")


def _named_apart(files: Sequence[Path]) -> Sequence[Path]:
    """The same; raises `InputError` where two would stand in the dossier under one name, or one hides a page of it."""
    taken = {SUMS, "recipe.yaml", *_WHAT, *(f"{_MARK}.{ending}" for ending in ("html", "md"))}
    for file in files:
        if file.name in taken or file.name.startswith("test-ledger"):
            raise InputError(f"{file}: another file of the dossier has this name. Give it another name")
        taken.add(file.name)
    return files


def _remove_older(folder: Path) -> None:
    """Remove what the dossier before wrote, by its sums: it may be of another model, or with more evidence."""
    sums = folder / SUMS
    if not (folder / f"{_MARK}.html").is_file() or not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        file = folder / name
        inside = file.is_file() and file.resolve().is_relative_to(folder.resolve())
        if inside and sha256(file.read_bytes()).hexdigest() == digest and name != f"{_MARK}.html":
            file.unlink()  # what was changed since is somebody else's


def _page(
    model: Model, checked: Checked, figures: str, names: Sequence[str], anchors: dict[str, tuple[str, ...]]
) -> Page:
    card, how = model.card, model.card.training
    sections = (
        Section("In short", points=(figures, *_looks(model), *_of_data(checked), AI_ACT)),
        annex_section(names, anchors),
        Section(
            "What lies here",
            text=(f"{SUMS} holds the sum of every file here. The model file lies elsewhere; its sum stands below.",),
            tables=(Table(("File", "What it is"), tuple(_file(name) for name in names)),),
            code=(f"sha256sum -c {SUMS}",),
        ),
        Section("Model file", tables=(Table(("File", "sha256"), tuple(_weights(model))),)),
    )
    told = f"Recipe {card.recipe}, {card.parameters:,} parameters, trained on {how.data}; dossier of mien"
    return Page(f"Dossier: {model.name}", told, sections)


def _figures(model: Model, evaluations: Sequence[Evaluation]) -> str:
    if evaluations:
        main = next((one for one in evaluations if one.split == "test"), evaluations[0])
        more = f"; leak-free {format_estimate(main.leak_free.accuracy)}" if main.leak_free else ""
        return f"{model.name}: {spoken(main)}{more}. Every other figure stands in the model card."
    advice = f"mien evaluate {model.word} --data PATH --report, then mien dossier … --evidence"
    entry = next((one for one in catalog() if one.name == model.name), None) if model.place is None else None
    if entry is None:
        return f"Nothing was measured: a model file keeps no figures. Measure it: {advice}."
    one = entry.measured.accuracy
    figure = format_estimate(Estimate(value=one.value, low=one.low, high=one.high))
    return (
        f"PrivateTest accuracy {figure}, n = {one.n:,}, as the package came with it. There is no model card here "
        f"since no evidence was given: {advice}."
    )


def _looks(model: Model) -> list[str]:
    found = looks(model)
    return list(looks_sentences(found)) if found else ["No ledger says that test was ever opened for this model."]


def _of_data(checked: Checked) -> list[str]:
    missing = [match.group(1) for one in checked.warnings if (match := re.search(r'/([A-Za-z]+)" is recommended', one))]
    told = f"The description of the data is valid Croissant 1.1, by {checked.validator}"
    return [f"{told}; not known, and so left out: {', '.join(missing)}." if missing else f"{told}."]


_WHAT = {
    "card.json": "labels, input, temperature, threshold, how it was trained",
    "data.croissant.json": "the training data for machines: Croissant 1.1 with responsible-AI fields",
    "recipe.yaml": "every setting of the training",
    LEDGER: "each time that test was opened, each line with the hash of the one before",
    "model-card.html": "the model card (Mitchell et al. 2019)",
    "model-card.md": "the same as Markdown",
    SUMS: "sha256 of every file",
}


def _file(name: str) -> tuple[Cell, Cell]:
    other = "further looks at test, from this user's cache" if "ledger" in name else "figures, for machines"
    return Cell(name, link=name), Cell(_WHAT.get(name, other))


def _own_files(model: Model) -> list[tuple[str, bytes]]:
    if model.run is None:
        return [(f"{model.name}.onnx", model.content)]
    files = (model.run.weights_file, model.run.folder / "model.onnx")
    return [(file.name, file.read_bytes()) for file in files if file.is_file()]


def _weights(model: Model) -> list[tuple[Cell, Cell]]:
    found = [(Cell(name), Cell(sha256(content).hexdigest())) for name, content in _own_files(model)]
    return found or [(Cell("the run keeps no weights"), Cell("–"))]


def _anchors(page: Path) -> tuple[str, ...]:
    return tuple(re.findall(r'<section id="([a-z0-9-]+)"', page.read_text(encoding="utf-8")))


def _sums(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != SUMS)
    lines = [f"{sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}" for file in files]
    return "\n".join(lines) + "\n"

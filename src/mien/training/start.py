"""Start: the weights of an earlier run, in place of fresh ones, for a training on other faces or other labels."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mien import hub
from mien.cards import Card
from mien.errors import InputError
from mien.labels import LabelSet, canonical
from mien.models.head import last_layer
from mien.predictions import Truth
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Ensemble
from mien.recognize.naming import bundled, unknown_model
from mien.recognize.vendored import read_vendored, vendored_folder
from mien.training.run import Run


def open_start(name: str) -> Run:
    """A run folder, `hf://user/name`, or a bundled model by its name, whose trainable weights lie in the package."""
    if hub.is_address(name):
        return _downloaded(name)
    known = bundled()
    if name in known:  # before a folder of that name, which ./NAME means
        read_vendored("starts", f"{name}/model.safetensors")  # raises where it is not what the package came with
        return Run(vendored_folder("starts") / name)
    if name.endswith(".onnx"):
        raise InputError(
            f"{name}: no trainable weights in an .onnx file. Begin with a run folder, or with one of {', '.join(known)}"
        )
    if len(Path(name).parts) == 1 and not Path(name).exists():
        raise unknown_model(name, "a run folder")
    return Run.open(name)


def _downloaded(name: str) -> Run:
    snapshot = hub.fetched(name, hub.FOR_TRAINING)
    run = Run(snapshot.folder, snapshot.address)
    if not run.weights_file.is_file():
        raise InputError(
            f"{name}: holds no trainable weights, only a model file. Begin with a run folder, or with one of "
            f"{', '.join(bundled())}"
        )
    return run


def check_start(start: Run, recipe: Recipe, out: Run) -> None:
    """Raise `InputError` unless `start` can give `out` its first weights.

    Both must have the same network but for its answers and see the same input, and what `start` has seen must be known.
    """
    theirs, here = start.recipe, f"recipe '{recipe.name}'"
    if start.folder.resolve() == out.folder.resolve():
        raise InputError(f"{out.folder}: a run cannot begin with its own weights. Choose another --out")
    if isinstance(theirs.model, Ensemble):
        raise InputError(f"{start.folder}: is an ensemble. Name one of its members")
    if theirs.model != recipe.model:
        raise InputError(
            f"{start.folder}: has another network than {here}. Train with its own recipe, "
            f"{start.folder / 'recipe.yaml'}, or one of the same network (mien-small: small-ft, mien-tiny: tiny-ft)"
        )
    if start.card.preprocess != recipe.preprocess:
        raise InputError(
            f"{start.folder}: takes other input ({start.card.preprocess}) than {here} ({recipe.preprocess})"
        )
    start.seen()  # raises where it is not kept


def take_weights(network: nn.Module, start: Run, recipe: Recipe, labels: tuple[str, ...]) -> None:
    """Load the weights of `start` into `network`, which answers with `labels`, and with what its recipe adds to them.

    Each answer takes the row of the same emotion, under whatever name, in the same head of `start`, or in its labels'
    head where it has no other; answers that it does not know keep their fresh rows. A single head takes the rows of the
    truth that the recipe names: faces that somebody labeled by looking at them are labeled as people see them.
    """
    weights, own = start.load_model().state_dict(), network.state_dict()
    last = last_layer(network)
    rows = _rows(start.card, labels, recipe.targets.people_labels(labels), recipe.truth)
    for key in (f"{last}.weight", f"{last}.bias"):
        kept = own[key].clone()
        for ours, theirs in rows.items():
            kept[ours] = weights[key][theirs]
        weights[key] = kept
    network.load_state_dict(weights)


def _rows(card: Card, labels: tuple[str, ...], people: tuple[str, ...], truth: Truth) -> dict[int, int]:
    """By row of the new last layer: the row of the old one that it begins with."""
    there = LabelSet("labels", card.labels)
    seen = LabelSet("people", card.people.labels) if card.people else there
    before = len(card.labels) if card.people else 0
    single = (seen, before) if truth == "people" and not people else (there, 0)
    wanted = [(name, *single) for name in labels] + [(name, seen, before) for name in people]
    found = {}
    for row, (name, known, first) in enumerate(wanted):
        label = canonical(name, known)
        if label is not None:
            found[row] = first + known.labels.index(label)
    return found

"""Start: the weights of an earlier run, in place of fresh ones, for a training on other faces or other labels."""

from __future__ import annotations

from torch import nn

from mien.errors import InputError
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Ensemble
from mien.training.run import Run


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
            f"{start.folder}: has another network than {here}. Train with its own recipe: "
            f"mien train {start.folder}/recipe.yaml"
        )
    if start.card.preprocess != recipe.preprocess:
        raise InputError(
            f"{start.folder}: sees other input ({start.card.preprocess}) than {here} ({recipe.preprocess})"
        )
    start.seen()  # raises where it is not kept


def take_weights(network: nn.Module, start: Run, labels: tuple[str, ...]) -> None:
    """Load the weights of `start` into `network`, which answers with `labels`.

    The last linear layer keeps its fresh weights where the labels are others.
    """
    weights = start.load_model().state_dict()
    if start.card.labels != labels:
        last = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)][-1]
        own = network.state_dict()
        weights.update({key: own[key] for key in own if key.startswith(f"{last}.")})
    network.load_state_dict(weights)

"""Looks: the line that a ledger gets when a model answers on a test split."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from mien import ledger
from mien.cards import Card
from mien.predictions import Predictions
from mien.recipes.recipe import ancestors
from mien.training.provenance import commit_here
from mien.training.run import Run

What = Literal[
    "computed", "read", "averaged"
]  # answers: by the network; kept ones again; an ensemble's, of its members


def look(name: str, card: Card, weights: str, answered: Predictions, data: str, what: What) -> ledger.Look:
    """`weights`: sha256 of the model's file; `answered`: what it says of `test`; `data`: the name of their source."""
    return ledger.Look(
        at=ledger.now(),
        what=what,
        model=name,
        weights=weights,
        recipe=card.recipe,
        extends=ancestors(card.recipe),
        start=card.training.start,
        members=card.members,
        data=data,
        fingerprint=answered.fingerprint,
        n=len(answered),
        commit=commit_here(),
    )


def weights_of(run: Run) -> str:
    """sha256 of its weights; empty where it keeps none."""
    return sha256(run.weights_file.read_bytes()).hexdigest() if run.weights_file.is_file() else ""

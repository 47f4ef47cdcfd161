"""Shares: how frequent each class is in what a model learns from, for its card."""

from __future__ import annotations

import numpy as np

from mien.cards import Card
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.labels import LabelSet


def with_shares(card: Card, faces: FaceSet, votes: Votes | None, *, balanced: bool) -> Card:
    """The card with the shares of the train split of `faces`, and of the `votes` of them where it has a people's head.

    `balanced`: the recipe weighs or draws images so that classes count alike (`data.imbalance`); then the model's
    answers are those of equal shares, whatever the data hold. The people's head follows the mean of the vote shares.
    """
    train, k = faces.select("train"), len(card.labels)
    counts = np.ones(k) if balanced else np.bincount(train.labels, minlength=k)
    if not counts.sum():
        return card
    card = card.model_copy(update={"shares": _rounded(counts)})
    if card.people is None or votes is None:
        return card
    voted = votes.shares(train.names, LabelSet("people", card.people.labels))
    voted = voted[~np.isnan(voted).any(axis=1)]
    if not len(voted):
        return card
    people = card.people.model_copy(update={"shares": _rounded(voted.mean(axis=0, dtype=np.float64))})
    return card.model_copy(update={"people": people})


def _rounded(counts: np.ndarray[tuple[int], np.dtype[np.float64 | np.int64]]) -> tuple[float, ...]:
    return tuple(round(float(share), 6) for share in counts / counts.sum())

"""Panel: the taggers of a set of images, as arrays: what most of them answered, and what the rest of them did.

Shapes: N images, K answers. Every image has at least two votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_EQUAL = 9  # decimals to which entropies are compared: equal votes in another order differ in the last ones


@dataclass(frozen=True, eq=False)
class Panel:
    """Votes on N images. Where several answers are the most frequent, each of the m has a share of 1/m."""

    counts: Ints  # (N, K)

    @cached_property
    def shares(self) -> Floats:
        """`(N, K)` of the votes for each answer; rows sum to 1."""
        return np.asarray(self.counts / self.counts.sum(axis=1, keepdims=True))

    @cached_property
    def top(self) -> Floats:
        """`(N, K)` share of each answer in being the most frequent."""
        return _most_frequent(self.counts)

    @cached_property
    def rest(self) -> Floats:
        """`(N, K, K)`, at `[i, k]` for image i: share of each answer in being the most frequent but for one vote for k.

        Of no meaning where nobody voted for k.
        """
        one_KK = np.eye(self.counts.shape[1], dtype=np.int64)
        return _most_frequent(self.counts[:, None, :] - one_KK)

    @cached_property
    def reference(self) -> Floats:
        """`(N, K)` what the other taggers call each image: the mean of `rest` over its votes, left out in turn."""
        return np.asarray(np.einsum("nk,nkj->nj", self.shares, self.rest))

    @cached_property
    def human(self) -> Floats:
        """`(N, K)` the part of `reference` in which the vote left out is that answer: agreement, class by class."""
        return np.asarray(self.shares * np.diagonal(self.rest, axis1=1, axis2=2))

    @cached_property
    def pairs(self) -> Floats:
        """`(N,)` share of the pairs of taggers who answer the same."""
        total_N = self.counts.sum(axis=1)
        return np.asarray((self.counts * (self.counts - 1)).sum(axis=1) / (total_N * (total_N - 1)))

    @cached_property
    def entropy(self) -> Floats:
        """`(N,)` of the votes on each image, in nats: 0 where all answer the same, at most log K."""
        return entropy(self.shares).round(_EQUAL)


def entropy(probs_NK: npt.NDArray[np.floating]) -> Floats:
    """`(N,)` Shannon entropy of each row, in nats."""
    probs_NK = probs_NK.astype(np.float64)
    logs_NK = np.log(probs_NK, out=np.zeros_like(probs_NK), where=probs_NK > 0)
    return np.asarray(np.abs((probs_NK * logs_NK).sum(axis=1)))  # abs: a sure answer has 0, not -0


def _most_frequent(counts: Ints) -> Floats:
    tied = counts == counts.max(axis=-1, keepdims=True)
    return np.asarray(tied / tied.sum(axis=-1, keepdims=True))

"""People: a model beside the taggers who looked at the same faces, and the labels beside both.

Shapes: N images, K classes or answers, G groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, Ints, Ratio, estimates, spearman
from mien.evaluation.evaluate import check_scorable
from mien.labels import LabelSet, canonical
from mien.predictions import Predictions

_EQUAL = 9  # decimals to which entropies are compared: equal votes in another order differ in the last ones
_QUARTERS = (0.25, 0.5, 0.75)
_Key = tuple[str, int, str]  # of a figure: which part, which class or group of it, who


class Agreement(Frozen):
    """How often one tagger, the model and the data's label (0–1) agree with the same taggers on the same images."""

    human: Estimate
    model: Estimate
    labels: Estimate
    difference: Estimate  # model minus human, paired


class ClassAgreement(Frozen):
    """One class, that is, what the other taggers call a face; figures are 0–1, None where there is no such image."""

    label: str
    images: float  # that the other taggers call so: shares of images where it depends on who is left out
    human: Estimate | None
    model: Estimate | None
    labels: Estimate | None
    labeled: int  # images that the data call so
    confirmed: Estimate | None  # share of those whose most frequent vote is the label


class DoubtGroup(Frozen):
    """Images on which the taggers are about equally of one mind."""

    entropy: tuple[float, float]  # of their votes, lowest and highest, in nats
    n: int
    top_share: float  # mean share of the votes for the most frequent answer
    human: Estimate  # with the rest of the taggers
    model: Estimate  # with the rest of the taggers
    accuracy: Estimate  # of the model, against the data's labels
    confidence: Estimate  # of the model: mean probability of its answer


class HumanCeiling(Frozen):
    """A model beside single taggers, over `n` images with at least two votes for its labels.

    Votes for anything else (contempt for a model without it, unknown, no face) are left out; `outside` is their share
    of all votes. That is kind to the tagger: an answer that the model cannot give is never a wrong one; `human_strict`
    tells how the tagger does without that kindness.
    """

    split: str
    labels: tuple[str, ...]
    n: int
    without_votes: int  # images left out: the votes do not name them, or count none
    too_few: int  # images left out: they have votes, but fewer than two for the labels
    outside: float
    unasked: tuple[str, ...]  # labels that no column of the votes stands for
    ties: int  # of the n, with several most frequent answers; who gives one of m is right by 1/m
    accuracy: Estimate  # of the model, against the data's labels
    model_majority: Estimate  # the model against the most frequent vote
    labels_majority: Estimate  # the data's labels against the most frequent vote
    rest: Agreement  # with the most frequent answer of the other taggers
    one: Agreement  # with one other tagger, drawn at random
    human_strict: Estimate  # as `rest.human`, if the votes for anything else are answers too
    best_one: Estimate  # the same for whoever always gives the most frequent vote: no answer can do better
    per_class: tuple[ClassAgreement, ...]
    spearman: Estimate | None  # entropy of the votes against the model's; None where one of them is constant
    by_doubt: tuple[DoubtGroup, ...]  # quarters by entropy of the votes; images with equal ones stay together


@dataclass(frozen=True, eq=False)
class Panel:
    """The votes on N images, at least two on each, as arrays: what most answered, and what the rest of them did.

    Where several answers are the most frequent, each of the m has a share of 1/m.
    """

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


def human_ceiling(predictions: Predictions, votes: Votes, *, draws: int = 2000, seed: int = 0) -> HumanCeiling:
    """A model beside single taggers; 95 % intervals of `draws` bootstrap resamples of the images.

    `rest` is the fair comparison. A tagger helped to make the majority, so each vote in turn is left out and held
    against the most frequent answer of the rest (who gives one of m tied answers is right by 1/m); the model and the
    label are held against the very same rests. Every image weighs the same, whatever its number of votes. A class of
    `per_class` is what the rest calls a face, so its figures are recalls. `one` needs no majority: tagger with tagger
    (mean pairwise agreement) beside model with tagger.

    What stays unequal: the taggers share instructions, which a model knows only as far as it learned from their votes
    on other images; and images that leaked into its training it has met before (`predictions.leak_free`).
    Votes: FER+, Barsoum et al. 2016. Raises `InputError` for votes on other images, and where no image has two votes
    for the labels.
    """
    check_scorable(predictions, "the model")
    label_set = LabelSet("model", predictions.label_names)
    all_N = votes.table(predictions.names).sum(axis=1)
    counts_NK = votes.for_labels(predictions.names, label_set)
    kept_N = counts_NK.sum(axis=1) >= 2
    if not kept_N.any():
        raise InputError(
            f"{votes.source}: expected at least two votes for {', '.join(label_set.labels)} on some image, found none "
            f"among the {len(predictions)} of '{predictions.split}'. Give votes of several people per image"
        )
    seen, panel = predictions.keep(kept_N), Panel(counts_NK[kept_N])
    group_N = _quarters(panel.entropy)
    strict_N = Panel(votes.table(seen.names)).human.sum(axis=1)
    ratios = {**_overall(seen, panel, strict_N), **_by_class(seen, panel), **_by_group(seen, panel, group_N)}
    found = estimates(ratios, draws=draws, seed=seed)
    named = {canonical(column, label_set) for column in votes.columns}
    return HumanCeiling(
        split=seen.split,
        labels=seen.label_names,
        n=len(seen),
        without_votes=int((all_N == 0).sum()),
        too_few=int(((all_N > 0) & ~kept_N).sum()),
        outside=float(1 - counts_NK.sum() / all_N.sum()),
        unasked=tuple(label for label in label_set.labels if label not in named),
        ties=int(((panel.top > 0).sum(axis=1) > 1).sum()),
        accuracy=found["truth", 0, "model"],
        model_majority=found["majority", 0, "model"],
        labels_majority=found["majority", 0, "labels"],
        rest=_agreement(found, "rest"),
        one=_agreement(found, "one"),
        human_strict=found["rest", 0, "strict"],
        best_one=found["one", 0, "best"],
        per_class=tuple(
            ClassAgreement(
                label=label,
                images=float(panel.reference[:, k].sum()),
                human=found.get(("class", k, "human")),
                model=found.get(("class", k, "model")),
                labels=found.get(("class", k, "labels")),
                labeled=int((seen.labels == k).sum()),
                confirmed=found.get(("class", k, "confirmed")),
            )
            for k, label in enumerate(seen.label_names)
        ),
        spearman=spearman(panel.entropy, entropy(seen.probabilities), draws=draws, seed=seed),
        by_doubt=tuple(_doubt_group(found, panel, group_N == g, g) for g in range(int(group_N.max()) + 1)),
    )


def _overall(seen: Predictions, panel: Panel, strict_N: Floats) -> dict[_Key, Ratio]:
    """Means over all images: each has the weight 1."""
    means_N: dict[_Key, Floats] = {("truth", 0, "model"): (seen.predicted == seen.labels).astype(np.float64)}
    for who, answer_N in (("model", seen.predicted), ("labels", seen.labels)):
        means_N["majority", 0, who] = _of(answer_N, panel.top)
        means_N["rest", 0, who] = _of(answer_N, panel.reference)
        means_N["one", 0, who] = _of(answer_N, panel.shares)
    means_N["rest", 0, "human"] = panel.human.sum(axis=1)
    means_N["rest", 0, "strict"] = strict_N
    means_N["one", 0, "human"] = panel.pairs
    means_N["one", 0, "best"] = panel.shares.max(axis=1)
    for part in ("rest", "one"):
        means_N[part, 0, "difference"] = means_N[part, 0, "model"] - means_N[part, 0, "human"]
    return {key: (mean_N, np.ones(len(seen))) for key, mean_N in means_N.items()}


def _by_class(seen: Predictions, panel: Panel) -> dict[_Key, Ratio]:
    ratios: dict[_Key, Ratio] = {}
    for k in range(len(seen.label_names)):
        called_N, labeled_N = panel.reference[:, k], (seen.labels == k).astype(np.float64)
        ratios["class", k, "human"] = (panel.human[:, k], called_N)
        ratios["class", k, "model"] = (called_N * (seen.predicted == k), called_N)
        ratios["class", k, "labels"] = (called_N * labeled_N, called_N)
        ratios["class", k, "confirmed"] = (labeled_N * panel.top[:, k], labeled_N)
    return ratios


def _by_group(seen: Predictions, panel: Panel, group_N: Ints) -> dict[_Key, Ratio]:
    values = {
        "human": panel.human.sum(axis=1),
        "model": _of(seen.predicted, panel.reference),
        "accuracy": (seen.predicted == seen.labels).astype(np.float64),
        "confidence": seen.probabilities.max(axis=1).astype(np.float64),
    }
    member_GN = [(group_N == g).astype(np.float64) for g in range(int(group_N.max()) + 1)]
    return {
        ("doubt", g, who): (value_N * member_N, member_N)
        for g, member_N in enumerate(member_GN)
        for who, value_N in values.items()
    }


def _of(answer_N: Ints, share_NK: Floats) -> Floats:
    """`(N,)` share of each image's answer."""
    return np.asarray(share_NK[np.arange(len(answer_N)), answer_N])


def _agreement(found: Mapping[_Key, Estimate], part: str) -> Agreement:
    human, model, labels, difference = (found[part, 0, who] for who in ("human", "model", "labels", "difference"))
    return Agreement(human=human, model=model, labels=labels, difference=difference)


def _doubt_group(found: Mapping[_Key, Estimate], panel: Panel, member_N: npt.NDArray[np.bool_], g: int) -> DoubtGroup:
    entropy_N = panel.entropy[member_N]
    return DoubtGroup(
        entropy=(float(entropy_N.min()), float(entropy_N.max())),
        n=int(member_N.sum()),
        top_share=float(panel.shares[member_N].max(axis=1).mean()),
        human=found["doubt", g, "human"],
        model=found["doubt", g, "model"],
        accuracy=found["doubt", g, "accuracy"],
        confidence=found["doubt", g, "confidence"],
    )


def _quarters(values_N: Floats) -> Ints:
    """`(N,)` group of each value, counted from 0: cut at the quartiles, equal values together, no group empty."""
    cut_N = np.searchsorted(np.quantile(values_N, _QUARTERS), values_N, side="left")
    return np.asarray(np.unique(cut_N, return_inverse=True)[1], dtype=np.int64)


def entropy(probs_NK: npt.NDArray[np.floating]) -> Floats:
    """`(N,)` Shannon entropy of each row, in nats."""
    probs_NK = probs_NK.astype(np.float64)
    logs_NK = np.log(probs_NK, out=np.zeros_like(probs_NK), where=probs_NK > 0)
    return np.asarray(np.abs((probs_NK * logs_NK).sum(axis=1)))  # abs: a sure answer has 0, not -0


def _most_frequent(counts: Ints) -> Floats:
    tied = counts == counts.max(axis=-1, keepdims=True)
    return np.asarray(tied / tied.sum(axis=-1, keepdims=True))

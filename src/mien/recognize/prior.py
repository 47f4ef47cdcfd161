"""Prior: how frequent the classes are among the faces that are asked about, where that differs from training.

Shapes: N faces, K classes.
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mien.cards import Head
from mien.confidence import is_unsure
from mien.errors import InputError, first_line, suggestion, unknown_name
from mien.recognize.faces import Face, Faces

Prior: TypeAlias = "str | Path | Mapping[str, float]"
Floats: TypeAlias = npt.NDArray[np.float64]
logger = logging.getLogger(__name__)
PRIORS = ("train", "balanced", "estimate")
FEWEST_FACES = 100  # from which shares are estimated: of fewer, chance makes most of them
NOT_PROMISED = (
    "under another prior than that of the training data, calibration, the risk behind 'unsure' and prediction sets are "
    "not promised; sets are left out"
)
_ENOUGH = 1e-6  # change of the shares in one step at which the estimate has arrived
_MOST_STEPS = 5000
_LONGEST = 10_000  # rows of a table of counts


def reweighted(probs_NK: npt.NDArray[np.floating], train_K: Floats, wanted_K: Floats) -> Floats:
    """Probabilities `(N, K)` where classes have the shares `wanted_K`, of a model that learned with `train_K`.

    Bayes' rule: each probability times wanted over train, and so that they sum to 1. It is right where faces of a class
    look as they did in training and only the shares differ, and the probabilities are calibrated. A class that training
    never showed stays at 0. Source: Saerens, Latinne and Decaestecker, Neural Computation 14 (2002), equation 2.4.
    """
    weights_K = np.divide(wanted_K, train_K, out=np.zeros(len(train_K)), where=train_K > 0)
    # A probability of 0 everywhere that counts would leave nothing to divide: the smallest number stands for it.
    raised_NK = np.maximum(np.asarray(probs_NK, dtype=np.float64), np.finfo(np.float64).tiny ** 0.5) * weights_K
    return np.asarray(raised_NK / raised_NK.sum(axis=1, keepdims=True))


def estimated(
    probs_NK: npt.NDArray[np.floating],
    train_K: Floats,
    counts_N: npt.NDArray[np.floating] | None = None,
    start_K: Floats | None = None,
) -> Floats:
    """`(K,)` the shares of the classes among N unlabeled faces, by expectation–maximization from the train shares.

    Each step is the mean of the answers `reweighted` to the shares before; it ends at the greatest likelihood.
    `counts_N`: how often each face counts; `start_K`: shares to begin with. Source: Saerens, Latinne and Decaestecker,
    Neural Computation 14 (2002), equation 2.9. Raises `InputError` where there is no face.
    """
    if not len(probs_NK):
        raise InputError("prior estimate: no face to estimate the shares of emotions on")
    counts = np.ones(len(probs_NK)) if counts_N is None else counts_N
    shares_K = train_K if start_K is None else start_K
    for _ in range(_MOST_STEPS):
        better_K = counts @ reweighted(probs_NK, train_K, shares_K) / counts.sum()
        moved = np.abs(better_K - shares_K).max()
        shares_K = better_K
        if moved < _ENOUGH:
            break
    return np.asarray(shares_K)


def train_shares(head: Head, name: str) -> Floats:
    """The shares that a head learned with. Raises `InputError` for a card that does not tell them."""
    if head.shares is None:
        raise InputError(
            f"{name}: its card does not say how frequent each class was in training, so no other prior can be taken. "
            "Add it: mien calibrate MODEL --data PATH, with the data of its training (a file with --to NEW.onnx too)"
        )
    return np.array(head.shares)


def wanted_shares(prior: Prior, labels: Sequence[str]) -> Floats | None:
    """The shares that a prior stands for, `(K,)`, summing to 1; None for `train` and `estimate`.

    `prior`: one of `PRIORS`, counts or shares by label, or a CSV with the columns label and count. Raises `InputError`
    for anything else.
    """
    if isinstance(prior, Mapping):
        return _normalized({str(label): _number(label, count) for label, count in prior.items()}, labels, "prior")
    if not isinstance(prior, (str, Path)):
        raise InputError(
            f"prior {prior!r}: expected one of {', '.join(PRIORS)}, a CSV of label and count, or a dictionary of counts"
        )
    if prior in PRIORS:
        return np.full(len(labels), 1 / len(labels)) if prior == "balanced" else None
    place = Path(prior)
    if not place.is_file():
        if place.suffix or len(place.parts) > 1:
            raise InputError(f"{place}: no such file. A prior is {', '.join(PRIORS)} or a CSV of label and count")
        raise unknown_name("prior", str(prior), (*PRIORS, "COUNTS.csv"))
    return _normalized(_read(place), labels, str(place))


class Mix:
    """The shares of the classes at which a recognizer's head answers."""

    def __init__(self, prior: Prior, head: Head, name: str) -> None:
        """Raises `InputError` for a prior that is none, and for a card that does not tell the shares of training."""
        self.prior, self.labels, self._wanted = prior, head.labels, wanted_shares(prior, head.labels)
        self._train = np.ones(len(head.labels)) if self.is_of_training else train_shares(head, name)

    @property
    def is_of_training(self) -> bool:
        return self.prior == "train"

    @property
    def is_estimated(self) -> bool:
        """Whether all faces must be seen before the first answer is known."""
        return self.prior == "estimate"

    @property
    def settings(self) -> dict[str, str]:
        """What single answers depend on: nothing where the shares are estimated afterwards."""
        return {} if self._wanted is None else {"prior": told(self._wanted, self.labels)}

    def of(self, probs_NK: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A model's own answers at these shares; those that are to be estimated change nothing yet."""
        return probs_NK if self._wanted is None else reweighted(probs_NK, self._train, self._wanted).astype(np.float32)

    def estimate(self, probabilities: Sequence[Mapping[str, float]]) -> Floats:
        """The shares that a model's own answers to at least `FEWEST_FACES` faces suggest, which are logged."""
        if len(probabilities) < FEWEST_FACES:
            raise InputError(
                f"prior estimate: needs {FEWEST_FACES} faces, found {len(probabilities):,}. Name more pictures "
                "together, or another prior: train, balanced or a table of counts"
            )
        shares_K = estimated(np.array([list(one.values()) for one in probabilities]), self._train)
        logger.info("shares estimated from %s faces: %s", f"{len(probabilities):,}", told(shares_K, self.labels))
        return shares_K

    def moved(self, face: Face, shares_K: Floats, threshold: float) -> Face:
        """A face at these shares, which was answered at those of training."""
        given_NK = np.array([list(face.probabilities.values())])
        return under(face, reweighted(given_NK, self._train, shares_K)[0], threshold)

    def at_estimate(self, found: Sequence[Faces], threshold: float) -> list[Faces]:
        """The faces of several pictures at the shares that all of them together suggest."""
        shares_K = self.estimate([face.probabilities for one in found for face in one])
        return [
            Faces(
                (self.moved(face, shares_K, threshold) for face in one),
                one.place,
                one.picture,
                one.error,
                shifted=one.shifted,
            )
            for one in found
        ]


def under(face: Face, probs_K: npt.NDArray[np.floating], threshold: float) -> Face:
    """The face with other probabilities: its emotion and `unsure` follow, its set, which nothing promises, is left."""
    values = dict(zip(face.probabilities, map(float, probs_K), strict=True))
    emotion = max(values, key=values.__getitem__)
    return replace(face, emotion=emotion, probabilities=values, unsure=is_unsure(values[emotion], threshold), set=None)


def told(shares_K: Floats, labels: Sequence[str]) -> str:
    """`angry .12, disgust .01 …`."""
    return ", ".join(f"{label} {share:.3f}".replace(" 0.", " .") for label, share in zip(labels, shares_K, strict=True))


def _read(path: Path) -> dict[str, float]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text)
            if not {"label", "count"} <= set(rows.fieldnames or ()):
                found = ", ".join(rows.fieldnames or ()) or "none"
                raise InputError(f"{path}: expected the columns label and count, found {found}")
            counts: dict[str, float] = {}
            for row in rows:
                label = (row["label"] or "").strip()
                if label in counts:
                    raise InputError(f"{path}, line {rows.line_num}: '{label}' stands there twice")
                try:
                    counts[label] = float(row["count"] or "")
                except ValueError as error:
                    raise InputError(
                        f"{path}, line {rows.line_num}: count of '{label}' is {row['count'] or ''!r}, expected a number"
                    ) from error
                if len(counts) > _LONGEST:
                    raise InputError(f"{path}: more than {_LONGEST:,} labels. Is it a table of counts?")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV of label and count ({first_line(error)})") from error
    return counts


def _number(label: object, count: object) -> float:
    if isinstance(count, (int, float, np.number)):
        return float(count)
    raise InputError(f"prior: count of '{label}' is {count!r}, expected a number")


def _normalized(counts: Mapping[str, float], labels: Sequence[str], source: str) -> Floats:
    for name in counts:
        if name not in labels:
            raise InputError(
                f"{source}: the model has no label '{name}'.{suggestion(name, labels)} It has {', '.join(labels)}"
            )
    if missing := [label for label in labels if label not in counts]:
        raise InputError(f"{source}: says nothing of {', '.join(missing)}. Name each label; 0 where it never occurs")
    values_K = np.array([counts[label] for label in labels], dtype=np.float64)
    if not np.isfinite(values_K).all() or (values_K < 0).any() or not values_K.sum() > 0:
        wrong = ", ".join(f"{label} {counts[label]:g}" for label in labels)
        raise InputError(f"{source}: expected counts or shares of 0 or more, and one above 0, got {wrong}")
    if not math.isfinite(float(values_K.sum())):
        raise InputError(f"{source}: counts are too large to add up")
    return np.asarray(values_K / values_K.sum())
